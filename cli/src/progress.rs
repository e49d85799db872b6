//! A line of progress on standard error, only if that is a terminal.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shows nothing for work shorter than this.
const PATIENCE: Duration = Duration::from_millis(300);
/// Redraws at most this often.
const INTERVAL: Duration = Duration::from_millis(80);

pub(crate) struct Progress {
    enabled: bool,
    started: Instant,
    drawn: Option<Instant>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { enabled: std::io::stderr().is_terminal(), started: Instant::now(), drawn: None }
    }

    /// Shows `done` of `total`, with a bar.
    pub(crate) fn show(&mut self, what: &str, done: usize, total: usize) {
        self.line(|| {
            const WIDTH: usize = 24;
            let filled = (done * WIDTH).checked_div(total).unwrap_or(0).min(WIDTH);
            format!("{what} [{}{}] {done}/{total}", "#".repeat(filled), " ".repeat(WIDTH - filled))
        });
    }

    /// Shows a text.
    pub(crate) fn line(&mut self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        let due = match self.drawn {
            None => now - self.started >= PATIENCE,
            Some(before) => now - before >= INTERVAL,
        };
        if self.enabled && due {
            self.drawn = Some(now);
            let _ = write!(std::io::stderr(), "\r\x1b[K{}", text());
        }
    }

    /// Wipes the line, so that other output can follow.
    pub(crate) fn clear(&mut self) {
        if self.drawn.take().is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
