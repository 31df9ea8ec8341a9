//! Notices that a profile or its codec was saved, however an editor does that.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::profile::compile::script_of;

/// A profile's file and its script, looked at from time to time. Their content tells, rather than their times: these may be
/// as coarse as two seconds, and a file may be saved as it was.
pub(super) struct Saved {
    path: PathBuf,
    /// What they held when they were last said to be saved.
    content: Content,
    /// What they held at the last look, if that was something else: perhaps half of what is being written.
    half: Option<Content>,
}

#[derive(Default, PartialEq)]
struct Content {
    profile: Vec<u8>,
    /// With its path, if the profile names one; empty if it cannot be read.
    script: Option<(PathBuf, Vec<u8>)>,
}

/// Far above any profile and script; more is not read.
const BYTES_MAX: u64 = 2 << 20;

impl Saved {
    /// A file that cannot be read counts as empty.
    pub fn new(path: &Path) -> Saved {
        Saved { path: path.to_owned(), content: look(path).unwrap_or_default(), half: None }
    }

    /// The file that was saved: what was found in it, or in its script, is new, and the same as at the look before. A
    /// profile that is away for a moment, as when an editor replaces it, is not looked at.
    pub fn saved_again(&mut self) -> Option<PathBuf> {
        let found = look(&self.path).ok()?;
        if found == self.content {
            self.half = None;
            return None;
        }
        if self.half.as_ref() != Some(&found) {
            self.half = Some(found);
            return None;
        }
        self.half = None;
        let before = std::mem::replace(&mut self.content, found);
        let script = self.content.script.as_ref().filter(|_| before.profile == self.content.profile);
        Some(script.map_or(&self.path, |(path, _)| path).clone())
    }
}

fn look(path: &Path) -> io::Result<Content> {
    let profile = read(path)?;
    let named = std::str::from_utf8(&profile).ok().and_then(|source| script_of(&path.to_string_lossy(), source));
    let script = named.map(|path| {
        let content = read(&path).unwrap_or_default();
        (path, content)
    });
    Ok(Content { profile, script })
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
        assert_eq!(saved.saved_again(), None);
        std::fs::write(&path, "tw").unwrap();
        assert_eq!(saved.saved_again(), None, "it may be half written");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(saved.saved_again(), None);
        std::fs::remove_file(&path).unwrap();
        assert_eq!(saved.saved_again(), None, "it is being replaced");
        std::fs::write(&path, "two").unwrap();
        assert_eq!(saved.saved_again(), Some(path));
        assert_eq!(saved.saved_again(), None, "told once");
    }

    #[test]
    fn a_profile_s_script_is_looked_at_as_well() {
        let directory = TestDirectory::new("saved-script");
        let path = directory.path().join("a.toml");
        let script = directory.path().join("codecs/a.js");
        let is_saved = |saved: &mut Saved| [saved.saved_again(), saved.saved_again(), saved.saved_again()];
        std::fs::create_dir(directory.path().join("codecs")).unwrap();
        std::fs::write(&path, "codec = { javascript = \"codecs/a.js\" }\nid = 7").unwrap();
        let mut saved = Saved::new(&path);
        assert_eq!(is_saved(&mut saved), [None, None, None], "the script is not there yet");
        std::fs::write(&script, "one").unwrap();
        assert_eq!(is_saved(&mut saved), [None, Some(script.clone()), None]);
        std::fs::write(&script, "two").unwrap();
        assert_eq!(is_saved(&mut saved), [None, Some(script.clone()), None]);
        // Named by the profile from now on; beside it, another script is none of its.
        std::fs::write(directory.path().join("b.js"), "one").unwrap();
        assert_eq!(is_saved(&mut saved), [None, None, None]);
        std::fs::write(&path, "codec = { javascript = \"b.js\" }").unwrap();
        assert_eq!(is_saved(&mut saved), [None, Some(path.clone()), None]);
        std::fs::write(&script, "three").unwrap();
        assert_eq!(is_saved(&mut saved), [None, None, None]);
        std::fs::write(directory.path().join("b.js"), "two").unwrap();
        assert_eq!(is_saved(&mut saved), [None, Some(directory.path().join("b.js")), None]);
    }
}
