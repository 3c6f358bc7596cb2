//! Progress of long work on standard error: a line that is rewritten on a terminal, nothing in a script.

use std::io::{IsTerminal, Write, stderr};
use std::time::Duration;

use tokio::time::Instant;

const EVERY: Duration = Duration::from_millis(200);

/// How far something is.
pub(crate) struct Progress {
    visible: bool,
    shown: Option<Instant>,
    width: usize,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { visible: stderr().is_terminal(), shown: None, width: 0 }
    }

    /// Shows `text`, unless the last one is too fresh.
    pub(crate) fn show(&mut self, text: impl FnOnce() -> String) {
        let now = Instant::now();
        if !self.visible || self.shown.is_some_and(|shown| now - shown < EVERY) {
            return;
        }
        self.shown = Some(now);
        let text = text();
        let width = self.width.max(text.len());
        // A terminal that went away is no reason to stop the work.
        let _ = write!(stderr(), "\r{text:<width$}");
        self.width = text.len();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.width > 0 {
            let _ = write!(stderr(), "\r{:width$}\r", "", width = self.width);
        }
    }
}
