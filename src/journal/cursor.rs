//! How far each sink has come, kept over restarts.
//!
//! A cursor is a small text file, replaced as a whole (written beside, synced, renamed), so that after a crash it
//! tells the position before or the one after, with the counts that belong to it. Entries that a cursor has not
//! passed are not deleted.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;

use super::files::FileSystem;
use super::shared::Shared;
use super::{JournalError, scan};

/// Where a sink stands. Since its cursor was created, each entry up to `sequence` was written, or refused, or is
/// among those that damage took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Position {
    /// The last entry that is done with.
    pub sequence: u64,
    /// Entries whose points the sink confirmed.
    pub written: u64,
    /// Entries that gave the sink nothing, because they were refused.
    pub refused: u64,
}

/// What became of the entries that were there for a sink, since its cursor was created; all of it at one moment, so that
/// `offered = written + refused + lost + waiting`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    pub offered: u64,
    pub written: u64,
    pub refused: u64,
    /// Entries passed that were neither: damage took them.
    pub lost: u64,
    pub waiting: u64,
}

/// What a cursor's file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saved {
    /// The entry before the first one that the cursor was created for.
    pub start: u64,
    pub position: Position,
}

impl Saved {
    /// A cursor that begins after entry `start`.
    pub fn beginning(start: u64) -> Saved {
        Saved { start, position: Position { sequence: start, written: 0, refused: 0 } }
    }

    /// Entries passed that were neither written nor refused: damage took them.
    pub fn lost(&self) -> u64 {
        self.position.sequence - self.start - self.position.written - self.position.refused
    }

    fn encode(&self, file_name: &str) -> String {
        let Position { sequence, written, refused } = self.position;
        let text = format!(
            "citywire cursor 1\nfile {file_name}\nstart {}\nsequence {sequence}\nwritten {written}\nrefused {refused}\n",
            self.start
        );
        let crc = crc32fast::hash(text.as_bytes());
        format!("{text}crc32 {crc:08x}\n")
    }

    /// Reads a cursor's file; `None` when it is not byte for byte what was written.
    pub fn decode(file_name: &str, bytes: &[u8]) -> Option<Saved> {
        let text = std::str::from_utf8(bytes).ok()?;
        let number = |name: &str| text.lines().find_map(|line| line.strip_prefix(name))?.trim_start().parse().ok();
        let saved = Saved {
            start: number("start ")?,
            position: Position {
                sequence: number("sequence ")?,
                written: number("written ")?,
                refused: number("refused ")?,
            },
        };
        (saved.encode(file_name) == text && saved.adds_up()).then_some(saved)
    }

    fn adds_up(&self) -> bool {
        let Position { sequence, written, refused } = self.position;
        let counted = written.checked_add(refused).and_then(|counted| counted.checked_add(self.start));
        counted.is_some_and(|counted| counted <= sequence)
    }

    /// Why the cursor cannot go on to `position`, if it cannot.
    fn obstacle(&self, position: Position, durable: u64) -> Option<String> {
        let now = self.position;
        if position.sequence < now.sequence || position.written < now.written || position.refused < now.refused {
            return Some(format!("it cannot go back from {now:?} to {position:?}"));
        }
        if position.sequence > durable {
            return Some(format!("{position:?} is beyond the journal's last entry {durable}"));
        }
        let counted = (position.written - now.written).checked_add(position.refused - now.refused);
        if counted.is_none_or(|counted| counted > position.sequence - now.sequence) {
            return Some(format!("{position:?} counts more entries than there are since {now:?}"));
        }
        None
    }
}

/// The cursor of one sink. Clones are the same cursor.
#[derive(Clone)]
pub struct Cursor {
    shared: Arc<Shared>,
    cell: Arc<Cell>,
}

impl Cursor {
    pub(super) fn new(shared: Arc<Shared>, cell: Arc<Cell>) -> Cursor {
        Cursor { shared, cell }
    }

    /// The sink's name.
    pub fn name(&self) -> &str {
        &self.cell.name
    }

    /// Where the sink stands, as it is on disk.
    pub fn position(&self) -> Position {
        self.cell.saved().position
    }

    /// The entry before the first one that this cursor was created for.
    /// `start + written + refused + lost + waiting` is the journal's last sequence number, always.
    pub fn start(&self) -> u64 {
        self.cell.saved().start
    }

    /// Entries passed that damage had taken, since the cursor was created.
    pub fn lost(&self) -> u64 {
        self.cell.saved().lost()
    }

    /// What became of the entries since the cursor was created.
    pub fn account(&self) -> Account {
        let saved = self.cell.saved();
        // Looked at after the position, which is never beyond it.
        let last = self.shared.durable();
        let Position { sequence, written, refused } = saved.position;
        Account {
            offered: last.saturating_sub(saved.start),
            written,
            refused,
            lost: saved.lost(),
            waiting: last.saturating_sub(sequence),
        }
    }

