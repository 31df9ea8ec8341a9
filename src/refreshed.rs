//! What is made of files, and made anew when they change: a renewed certificate or secret is used without a restart.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// How often the files are looked at while the value is in use.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

type Load<T> = Box<dyn Fn() -> Result<T, String> + Send + Sync>;

/// A value made of files. One that cannot be made of changed files stays as it was.
pub(crate) struct Refreshed<T> {
    what: String,
    files: Vec<PathBuf>,
    load: Load<T>,
    state: Mutex<State<T>>,
}

struct State<T> {
    value: Arc<T>,
    stamps: Vec<Stamp>,
    looked: Instant,
}

/// Tells a file from what it was; nothing when it cannot be looked at.
type Stamp = Option<(SystemTime, u64)>;

impl<T> Refreshed<T> {
    /// Loads the value. `what` names it in the log: `push.tls`.
    ///
    /// # Errors
    /// Why it cannot be made.
    pub fn new(
        what: impl Into<String>,
        files: Vec<PathBuf>,
        load: impl Fn() -> Result<T, String> + Send + Sync + 'static,
    ) -> Result<Refreshed<T>, String> {
        // Looked at first: a file that changes while it is read is read again.
        let stamps = stamps(&files);
        let state = State { value: Arc::new(load()?), stamps, looked: Instant::now() };
        Ok(Refreshed { what: what.into(), files, load: Box::new(load), state: Mutex::new(state) })
    }

    /// The value of the files as they are, or were a second ago.
    pub fn get(&self) -> Arc<T> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.files.is_empty() && state.looked.elapsed() >= LOOK_INTERVAL {
            state.looked = Instant::now();
            self.look(&mut state);
        }
        Arc::clone(&state.value)
    }

    fn look(&self, state: &mut State<T>) {
        let stamps = stamps(&self.files);
        if stamps == state.stamps {
            return;
        }
        // Told once: it is tried again when a file changes again, as when the key follows its certificate.
        state.stamps = stamps;
        match (self.load)() {
            Ok(value) => {
                state.value = Arc::new(value);
                tracing::info!(what = self.what, "Changed files are in use.");
            }
            Err(error) => {
                tracing::warn!(
                    what = self.what,
                    "Changed files cannot be used, what they held before stays: {error}"
                );
            }
        }
    }
}

fn stamps(files: &[PathBuf]) -> Vec<Stamp> {
    let stamp = |file: &PathBuf| {
        let metadata = std::fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.iter().map(stamp).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_directory::TestDirectory;

    /// As if the last look were long ago.
    fn let_time_pass<T>(refreshed: &Refreshed<T>) {
        refreshed.state.lock().unwrap().looked -= LOOK_INTERVAL;
    }

    #[test]
    fn a_changed_file_is_read_again_and_one_that_cannot_be_used_is_not() {
        let directory = TestDirectory::new("refreshed");
        let file = directory.path().join("number");
        std::fs::write(&file, "7").unwrap();
        let read = {
            let file = file.clone();
            move || std::fs::read_to_string(&file).unwrap().parse::<u32>().map_err(|error| error.to_string())
        };
        let number = Refreshed::new("number", vec![file.clone()], read).unwrap();
        assert_eq!(*number.get(), 7);
        for (content, expected) in [("12", 12), ("twelve", 12), ("133", 133)] {
            std::fs::write(&file, content).unwrap();
            let_time_pass(&number);
            assert_eq!(*number.get(), expected, "{content}");
        }
    }

    #[test]
    fn what_cannot_be_made_at_first_is_an_error() {
        assert!(Refreshed::<u32>::new("number", Vec::new(), || Err("no".into())).is_err());
    }
}
