//! How far long work has come: a line on a terminal that is written over and over, elsewhere a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// How often the line is written anew.
const INTERVAL: Duration = Duration::from_millis(200);

/// How often a line is added to a log.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// On standard error; without a terminal, nothing is written unless lines are wanted.
pub(super) struct Progress {
    is_shown: bool,
    has_lines: bool,
    next: Instant,
    is_drawn: bool,
}

impl Progress {
    pub fn new() -> Progress {
        let is_shown = io::stderr().is_terminal();
        Progress { is_shown, has_lines: false, next: Instant::now() + INTERVAL, is_drawn: false }
    }

    /// For work that is also watched in logs: without a terminal, a line every ten seconds.
    pub fn with_lines() -> Progress {
        let mut progress = Progress::new();
        if !progress.is_shown {
            (progress.has_lines, progress.next) = (true, Instant::now() + LOG_INTERVAL);
        }
        progress
    }

    /// So much is `done` of so much in all.
    pub fn at(&mut self, done: u64, all: u64) {
        if !(self.is_shown || self.has_lines) || Instant::now() < self.next {
            return;
        }
        if self.has_lines {
            self.next = Instant::now() + LOG_INTERVAL;
            let _ = writeln!(io::stderr(), "{}", line(done, all).trim());
            return;
        }
        self.next = Instant::now() + INTERVAL;
        self.is_drawn = true;
        // Whether somebody sees it is of no consequence to the work.
        let _ = write!(io::stderr(), "\r{}", line(done, all));
    }
}

/// Leaves the terminal as it was.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_drawn {
            let _ = write!(io::stderr(), "\r{:WIDTH$}\r", "");
        }
    }
}

const WIDTH: usize = 60;

/// Always as long, so that nothing of the line before shows through.
fn line(done: u64, all: u64) -> String {
    let percent = done.saturating_mul(100).checked_div(all).unwrap_or(100);
    let text = format!("{percent:3} %  {done} of {all}");
    format!("{text:WIDTH$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_how_much_is_done() {
        let f = |done, all, expected: &str| assert_eq!(line(done, all).trim_end(), expected);
        f(0, 200, "  0 %  0 of 200");
        f(199, 200, " 99 %  199 of 200");
        f(200, 200, "100 %  200 of 200");
        f(0, 0, "100 %  0 of 0");
        assert_eq!(line(u64::MAX, u64::MAX).chars().count(), WIDTH);
    }
}