    /// Entries that the sink has yet to take.
    pub fn waiting(&self) -> u64 {
        let sequence = self.position().sequence;
        self.shared.durable().saturating_sub(sequence)
    }

    /// Moves the cursor on, durably: call it with the sink's receipt at hand. Takes two syncs of the disk, so call it
    /// for batches, and from a thread that may wait.
    ///
    /// # Errors
    /// When the file cannot be written, the cursor stays where it was; call again later. A position that goes back,
    /// lies beyond the last entry or counts more entries than there were is a mistake of the caller.
    pub fn advance(&self, position: Position) -> Result<(), JournalError> {
        {
            let mut saved = self.cell.lock();
            if saved.position == position {
                return Ok(());
            }
            if let Some(detail) = saved.obstacle(position, self.shared.durable()) {
                return Err(JournalError::Position { name: self.cell.name.clone(), detail });
            }
            let next = Saved { position, ..*saved };
            self.cell.write(&*self.shared.files, &self.shared.options.directory, &next)?;
            *saved = next;
            self.cell.passed.store(position.sequence, Ordering::Release);
        }
        self.shared.queue.cursor_advanced();
        self.shared.compressor.ring();
        Ok(())
    }
}

/// What the clones of a cursor share.
pub struct Cell {
    name: String,
    saved: Mutex<Saved>,
    /// `saved.position.sequence`, for the writer, which must not wait while a file is written.
    passed: AtomicU64,
}

impl Cell {
    fn new(name: &str, saved: Saved) -> Arc<Cell> {
        let passed = AtomicU64::new(saved.position.sequence);
        Arc::new(Cell { name: name.to_owned(), saved: Mutex::new(saved), passed })
    }

    pub fn saved(&self) -> Saved {
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Saved> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the cursor's file.
    fn write(&self, files: &dyn FileSystem, journal: &Path, saved: &Saved) -> Result<(), JournalError> {
        let directory = directory(journal);
        let file_name = file_name(&self.name);
        let path = directory.join(&file_name);
        let beside = directory.join(format!("{file_name}.new"));
        let write = || -> io::Result<()> {
            remove_if_present(files, &beside)?;
            let file = files.create(&beside)?;
            file.write_all_at(saved.encode(&file_name).as_bytes(), 0)?;
            file.sync_data()?;
            files.rename(&beside, &path)?;
            files.sync_directory(&directory)
        };
        write().map_err(|error| JournalError::file("write", &path, error))
    }
}

/// All cursors of a journal, used or not.
#[derive(Default)]
pub struct Cursors {
    cells: Mutex<BTreeMap<String, Arc<Cell>>>,
}

impl Cursors {
    /// The cursor with this name; a new one begins after entry `start`.
    pub fn get(
        &self,
        files: &dyn FileSystem,
        journal: &Path,
        name: &str,
        start: u64,
    ) -> Result<Arc<Cell>, JournalError> {
        if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX || file_name(name).len() > 250 {
            return Err(JournalError::CursorName { name: name.to_owned() });
        }
        let mut cells = self.lock();
        if let Some(cell) = cells.get(name) {
            return Ok(cell.clone());
        }
        let saved = Saved::beginning(start);
        let cell = Cell::new(name, saved);
        cell.write(files, journal, &saved)?;
        cells.insert(name.to_owned(), cell.clone());
        Ok(cell)
    }

    /// Takes over what was read from disk.
    pub fn insert(&self, name: &str, saved: Saved) {
        self.lock().insert(name.to_owned(), Cell::new(name, saved));
    }

    /// Deletes the cursors that are not named. Gives the names of those deleted.
    pub fn retain(
        &self,
        files: &dyn FileSystem,
        journal: &Path,
        names: &[&str],
    ) -> Result<Vec<String>, JournalError> {
        let directory = directory(journal);
        let mut cells = self.lock();
        let unused: Vec<String> = cells.keys().filter(|name| !names.contains(&name.as_str())).cloned().collect();
        for name in &unused {
            let path = directory.join(file_name(name));
            remove_if_present(files, &path).map_err(|error| JournalError::file("remove", &path, error))?;
            cells.remove(name);
        }
        if !unused.is_empty() {
            files.sync_directory(&directory).map_err(|error| JournalError::file("sync", &directory, error))?;
        }
        Ok(unused)
    }

