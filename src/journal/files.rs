//! The file system as the journal uses it: few operations, so that a simulated disk can stand in for the real one.
//!
//! What a disk has to promise, and what the journal relies on: after `sync_data` returned without an error, the
//! file's content and length survive a loss of power; after `sync_directory` did, so do the names in the directory;
//! `rename` replaces its target in one step. Nothing else is relied on: bytes not synced may be there, missing, or
//! there in part and in any order.

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A file system, shared by the threads of the journal.
pub trait FileSystem: Send + Sync {
    /// Creates a directory and what is missing above it. One that exists is no error.
    fn create_directories(&self, path: &Path) -> io::Result<()>;

    /// Creates a file to write; an existing one is an error.
    fn create(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file to read and write.
    fn open(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// Opens an existing file to read.
    fn open_read_only(&self, path: &Path) -> io::Result<Box<dyn File>>;

    /// The files of a directory (no directories), in any order. Names that are not UTF-8 are not ours: left out.
    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>>;

    /// Gives a file another name; a file that has it is replaced in the same step.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Makes the names in a directory durable.
    fn sync_directory(&self, directory: &Path) -> io::Result<()>;

    /// How many bytes an unprivileged process may still write on the disk of this directory.
    fn free_bytes(&self, directory: &Path) -> io::Result<u64>;

    /// Creates the file if need be and locks it for this process; `None` when another holder has the lock.
    /// The lock ends when the returned value is dropped, and with the process at the latest.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>>;
}

/// An open file. Every access names its offset: there is no shared position.
pub trait File: Send + Sync {
    /// Reads up to `buffer.len()` bytes; 0 at the end of the file.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all bytes, or fails after any part of them. The file grows as needed.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes content and length durable (fdatasync). After an error the state of the unsynced bytes is unknown.
    fn sync_data(&self) -> io::Result<()>;

    /// Cuts the file to this length.
    fn truncate(&self, bytes: u64) -> io::Result<()>;
}

/// A file in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    pub bytes: u64,
}

/// The operating system's own file system.
#[derive(Clone, Copy, Debug, Default)]
pub struct OsFileSystem;

impl FileSystem for OsFileSystem {
    fn create_directories(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(fs::File::options().read(true).write(true).create_new(true).open(path)?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(fs::File::options().read(true).write(true).open(path)?))
    }

    fn open_read_only(&self, path: &Path) -> io::Result<Box<dyn File>> {
        Ok(Box::new(fs::File::open(path)?))
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<Listed>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            // A file that was removed since the directory was read is no error.
            let Ok(metadata) = entry.metadata() else { continue };
            if let (true, Ok(name)) = (metadata.is_file(), entry.file_name().into_string()) {
                files.push(Listed { name, bytes: metadata.len() });
            }
        }
        Ok(files)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_directory(&self, directory: &Path) -> io::Result<()> {
        fs::File::open(directory)?.sync_all()
    }

    fn free_bytes(&self, directory: &Path) -> io::Result<u64> {
        let path = CString::new(directory.as_os_str().as_bytes())?;
        // SAFETY: `statvfs` is plain numbers, for which all zeros is a value; the call reads a string that ends in
        // a zero byte and writes only into `status`, and both outlive it.
        let (outcome, status) = unsafe {
            let mut status: libc::statvfs = std::mem::zeroed();
            (libc::statvfs(path.as_ptr(), &mut status), status)
        };
        if outcome != 0 {
            return Err(io::Error::last_os_error());
        }
        #[allow(clippy::unnecessary_cast, reason = "the fields are 32 bits wide on some systems")]
        Ok((status.f_bavail as u64).saturating_mul(status.f_frsize as u64))
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Send + Sync>>> {
        let file = fs::File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Box::new(file))),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl File for fs::File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, buffer, offset)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync_data(&self) -> io::Result<()> {
        fs::File::sync_data(self)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }
}
