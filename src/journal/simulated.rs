//! A disk in memory that fails as disks do: it loses power, runs full, reports errors on demand, and stops in the
//! middle of an operation because the process that asked for it was killed.
//!
//! What was not synced may survive a loss of power or not, sector by sector and name by name, as a seeded random
//! generator decides. After a failed sync some of the unsynced bytes are on disk; all can still be read but count as
//! clean: a later sync does not write them, as with Linux's page cache. (The file's length is the file system's own
//! business and is still written by a later sync.) A write that fails may have written any part from its start.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::files::{File, FileSystem, Listed};

const SECTOR_BYTES: usize = 512;

/// An operation that can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Create,
    Open,
    Read,
    Write,
    Sync,
    Truncate,
    Rename,
    Remove,
    SyncDirectory,
}

type Fault = Box<dyn FnMut(Operation, &Path) -> Option<io::Error> + Send>;

/// What another thread does amid somebody's work: so many operations on segments later.
type Interruption = (u32, Box<dyn FnOnce() + Send>);

/// Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    names: Vec<Name>,
    contents: Vec<Content>,
    capacity: Option<u64>,
    /// A file that cannot be read from this byte on.
    unreadable: Option<(PathBuf, u64)>,
    fault: Option<Fault>,
    interruption: Option<Interruption>,
    /// How many operations more that change something; then the process is killed in the middle of the next one.
    operations_left: Option<u32>,
    dead: bool,
    /// Decides how far an operation came that did not succeed.
    random: Random,
    locks: Vec<(PathBuf, u64)>,
    locks_given: u64,
    syncs: u64,
    read_bytes: u64,
}

/// A file's name: what it stands for now, and what it stands for after a loss of power at the worst moment.
struct Name {
    path: PathBuf,
    now: Option<usize>,
    durable: Option<usize>,
}

struct Random(fastrand::Rng);

impl Default for Random {
    fn default() -> Random {
        Random(fastrand::Rng::with_seed(0))
    }
}

#[derive(Clone, Default)]
struct Content {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    dirty: BTreeSet<usize>,
    length_dirty: bool,
}

