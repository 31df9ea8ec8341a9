//! What the targets for the journal have in common: a disk in memory, and a journal on it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use citywire::config::Compression;
use citywire::journal::files::{File, FileSystem, Listed};
use citywire::journal::{Driven, Options};
use citywire::time::Timestamp;

/// Where the journal is on a [`Disk`].
pub const DIRECTORY: &str = "/journal";

/// When everything happens that the journal does.
pub const NOW: Timestamp = Timestamp::from_seconds(3);

/// Opens the journal on a disk; `None` when what is there is no journal of this citywire.
pub fn open(disk: &Disk) -> Option<Driven> {
    let options = Options {
        directory: DIRECTORY.into(),
        segment_bytes: 4 << 10,
        max_bytes: 1 << 40,
        retention: Duration::from_secs(u64::from(u32::MAX)),
        commit_delay_max: Duration::ZERO,
        // That is for its thread, and there is none.
        compression: Compression::None,
    };
    Driven::open_on(Arc::new(disk.clone()), options, NOW).ok()
}

/// A disk in memory. Clones are the same one.
#[derive(Clone, Default)]
pub struct Disk(Arc<Mutex<BTreeMap<PathBuf, Content>>>);

type Content = Arc<Mutex<Vec<u8>>>;

impl Disk {
    /// Puts a file into the journal's directory, in place of one of the same name.
    pub fn put(&self, name: &str, content: Vec<u8>) {
        self.files().insert(Path::new(DIRECTORY).join(name), Arc::new(Mutex::new(content)));
    }

    /// The names in the journal's directory that end so.
    pub fn names(&self, end: &str) -> Vec<String> {
        let name = |path: &PathBuf| Some(path.strip_prefix(DIRECTORY).ok()?.to_str()?.to_owned());
        self.files().keys().filter_map(name).filter(|name| name.ends_with(end)).collect()
    }

    /// What is in a file of the journal's directory.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let content = self.files().get(&Path::new(DIRECTORY).join(name)).cloned()?;
        let content = content.lock().expect("no panic is survived");
        Some(content.clone())
    }

    fn files(&self) -> MutexGuard<'_, BTreeMap<PathBuf, Content>> {
        self.0.lock().expect("no panic is survived")
    }
}

impl FileSystem for Disk {
    fn create_directories(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut files = self.files();
        if files.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let content = Content::default();
        files.insert(path.to_owned(), content.clone());
        Ok(Box::new(Opened(content)))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let content = self.files().get(path).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(Opened(content)))
    }

    fn open_read_only(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let listed = |(path, content): (&PathBuf, &Content)| {
            let name = path.strip_prefix(directory).ok()?.to_str()?.to_owned();
            let bytes = content.lock().expect("no panic is survived").len() as u64;
            (!name.contains('/')).then_some(Listed { name, bytes })
        };
        Ok(self.files().iter().filter_map(listed).collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.files();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.files().remove(path).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn free_bytes(&self, _directory: &Path) -> io::Result<u64> {
        Ok(1 << 40)
    }

    fn lock(&self, _path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        Ok(Some(Box::new(())))
    }
}

struct Opened(Content);

impl Opened {
    fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().expect("no panic is survived")
    }
}

impl File for Opened {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let bytes = self.bytes();
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
        let count = buffer.len().min(bytes.len() - from);
        buffer[..count].copy_from_slice(&bytes[from..from + count]);
        Ok(count)
    }

    fn write_all_at(&self, content: &[u8], offset: u64) -> io::Result<()> {
        let mut bytes = self.bytes();
        let end = offset as usize + content.len();
        if bytes.len() < end {
            bytes.resize(end, 0);
        }
        bytes[offset as usize..end].copy_from_slice(content);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.bytes().resize(length as usize, 0);
        Ok(())
    }
}
