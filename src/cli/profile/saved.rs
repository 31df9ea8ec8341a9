//! Notices that a file was saved, however an editor does that.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A file that is looked at from time to time. Its content tells, rather than its time: that may be as coarse as two
/// seconds, and a file may be saved as it was.
pub(super) struct Saved {
    path: PathBuf,
    /// What it held when it was last said to be saved.
    content: Vec<u8>,
    /// What it held at the last look, if that was something else: perhaps half of what is being written.
    half: Option<Vec<u8>>,
}

/// Far above any profile; more is not read.
const BYTES_MAX: u64 = 2 << 20;

impl Saved {
    /// A file that cannot be read counts as empty.
    pub fn new(path: &Path) -> Saved {
        Saved { path: path.to_owned(), content: read(path).unwrap_or_default(), half: None }
    }

    /// Whether it holds something new, and the same as at the look before. A file that is away for a moment, as when
    /// an editor replaces it, is not looked at.
    pub fn is_saved_again(&mut self) -> bool {
        let Ok(found) = read(&self.path) else { return false };
        if found == self.content {
            self.half = None;
            return false;
        }
        if self.half.as_ref() != Some(&found) {
            self.half = Some(found);
            return false;
        }
        self.half = None;
        self.content = found;
        true
    }
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(path)?.take(BYTES_MAX).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_directory::TestDirectory;

    #[test]
    fn a_file_is_saved_when_it_holds_something_new_that_stays() {
        let directory = TestDirectory::new("saved");
        let path = directory.path().join("a.toml");
        std::fs::write(&path, "one").unwrap();
        let mut saved = Saved::new(&path);
        assert!(!saved.is_saved_again());
        std::fs::write(&path, "tw").unwrap();
        assert!(!saved.is_saved_again(), "it may be half written");
        std::fs::write(&path, "two").unwrap();
        assert!(!saved.is_saved_again());
        std::fs::remove_file(&path).unwrap();
        assert!(!saved.is_saved_again(), "it is being replaced");
        std::fs::write(&path, "two").unwrap();
        assert!(saved.is_saved_again());
        assert!(!saved.is_saved_again(), "told once");
    }
}