impl SimulatedDisk {
    /// Bytes that fit on the disk.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.disk().capacity = bytes;
    }

    pub fn used_bytes(&self) -> u64 {
        self.disk().used_bytes()
    }

    /// Asks `fault` before each operation whether it shall fail.
    pub fn set_fault(&self, fault: impl FnMut(Operation, &Path) -> Option<io::Error> + Send + 'static) {
        self.disk().fault = Some(Box::new(fault));
    }

    pub fn clear_fault(&self) {
        self.disk().fault = None;
    }

    /// Lets the next operation of this kind fail with this error number.
    pub fn fail_once(&self, operation: Operation, errno: i32) {
        let mut left = 1;
        self.set_fault(move |asked, _| {
            let hit = asked == operation && std::mem::take(&mut left) == 1;
            hit.then(|| io::Error::from_raw_os_error(errno))
        });
    }

    /// The disk cannot read this file from byte `from` on.
    pub fn set_unreadable(&self, path: &Path, from: u64) {
        self.disk().unreadable = Some((path.to_owned(), from));
    }

    /// How many bytes were read from files so far.
    pub fn read_bytes(&self) -> u64 {
        self.disk().read_bytes
    }

    /// How many files were synced so far.
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    /// Decides what the disk's chances are from now on.
    pub fn set_seed(&self, seed: u64) {
        self.disk().random = Random(fastrand::Rng::with_seed(seed));
    }

    /// Kills the process in the middle of an operation: so many more that change something succeed, the next one comes
    /// some way, and from then on every operation fails and changes nothing, until [`SimulatedDisk::revive`].
    pub fn die_after(&self, operations: u32) {
        self.disk().operations_left = Some(operations);
    }

    pub fn is_dead(&self) -> bool {
        self.disk().dead
    }

    /// Lets another thread do something in the middle of what uses the disk: so many operations on the contents of
    /// segments later, in front of the next one. Those are done without a lock that the other one could wait for.
    pub fn interrupt_after(&self, operations: u32, other: impl FnOnce() + Send + 'static) {
        self.disk().interruption = Some((operations, Box::new(other)));
    }

    pub fn clear_interruption(&self) {
        self.disk().interruption = None;
    }

    /// For the next process.
    pub fn revive(&self) {
        let mut disk = self.disk();
        (disk.dead, disk.operations_left) = (false, None);
    }

    /// Lets somebody look at the disk while nothing fails and no time passes.
    pub fn while_sound<T>(&self, look: impl FnOnce() -> T) -> T {
        let mut disk = self.disk();
        let held = (disk.fault.take(), disk.operations_left.take(), disk.capacity.take());
        drop(disk);
        let seen = look();
        let mut disk = self.disk();
        (disk.fault, disk.operations_left, disk.capacity) = held;
        seen
    }

    /// The power goes and comes back.
    pub fn lose_power(&self, random: &mut fastrand::Rng) {
        let mut disk = self.disk();
        let Disk { names, contents, .. } = &mut *disk;
        for name in names.iter_mut() {
            let survivor = if random.bool() { name.now } else { name.durable };
            // Handles that are still open keep the old contents.
            name.now = survivor.map(|id| {
                contents.push(contents[id].after_power_loss(random));
                contents.len() - 1
            });
            name.durable = name.now;
        }
        names.retain(|name| name.now.is_some());
        disk.locks.clear();
    }

    pub fn file(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk();
        disk.id(path).ok().map(|id| disk.contents[id].bytes.clone())
    }

    /// Puts a file there, durably.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut disk = self.disk();
        let content = Content { bytes: bytes.to_vec(), durable: bytes.to_vec(), ..Content::default() };
        disk.contents.push(content);
        let id = Some(disk.contents.len() - 1);
        let name = disk.name(path);
        (name.now, name.durable) = (id, id);
    }

    /// For an operation on a file's content: whoever is to come in between does so now.
    fn disk_for(&self, path: &Path) -> MutexGuard<'_, Disk> {
        let mut disk = self.disk();
        if !is_segment(path) || disk.dead {
            return disk;
        }
        match &mut disk.interruption {
            Some((left, _)) if *left > 0 => *left -= 1,
            _ => {
                if let Some((_, other)) = disk.interruption.take() {
                    drop(disk);
                    other();
                    return self.disk();
                }
            }
        }
        disk
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    fn handle(&self, path: &Path, id: usize) -> Box<dyn File> {
        Box::new(SimulatedFile { disk: self.clone(), path: path.to_owned(), id })
    }
}

/// What becomes of an operation.
enum Outcome {
    Done,
    /// It fails, and may have come some way.
    Failed(io::Error),
    /// The process is killed while it waits for it.
    Killed,
}

impl Outcome {
    /// For an operation that is done whole or not at all.
    fn whole(self, random: &mut Random) -> io::Result<Option<io::Error>> {
        match self {
            Outcome::Done => Ok(None),
            Outcome::Failed(error) => Err(error),
            Outcome::Killed if random.0.bool() => Ok(Some(killed())),
            Outcome::Killed => Err(killed()),
        }
    }
}

/// Whether a file is a segment, whatever its form.
pub fn is_segment(path: &Path) -> bool {
    let name = path.file_name().map_or(&b""[..], |name| name.as_bytes());
    name.len() > 20 && name[20..].starts_with(b".segment")
}

fn killed() -> io::Error {
    io::Error::other("the process was killed")
}

impl Disk {
    /// Asks what becomes of an operation; an error when the process is dead already.
    fn ask(&mut self, operation: Operation, path: &Path) -> io::Result<Outcome> {
        if self.dead {
            return Err(killed());
        }
        if let Some(error) = self.fault.as_mut().and_then(|fault| fault(operation, path)) {
            return Ok(Outcome::Failed(error));
        }
        if matches!(operation, Operation::Open | Operation::Read) {
            return Ok(Outcome::Done);
        }
        if let Some(left) = &mut self.operations_left {
            self.dead = *left == 0;
            *left = left.saturating_sub(1);
        }
        Ok(if self.dead { Outcome::Killed } else { Outcome::Done })
    }

