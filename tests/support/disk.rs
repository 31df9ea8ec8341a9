//! A small disk of a test's own: an ext4 file system on a loop device, which can be filled, frozen and broken for real.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::TempDir;

/// A mounted disk; unmounted when dropped. What uses it has to be dropped before: declare it after the disk.
pub struct Disk {
    directory: TempDir,
    device: String,
}

impl Disk {
    /// A disk of so many MiB, or nothing where a test may not mount: then this is said on standard error, also where the
    /// test harness keeps what a test prints to itself.
    pub fn mount(mebibytes: u64) -> Option<Disk> {
        let test = std::thread::current().name().unwrap_or("a test").to_owned();
        match Disk::try_mount(mebibytes) {
            Ok(disk) => Some(disk),
            Err(reason) => {
                let _ = writeln!(
                    io::stderr(),
                    "SKIPPED {test}: it needs a disk of its own, and this process cannot mount one ({reason}); run it as \
                     root, on a system with loop devices"
                );
                None
            }
        }
    }

    fn try_mount(mebibytes: u64) -> Result<Disk, String> {
        let directory = TempDir::new();
        let image = File::create(directory.path().join("image")).expect("create the image");
        image.set_len(mebibytes << 20).expect("size the image");
        fs::create_dir(directory.path().join("disk")).expect("create the mount point");
        let mut disk = Disk { directory, device: String::new() };
        // No room is reserved for root, and the file system's own journal lies at the front, where `break_from` leaves it.
        let options = ["-q", "-F", "-m", "0", "-b", "4096", "-J", "size=4,location=0"];
        run("mkfs.ext4", &options, &[&disk.image()])?;
        let device = run("losetup", &["--find", "--show"], &[&disk.image()])?;
        let mounted = run("mount", &[&device], &[&disk.path()]);
        // As long as it is mounted this only marks the device to be freed afterwards, whoever unmounts it.
        let freed = run("losetup", &["--detach", &device], &[]);
        disk.device = device;
        mounted.and(freed)?;
        Ok(disk)
    }

    /// Where it is mounted.
    pub fn path(&self) -> PathBuf {
        self.directory.path().join("disk")
    }

    fn image(&self) -> PathBuf {
        self.directory.path().join("image")
    }

    /// Takes all the room that is left, as another program on the same disk would.
    pub fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.filler()).expect("create the filler");
        for bytes in [1 << 20, 4 << 10, 1] {
            let chunk = vec![0xaa; bytes];
            loop {
                match filler.write_all(&chunk).and_then(|()| filler.sync_data()) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => panic!("fill {}: {error}", self.path().display()),
                }
            }
        }
    }

    /// Gives the room back that [`Disk::fill`] has taken.
    pub fn make_room(&self) {
        fs::remove_file(self.filler()).expect("remove the filler");
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Lets every write hang until the value is dropped, as a disk does that no longer answers.
    pub fn freeze(&self) -> Frozen {
        run("fsfreeze", &["--freeze"], &[&self.path()]).unwrap_or_else(|error| panic!("{error}"));
        Frozen(self.path())
    }

    /// Breaks the disk behind its first `mebibytes`: what is read or written there fails with EIO, until the value is
    /// dropped. The device is made shorter under the mounted file system.
    pub fn break_from(&self, mebibytes: u64) -> Broken {
        // Nothing may reach the image while it is cut, or it would be lost by no fault of the disk's user.
        let _frozen = self.freeze();
        let kept = mebibytes << 20;
        let image = File::options().read(true).write(true).open(self.image()).expect("open the image");
        let bytes = image.metadata().expect("the image's size").len();
        let mut rest = vec![0; (bytes - kept) as usize];
        image.read_exact_at(&mut rest, kept).expect("read what is cut off");
        image.set_len(kept).expect("shorten the image");
        let broken = Broken { device: self.device.clone(), image, kept, rest };
        broken.resize().unwrap_or_else(|error| panic!("{error}"));
        broken
    }

    /// Unmounts it, has the file system checked and repaired, and mounts it again: what an operator does with a disk that
    /// was away. Nothing may use it meanwhile.
    pub fn repair(&mut self) {
        let whole = |done: Result<String, String>| done.unwrap_or_else(|error| panic!("{error}"));
        whole(run("umount", &[], &[&self.path()]));
        // 1 stands for "errors were corrected".
        let checked = command("e2fsck", &["-f", "-y"], &[&self.image()]).output().expect("run e2fsck");
        assert!(checked.status.code().is_some_and(|code| code <= 1), "{checked:?}");
        self.device = whole(run("losetup", &["--find", "--show"], &[&self.image()]));
        whole(run("mount", &[&self.device], &[&self.path()]));
        whole(run("losetup", &["--detach", &self.device], &[]));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // When something still uses it, it goes as soon as that ends.
        let _ = run("umount", &[], &[&self.path()]).or_else(|_| run("umount", &["--lazy"], &[&self.path()]));
    }
}

/// A disk whose writes hang; goes on when this is dropped. Declare it after what uses the disk, which could otherwise not
/// even be killed.
pub struct Frozen(PathBuf);

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = run("fsfreeze", &["--unfreeze"], &[&self.0]);
    }
}

/// A disk of which only the first part works; whole again, with what was on it, when this is dropped. Declare it after what
/// uses the disk: Linux may try for ever to write to such a file system, and what waits for that cannot be killed.
pub struct Broken {
    device: String,
    image: File,
    kept: u64,
    rest: Vec<u8>,
}

impl Broken {
    /// The device becomes as long as its image is.
    fn resize(&self) -> Result<String, String> {
        run("losetup", &["--set-capacity", &self.device], &[])
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        let _ = self.image.write_all_at(&self.rest, self.kept);
        let _ = self.resize();
    }
}

/// Runs a program of the system to its end; gives what it prints, or what it complains of.
fn run(program: &str, arguments: &[&str], paths: &[&Path]) -> Result<String, String> {
    let output = command(program, arguments, paths).output().map_err(|error| format!("{program}: {error}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() {
        Ok(text(&output.stdout))
    } else {
        Err(format!("{program}: {}", text(&output.stderr)))
    }
}

/// These programs are where a user's PATH may not lead.
fn command(program: &str, arguments: &[&str], paths: &[&Path]) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let mut command = Command::new(program);
    command.env("PATH", format!("{path}:/usr/sbin:/sbin")).args(arguments).args(paths);
    command
}
