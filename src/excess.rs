//! Counts what services sent beyond a bound, and parts of the program that a bug stopped.
//!
//! Every bound stands where the answer enters (`pool/`, `llm/`, `tts/`, `tools/`, `session/`); this
//! module counts what a bound cut or refused and logs each kind at most once a minute, so that a
//! broken service never floods the log. The counts belong to the process, as services do: a decoder
//! deep in the pool counts without being handed a counter.
//!
//! **Invariant:** a count and a line of the log name the bound, never what was sent.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use tokio::time::Instant;

/// Time between two log lines of one kind.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// A kind of answer that has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excess {
    /// A reply of the model that is longer than one may be.
    Reply,
    /// Audio of a sentence that is longer than its characters explain.
    Speech,
    /// A transcript that is longer than anyone speaks at a time.
    Transcript,
    /// A tool of an MCP server that is left out, or whose description is cut.
    ToolList,
    /// The output of a tool, cut.
    ToolOutput,
    /// More tool calls, or longer arguments, than one answer may have.
    ToolCalls,
    /// An HTTP body that is longer than its bound.
    Body,
    /// A WebSocket message that is longer than its bound.
    Message,
    /// A WebSocket whose peer takes messages too slowly.
    Outgoing,
}

impl Excess {
    /// Every kind, in the order of their counts.
    pub const ALL: [Self; 9] = [
        Self::Reply,
        Self::Speech,
        Self::Transcript,
        Self::ToolList,
        Self::ToolOutput,
        Self::ToolCalls,
        Self::Body,
        Self::Message,
        Self::Outgoing,
    ];

    /// The label in metrics and in the log.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Reply => "reply",
            Self::Speech => "speech",
            Self::Transcript => "transcript",
            Self::ToolList => "tool_list",
            Self::ToolOutput => "tool_output",
            Self::ToolCalls => "tool_calls",
            Self::Body => "body",
            Self::Message => "message",
            Self::Outgoing => "outgoing",
        }
    }

    /// Answers of this kind that were cut or refused since the process began.
    pub fn counted(self) -> u64 {
        COUNTS[self as usize].load(Ordering::Relaxed)
    }

    /// Counts one. `why` names the bound.
    pub fn count(self, why: &'static str) {
        COUNTS[self as usize].fetch_add(1, Ordering::Relaxed);
        let mut logged = LOGGED[self as usize]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if logged.is_none_or(|at| at.elapsed() >= LOG_EVERY) {
            *logged = Some(Instant::now());
            tracing::warn!(
                kind = self.label(),
                why,
                "a service exceeded a bound; more of this kind within a minute is only counted"
            );
        }
    }
}

static COUNTS: [AtomicU64; Excess::ALL.len()] = [const { AtomicU64::new(0) }; Excess::ALL.len()];
static LOGGED: [Mutex<Option<Instant>>; Excess::ALL.len()] =
    [const { Mutex::new(None) }; Excess::ALL.len()];
static PANICS: AtomicU64 = AtomicU64::new(0);

/// A bug stopped a part of a call. The panic hook has logged where; the text of the panic may hold
/// what a caller said and is dropped here.
#[derive(Debug, thiserror::Error)]
#[error("a bug stopped it; the log has the place")]
pub struct Panicked;

impl Panicked {
    /// Counts a panic that was caught.
    pub fn caught(_text: Box<dyn Any + Send>) -> Self {
        PANICS.fetch_add(1, Ordering::Relaxed);
        Self
    }

    /// Parts of calls that a bug stopped since the process began.
    pub fn counted() -> u64 {
        PANICS.load(Ordering::Relaxed)
    }
}

/// Runs a future whose panic is a failure of its own and not the end of the call.
///
/// # Errors
/// When it panics. Whatever it shares with others must be usable afterwards.
///
/// Cancel safety: that of the future.
pub async fn contained<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let caught = AssertUnwindSafe(future).catch_unwind().await;
    caught.map_err(Panicked::caught)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_distinct_and_each_kind_counts_for_itself() {
        let labels: std::collections::HashSet<_> = Excess::ALL.map(Excess::label).into();
        assert_eq!(labels.len(), Excess::ALL.len());
        for (place, kind) in Excess::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
    }

    #[tokio::test]
    async fn a_panic_is_a_failure_and_a_count() {
        let before = Panicked::counted();
        assert_eq!(contained(async { 1 }).await.ok(), Some(1));
        let failed = contained(async { panic!("my PIN is 4711") }).await;
        let text = failed.map(|(): ()| ()).unwrap_err().to_string();
        assert!(!text.contains("4711"), "{text}");
        assert!(Panicked::counted() > before);
    }
}