    /// For an operation that is done whole or not at all: whether the process lives to see it done.
    fn ask_whole(&mut self, operation: Operation, path: &Path) -> io::Result<Option<io::Error>> {
        let outcome = self.ask(operation, path)?;
        outcome.whole(&mut self.random)
    }

    fn id(&self, path: &Path) -> io::Result<usize> {
        let name = self.names.iter().find(|name| name.is(path));
        name.and_then(|name| name.now).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn name(&mut self, path: &Path) -> &mut Name {
        let at = self.names.iter().position(|name| name.is(path)).unwrap_or_else(|| {
            self.names.push(Name { path: path.to_owned(), now: None, durable: None });
            self.names.len() - 1
        });
        &mut self.names[at]
    }

    fn used_bytes(&self) -> u64 {
        self.names.iter().filter_map(|name| name.now).map(|id| self.contents[id].bytes.len() as u64).sum()
    }
}

impl Name {
    fn is(&self, path: &Path) -> bool {
        self.path.as_os_str() == path.as_os_str()
    }

    /// The file's name, if it is in this directory.
    fn within(&self, directory: &Path) -> Option<&OsStr> {
        let rest = self.path.as_os_str().as_bytes().strip_prefix(directory.as_os_str().as_bytes())?;
        let name = rest.strip_prefix(b"/")?;
        (!name.contains(&b'/')).then(|| OsStr::from_bytes(name))
    }
}

/// Ends an operation that was done: with an error if the process did not live to see it.
fn end<T>(value: T, killed: Option<io::Error>) -> io::Result<T> {
    killed.map_or(Ok(value), Err)
}

impl Content {
    fn after_power_loss(&self, random: &mut fastrand::Rng) -> Content {
        let length = match random.u8(..3) {
            _ if !self.length_dirty => self.durable.len(),
            0 => self.durable.len(),
            1 => self.bytes.len(),
            _ => random.usize(self.durable.len().min(self.bytes.len())..=self.durable.len().max(self.bytes.len())),
        };
        let mut bytes = self.durable.clone();
        resize(&mut bytes, length);
        for sector in &self.dirty {
            if random.bool() {
                copy_sector(&self.bytes, &mut bytes, *sector);
            }
        }
        Content { durable: bytes.clone(), bytes, ..Content::default() }
    }

    fn sync(&mut self) {
        if std::mem::take(&mut self.length_dirty) {
            resize(&mut self.durable, self.bytes.len());
        }
        for sector in std::mem::take(&mut self.dirty) {
            copy_sector(&self.bytes, &mut self.durable, sector);
        }
    }

    fn fail_sync(&mut self, random: &mut fastrand::Rng) {
        for sector in std::mem::take(&mut self.dirty) {
            if random.bool() {
                copy_sector(&self.bytes, &mut self.durable, sector);
            }
        }
    }

    fn resize(&mut self, length: usize) {
        if length != self.bytes.len() {
            resize(&mut self.bytes, length);
            self.length_dirty = true;
        }
    }

    fn write(&mut self, bytes: &[u8], offset: usize) {
        if bytes.is_empty() {
            return;
        }
        let end = offset + bytes.len();
        self.resize(self.bytes.len().max(end));
        self.bytes[offset..end].copy_from_slice(bytes);
        self.length_dirty |= end > self.durable.len();
        self.dirty.extend(offset / SECTOR_BYTES..=(end - 1) / SECTOR_BYTES);
    }
}

/// As `Vec::resize` with zeros, which takes a step for each byte where nothing is optimized.
fn resize(bytes: &mut Vec<u8>, length: usize) {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.truncate(length);
    while bytes.len() < length {
        bytes.extend_from_slice(&ZEROS[..ZEROS.len().min(length - bytes.len())]);
    }
}

fn copy_sector(from: &[u8], to: &mut [u8], sector: usize) {
    let start = sector * SECTOR_BYTES;
    let end = (start + SECTOR_BYTES).min(from.len()).min(to.len());
    if start < end {
        to[start..end].copy_from_slice(&from[start..end]);
    }
}

impl FileSystem for SimulatedDisk {
    fn create_directories(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut disk = self.disk_for(path);
        let killed = disk.ask_whole(Operation::Create, path)?;
        if disk.id(path).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.contents.push(Content::default());
        let id = disk.contents.len() - 1;
        disk.name(path).now = Some(id);
        end(self.handle(path, id), killed)
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut disk = self.disk_for(path);
        disk.ask_whole(Operation::Open, path)?;
        let id = disk.id(path)?;
        Ok(self.handle(path, id))
    }

