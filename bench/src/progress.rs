//! What goes on, for whoever watches; nothing when nobody does.

use std::io::{IsTerminal, Write};

/// Writes to standard error if that is a terminal.
pub struct Progress {
    is_watched: bool,
}

impl Progress {
    /// Looks whether anybody watches.
    #[expect(clippy::new_without_default, reason = "it depends on the terminal")]
    pub fn new() -> Self {
        Self {
            is_watched: std::io::stderr().is_terminal(),
        }
    }

    /// In place of the last note.
    pub fn note(&self, text: &str) {
        if self.is_watched {
            // A terminal that is gone is no reason to stop.
            write!(std::io::stderr(), "\r\x1b[K{text}").ok();
        }
    }

    /// Takes the last note away.
    pub fn done(&self) {
        self.note("");
    }
}
