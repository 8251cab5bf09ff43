//! What goes on, for whoever watches; nothing when nobody does.

use std::io::{IsTerminal, Write};

/// Writes to standard error if that is a terminal.
pub(crate) struct Progress {
    is_watched: bool,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            is_watched: std::io::stderr().is_terminal(),
        }
    }

    /// In place of the last note.
    pub(crate) fn note(&self, text: &str) {
        if self.is_watched {
            // A terminal that is gone is no reason to stop.
            write!(std::io::stderr(), "\r\x1b[K{text}").ok();
        }
    }

    /// Takes the last note away.
    pub(crate) fn done(&self) {
        self.note("");
    }
}