    fn open_read_only(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let disk = self.disk();
        if disk.dead {
            return Err(killed());
        }
        let listed = disk.names.iter().filter_map(|name| {
            let (id, name) = (name.now?, name.within(directory)?.to_str()?.to_owned());
            Some(Listed { name, bytes: disk.contents[id].bytes.len() as u64 })
        });
        Ok(listed.collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let killed = disk.ask_whole(Operation::Rename, from)?;
        let id = disk.id(from)?;
        disk.name(from).now = None;
        disk.name(to).now = Some(id);
        end((), killed)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let killed = disk.ask_whole(Operation::Remove, path)?;
        disk.id(path)?;
        disk.name(path).now = None;
        end((), killed)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        let killed = disk.ask_whole(Operation::SyncDirectory, directory)?;
        for name in &mut disk.names {
            if name.within(directory).is_some() {
                name.durable = name.now;
            }
        }
        disk.names.retain(|name| name.now.is_some() || name.durable.is_some());
        end((), killed)
    }

    fn free_bytes(&self, _directory: &Path) -> io::Result<u64> {
        let disk = self.disk();
        Ok(disk.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(disk.used_bytes())))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let mut disk = self.disk();
        if disk.locks.iter().any(|(locked, _)| locked == path) {
            return Ok(None);
        }
        disk.locks_given += 1;
        let given = disk.locks_given;
        disk.locks.push((path.to_owned(), given));
        Ok(Some(Box::new(Lock { disk: self.clone(), path: path.to_owned(), given })))
    }
}

struct Lock {
    disk: SimulatedDisk,
    path: PathBuf,
    given: u64,
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.disk.disk().locks.retain(|(path, given)| *path != self.path || *given != self.given);
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    path: PathBuf,
    id: usize,
}

impl File for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk.disk_for(&self.path);
        disk.ask_whole(Operation::Read, &self.path)?;
        let end = offset + buffer.len() as u64;
        if disk.unreadable.as_ref().is_some_and(|(path, from)| *path == self.path && end > *from) {
            return Err(io::Error::from_raw_os_error(libc::EIO));
        }
        let read = super::scan::ReadAt::read_at(&disk.contents[self.id].bytes.as_slice(), buffer, offset)?;
        disk.read_bytes += read as u64;
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk.disk_for(&self.path);
        let outcome = disk.ask(Operation::Write, &self.path)?;
        let mut fits = bytes.len();
        if let Some(capacity) = disk.capacity {
            let end = offset + bytes.len() as u64;
            let grows = end.saturating_sub(disk.contents[self.id].bytes.len() as u64);
            let excess = (disk.used_bytes() + grows).saturating_sub(capacity).min(grows);
            fits -= excess as usize;
        }
        let (written, error) = match outcome {
            Outcome::Done if fits < bytes.len() => (fits, Some(io::Error::from_raw_os_error(libc::ENOSPC))),
            Outcome::Done => (fits, None),
            Outcome::Failed(error) => (disk.random.0.usize(..=fits), Some(error)),
            Outcome::Killed => (disk.random.0.usize(..=fits), Some(killed())),
        };
        disk.contents[self.id].write(&bytes[..written], offset as usize);
        end((), error)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut guard = self.disk.disk_for(&self.path);
        let disk = &mut *guard;
        let outcome = disk.ask(Operation::Sync, &self.path)?;
        disk.syncs += 1;
        let content = &mut disk.contents[self.id];
        if let Outcome::Failed(error) = outcome {
            content.fail_sync(&mut disk.random.0);
            return Err(error);
        }
        let killed = outcome.whole(&mut disk.random)?;
        content.sync();
        end((), killed)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk.disk_for(&self.path);
        let killed = disk.ask_whole(Operation::Truncate, &self.path)?;
        disk.contents[self.id].resize(bytes as usize);
        end((), killed)
    }
}