    /// The cursor that is furthest behind: its name and the last entry that it has passed.
    pub fn furthest_behind(&self) -> Option<(String, u64)> {
        let cells = self.lock();
        let passed = |cell: &Arc<Cell>| cell.passed.load(Ordering::Acquire);
        cells.values().min_by_key(|cell| passed(cell)).map(|cell| (cell.name.clone(), passed(cell)))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Cell>>> {
        self.cells.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A cursor's file as it was found.
pub struct Found {
    /// The sink's name.
    pub name: String,
    pub file_name: String,
    /// `None` when the file is damaged.
    pub saved: Option<Saved>,
}

/// Reads the cursors in a journal's directory, in order of their names.
pub fn list(files: &dyn FileSystem, journal: &Path) -> Result<Vec<Found>, JournalError> {
    const FILE_BYTES_MAX: usize = 4096;
    let directory = directory(journal);
    let listed = match files.list(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        listed => listed.map_err(|error| JournalError::file("list", &directory, error))?,
    };
    let mut cursors = Vec::new();
    for file in listed {
        let Some(name) = name_of(&file.name) else { continue };
        let path = directory.join(&file.name);
        let bytes = match files.open_read_only(&path).and_then(|file| scan::read(&file, 0, FILE_BYTES_MAX)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            bytes => bytes.map_err(|error| JournalError::file("read", &path, error))?,
        };
        cursors.push(Found { name, saved: Saved::decode(&file.name, &bytes), file_name: file.name });
    }
    cursors.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(cursors)
}

pub fn directory(journal: &Path) -> PathBuf {
    journal.join("cursors")
}

const NAME_CHARACTERS_MAX: usize = 80;

/// The cursor's file: its name, with what file names may not have written as `%` and two hexadecimal digits.
pub fn file_name(name: &str) -> String {
    let mut file_name = String::with_capacity(name.len() + 7);
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' => file_name.push(char::from(byte)),
            _ => file_name.push_str(&format!("%{byte:02X}")),
        }
    }
    file_name + ".cursor"
}

fn name_of(file: &str) -> Option<String> {
    let mut rest = file.strip_suffix(".cursor")?.as_bytes();
    let mut name = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
            name.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &rest[2..];
        } else {
            name.push(byte);
        }
    }
    let name = String::from_utf8(name).ok()?;
    (file_name(&name) == file).then_some(name)
}

fn remove_if_present(files: &dyn FileSystem, path: &Path) -> io::Result<()> {
    match files.remove(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved(start: u64, sequence: u64, written: u64, refused: u64) -> Saved {
        Saved { start, position: Position { sequence, written, refused } }
    }

    #[test]
    fn a_cursor_file_reads_back_and_any_change_to_it_is_damage() {
        let saved = saved(10, 123, 100, 11);
        let text = saved.encode("city.cursor");
        assert_eq!(Saved::decode("city.cursor", text.as_bytes()), Some(saved));
        assert_eq!(saved.lost(), 2);
        for position in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[position] ^= 1;
            assert_eq!(Saved::decode("city.cursor", &bytes), None, "byte {position}");
            assert_eq!(Saved::decode("city.cursor", &text.as_bytes()[..position]), None, "{position} bytes");
        }
        assert_eq!(Saved::decode("other.cursor", text.as_bytes()), None, "the file of another cursor");
    }

    #[test]
    fn counts_that_do_not_add_up_are_damage() {
        for wrong in [saved(10, 9, 0, 0), saved(0, 5, 3, 3), saved(0, 5, u64::MAX, 2)] {
            assert_eq!(Saved::decode("city.cursor", wrong.encode("city.cursor").as_bytes()), None, "{wrong:?}");
        }
    }

    #[test]
    fn a_cursor_goes_only_forward_and_counts_no_more_than_there_is() {
        let now = saved(0, 10, 8, 2);
        let f = |sequence, written, refused, durable, accepted| {
            let obstacle = now.obstacle(Position { sequence, written, refused }, durable);
            assert_eq!(obstacle.is_none(), accepted, "{obstacle:?}");
        };
        f(15, 12, 3, 20, true);
        f(15, 12, 2, 20, true);
        f(15, 12, 4, 20, false);
        f(9, 8, 2, 20, false);
        f(15, 7, 2, 20, false);
        f(15, 8, 1, 20, false);
        f(15, 12, 3, 14, false);
        f(15, u64::MAX, u64::MAX, 20, false);
    }

    #[test]
    fn any_name_makes_a_file_name_and_comes_back_from_it() {
        for name in ["embedded", "city/Nord", "Süd", "..", "a.b", "%41"] {
            let file = file_name(name);
            assert!(!file.contains('/') && !file.starts_with('.'), "{file}");
            assert_eq!(name_of(&file).as_deref(), Some(name));
        }
        assert_eq!(name_of("%zz.cursor"), None);
        assert_eq!(name_of("%61.cursor"), None, "written in another way than ours");
        assert_eq!(name_of("city.cursor.new"), None);
    }
}
