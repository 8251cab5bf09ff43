//! What became of turns, in numbers.

use serde::Serialize;

use crate::memory::batch::Counter;

/// Numbers of the recorders of all calls since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RecorderStats {
    /// Turns in which somebody said something.
    pub turns: u64,
    /// Turns that were dropped because too many waited.
    pub dropped: u64,
    /// Turns that nobody had looked at when their call was over for good.
    pub lost: u64,
    /// Questions to the model about what is worth remembering.
    pub extractions: u64,
    /// Questions to the model for a summary.
    pub profiles: u64,
    /// Questions that were not answered, or not as asked.
    pub failed: u64,
    /// Memories and summaries that were saved.
    pub saved: u64,
    /// Entries of answers that cannot be remembered.
    pub refused: u64,
    /// Memories and summaries that came to nothing, also when tried again: the store did not take them,
    /// or the model that writes summaries was away.
    pub unsaved: u64,
    /// Calls whose end waited for their last turns to be saved.
    pub flushes: u64,
    /// Such waits that `memory.recorder.flush_timeout_seconds` ended.
    pub flushes_cut: u64,
    /// Milliseconds of all such waits together.
    pub flush_ms: u64,
    /// Questions in flight now.
    pub in_flight: usize,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) turns: Counter,
    pub(super) dropped: Counter,
    pub(super) lost: Counter,
    pub(super) extractions: Counter,
    pub(super) profiles: Counter,
    pub(super) failed: Counter,
    pub(super) saved: Counter,
    pub(super) refused: Counter,
    pub(super) unsaved: Counter,
    pub(super) flushes: Counter,
    pub(super) flushes_cut: Counter,
    pub(super) flush_ms: Counter,
}

impl Counters {
    pub(super) fn stats(&self, in_flight: usize) -> RecorderStats {
        RecorderStats {
            turns: self.turns.get(),
            dropped: self.dropped.get(),
            lost: self.lost.get(),
            extractions: self.extractions.get(),
            profiles: self.profiles.get(),
            failed: self.failed.get(),
            saved: self.saved.get(),
            refused: self.refused.get(),
            unsaved: self.unsaved.get(),
            flushes: self.flushes.get(),
            flushes_cut: self.flushes_cut.get(),
            flush_ms: self.flush_ms.get(),
            in_flight,
        }
    }
}
