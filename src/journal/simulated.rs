//! A disk in memory that fails as disks do: it loses power, runs full, and reports errors on demand.
//!
//! What was not synced may survive a loss of power or not, sector by sector and name by name, as a seeded random
//! generator decides. After a failed sync the unsynced bytes can still be read but count as clean: a later sync does
//! not write them, as with Linux's page cache.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
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

/// Clones are the same disk.
#[derive(Clone, Default)]
pub struct SimulatedDisk(Arc<Mutex<Disk>>);

#[derive(Default)]
struct Disk {
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    contents: Vec<Content>,
    capacity: Option<u64>,
    fault: Option<Fault>,
    locks: BTreeMap<PathBuf, u64>,
    locks_given: u64,
    syncs: u64,
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

    /// How many files were synced so far.
    pub fn syncs(&self) -> u64 {
        self.disk().syncs
    }

    /// The power goes and comes back.
    pub fn lose_power(&self, random: &mut fastrand::Rng) {
        let mut disk = self.disk();
        let paths: BTreeSet<PathBuf> = disk.names.keys().chain(disk.durable_names.keys()).cloned().collect();
        let mut names = BTreeMap::new();
        for path in paths {
            let survivor = if random.bool() { disk.names.get(&path) } else { disk.durable_names.get(&path) };
            if let Some(&id) = survivor {
                names.insert(path, id);
            }
        }
        // Handles that are still open keep the old contents.
        let mut contents = Vec::new();
        for id in names.values_mut() {
            contents.push(disk.contents[*id].after_power_loss(random));
            *id = disk.contents.len() + contents.len() - 1;
        }
        disk.contents.extend(contents);
        disk.durable_names = names.clone();
        disk.names = names;
        disk.locks.clear();
    }

    pub fn file(&self, path: &Path) -> Option<Vec<u8>> {
        let disk = self.disk();
        disk.names.get(path).map(|&id| disk.contents[id].bytes.clone())
    }

    /// Puts a file there, durably.
    pub fn put(&self, path: &Path, bytes: &[u8]) {
        let mut disk = self.disk();
        let content = Content { bytes: bytes.to_vec(), durable: bytes.to_vec(), ..Content::default() };
        disk.contents.push(content);
        let id = disk.contents.len() - 1;
        disk.names.insert(path.to_owned(), id);
        disk.durable_names.insert(path.to_owned(), id);
    }

    fn disk(&self) -> MutexGuard<'_, Disk> {
        self.0.lock().expect("no test panics while it holds the disk")
    }

    fn handle(&self, path: &Path, id: usize) -> Box<dyn File> {
        Box::new(SimulatedFile { disk: self.clone(), path: path.to_owned(), id })
    }
}

impl Disk {
    fn ask(&mut self, operation: Operation, path: &Path) -> io::Result<()> {
        match self.fault.as_mut().and_then(|fault| fault(operation, path)) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    fn id(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn used_bytes(&self) -> u64 {
        self.names.values().map(|&id| self.contents[id].bytes.len() as u64).sum()
    }
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
        bytes.resize(length, 0);
        for sector in &self.dirty {
            if random.bool() {
                copy_sector(&self.bytes, &mut bytes, *sector);
            }
        }
        Content { durable: bytes.clone(), bytes, ..Content::default() }
    }

    fn sync(&mut self) {
        if std::mem::take(&mut self.length_dirty) {
            self.durable.resize(self.bytes.len(), 0);
        }
        for sector in std::mem::take(&mut self.dirty) {
            copy_sector(&self.bytes, &mut self.durable, sector);
        }
    }

    fn fail_sync(&mut self) {
        self.dirty.clear();
        self.length_dirty = false;
    }

    fn resize(&mut self, length: usize) {
        if length != self.bytes.len() {
            self.bytes.resize(length, 0);
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
        let mut disk = self.disk();
        disk.ask(Operation::Create, path)?;
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.contents.push(Content::default());
        let id = disk.contents.len() - 1;
        disk.names.insert(path.to_owned(), id);
        Ok(self.handle(path, id))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        let mut disk = self.disk();
        disk.ask(Operation::Open, path)?;
        let id = disk.id(path)?;
        Ok(self.handle(path, id))
    }

    fn open_read_only(&self, path: &Path) -> io::Result<Box<dyn File>> {
        self.open(path)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let disk = self.disk();
        let listed =
            disk.names.iter().filter(|(path, _)| path.parent() == Some(directory)).filter_map(|(path, &id)| {
                let name = path.file_name()?.to_str()?.to_owned();
                Some(Listed { name, bytes: disk.contents[id].bytes.len() as u64 })
            });
        Ok(listed.collect())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.ask(Operation::Rename, from)?;
        let id = disk.id(from)?;
        disk.names.remove(from);
        disk.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.ask(Operation::Remove, path)?;
        disk.id(path)?;
        disk.names.remove(path);
        Ok(())
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        let mut disk = self.disk();
        disk.ask(Operation::SyncDirectory, directory)?;
        let inside = |path: &Path| path.parent() == Some(directory);
        let mut durable = std::mem::take(&mut disk.durable_names);
        durable.retain(|path, _| !inside(path));
        durable.extend(disk.names.iter().filter(|(path, _)| inside(path)).map(|(path, &id)| (path.clone(), id)));
        disk.durable_names = durable;
        Ok(())
    }

    fn free_bytes(&self, _directory: &Path) -> io::Result<u64> {
        let disk = self.disk();
        Ok(disk.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(disk.used_bytes())))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let mut disk = self.disk();
        if disk.locks.contains_key(path) {
            return Ok(None);
        }
        disk.locks_given += 1;
        let given = disk.locks_given;
        disk.locks.insert(path.to_owned(), given);
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
        let mut disk = self.disk.disk();
        if disk.locks.get(&self.path) == Some(&self.given) {
            disk.locks.remove(&self.path);
        }
    }
}

struct SimulatedFile {
    disk: SimulatedDisk,
    path: PathBuf,
    id: usize,
}

impl File for SimulatedFile {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut disk = self.disk.disk();
        disk.ask(Operation::Read, &self.path)?;
        super::scan::ReadAt::read_at(&disk.contents[self.id].bytes.as_slice(), buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.ask(Operation::Write, &self.path)?;
        let (used, end) = (disk.used_bytes(), offset + bytes.len() as u64);
        let grows = end.saturating_sub(disk.contents[self.id].bytes.len() as u64);
        let excess = disk.capacity.map_or(0, |capacity| (used + grows).saturating_sub(capacity)).min(grows);
        let fits = bytes.len().saturating_sub(excess as usize);
        disk.contents[self.id].write(&bytes[..fits], offset as usize);
        if fits < bytes.len() { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk.disk();
        let asked = disk.ask(Operation::Sync, &self.path);
        disk.syncs += 1;
        match asked {
            Ok(()) => disk.contents[self.id].sync(),
            Err(_) => disk.contents[self.id].fail_sync(),
        }
        asked
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut disk = self.disk.disk();
        disk.ask(Operation::Truncate, &self.path)?;
        disk.contents[self.id].resize(bytes as usize);
        Ok(())
    }
}
