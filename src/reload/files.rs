//! The files of the rules, as far as they are known without being read.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::Config;
use crate::profile::library;

/// How many files are named when they have changed.
const NAMED_MAX: usize = 10;

/// Every file that profiles, their codecs, classes and registry are read from. Two that are equal were taken of the same content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files(BTreeMap<PathBuf, Stamp>);

/// What changes when a file does. Symbolic links are followed.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stamp {
    File {
        bytes: u64,
        modified: Option<SystemTime>,
        changed: Changed,
    },
    /// It is not there, or cannot be looked at.
    Unknown(io::ErrorKind),
    /// The directory cannot be listed: why.
    Unlisted(String),
}

/// The inode's own time, in seconds and nanoseconds: it tells of a file that another took the place of, though that one
/// brought its length and its time of modification along.
#[cfg(unix)]
type Changed = (i64, i64);
#[cfg(not(unix))]
type Changed = ();

impl Files {
    /// The files as they are now, whichever there are and whether they can be read or not.
    pub fn of(config: &Config) -> Files {
        let directory = &config.profiles.directory;
        let mut files = BTreeMap::new();
        match library::files_below(directory) {
            Ok(paths) => files.extend(paths.into_iter().map(stamped)),
            Err(problem) => drop(files.insert(directory.clone(), Stamp::Unlisted(problem.message))),
        }
        files.extend([directory.join("classes.toml")].map(stamped));
        files.extend(config.registry.file.clone().map(stamped));
        Files(files)
    }

    /// A number for the content of the files and for the routes: rules with the same one give the same points. Reads all
    /// of them; one that cannot be read counts as empty.
    pub fn fingerprint(config: &Config) -> u64 {
        let Files(files) = Files::of(config);
        let routes =
            format!("{} {:?} {:?}", env!("CARGO_PKG_VERSION"), config.routes, config.profiles.max_clock_skew);
        let mut hash = fnv1a(FNV_START, routes.as_bytes());
        for path in files.keys() {
            hash = fnv1a(fnv1a(hash, path.as_os_str().as_encoded_bytes()), &[0]);
            hash = fnv1a(hash, &std::fs::read(path).unwrap_or_default());
        }
        hash
    }

    /// The files that differ, by their names, for the log.
    pub fn changes_since(&self, earlier: &Files) -> String {
        let paths: BTreeSet<&PathBuf> = self.0.keys().chain(earlier.0.keys()).collect();
        let changed = paths.into_iter().filter(|path| self.0.get(*path) != earlier.0.get(*path));
        let names: Vec<String> = changed.map(|path| path.display().to_string()).collect();
        match names.len() {
            0 => "none".into(),
            1..=NAMED_MAX => names.join(", "),
            count => format!("{} and {} more", names[..NAMED_MAX].join(", "), count - NAMED_MAX),
        }
    }
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// FNV-1a (<http://www.isthe.com/chongo/tech/comp/fnv/>): two processes compare it, which the standard library's own
/// hasher is not meant for.
fn fnv1a(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn stamped(path: PathBuf) -> (PathBuf, Stamp) {
    let stamp = Stamp::of(&path);
    (path, stamp)
}

impl Stamp {
    fn of(path: &Path) -> Stamp {
        match std::fs::metadata(path) {
            Ok(metadata) => {
                Stamp::File { bytes: metadata.len(), modified: metadata.modified().ok(), changed: changed(&metadata) }
            }
            Err(error) => Stamp::Unknown(error.kind()),
        }
    }
}

#[cfg(unix)]
fn changed(metadata: &std::fs::Metadata) -> Changed {
    use std::os::unix::fs::MetadataExt;
    (metadata.ctime(), metadata.ctime_nsec())
}

#[cfg(not(unix))]
fn changed(_metadata: &std::fs::Metadata) -> Changed {}
