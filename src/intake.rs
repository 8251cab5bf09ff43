//! Counts input that a participant sent beyond its bound.
//!
//! Every bound stands where the input enters (`room/`, `session/`); this module counts what a bound
//! refused and logs it once per call and kind, so a flood of input is never a flood of log lines.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A kind of input that has a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputKind {
    /// A typed text, or a text that an app asked the agent to answer.
    Text,
    /// Keys of a telephone.
    Keys,
    /// A front end's request on the session topic.
    Request,
    /// A call of one of the agent's RPC methods.
    Rpc,
    /// Audio recorded before the agent was there.
    Recording,
    /// A text or byte stream as a whole.
    Stream,
    /// An audio track.
    Track,
}

impl InputKind {
    /// Every kind, in the order of their counts.
    pub const ALL: [Self; 7] = [
        Self::Text,
        Self::Keys,
        Self::Request,
        Self::Rpc,
        Self::Recording,
        Self::Stream,
        Self::Track,
    ];

    /// The label in metrics and in the log.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Keys => "keys",
            Self::Request => "request",
            Self::Rpc => "rpc",
            Self::Recording => "recording",
            Self::Stream => "stream",
            Self::Track => "track",
        }
    }
}

/// Input that the process refused, by kind. Clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct RefusedInput(Arc<[AtomicU64; InputKind::ALL.len()]>);

impl RefusedInput {
    /// Inputs of this kind that were refused so far.
    pub fn count(&self, kind: InputKind) -> u64 {
        self.0[kind as usize].load(Ordering::Relaxed)
    }

    /// The counter of one call, which adds to the counts of the process.
    pub fn for_call(&self) -> CallIntake {
        CallIntake {
            process: self.clone(),
            logged: Arc::default(),
        }
    }
}

/// Counts and logs the refused input of one call. Clones belong to the same call.
#[derive(Clone, Debug, Default)]
pub struct CallIntake {
    process: RefusedInput,
    /// One bit per kind: whether the log has a line of it.
    logged: Arc<AtomicU32>,
}

impl CallIntake {
    /// Counts one refused input. `why` names the bound, never the input: it goes to the log the first
    /// time a call exceeds a bound of this kind.
    pub fn refuse(&self, kind: InputKind, why: &str) {
        self.process.0[kind as usize].fetch_add(1, Ordering::Relaxed);
        let bit = 1 << kind as u32;
        if self.logged.fetch_or(bit, Ordering::Relaxed) & bit == 0 {
            tracing::warn!(
                kind = kind.label(),
                why,
                "input refused; more of this kind in this call is only counted"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_share_the_counts_of_the_process() {
        let process = RefusedInput::default();
        let (a, b) = (process.for_call(), process.for_call());
        a.refuse(InputKind::Text, "too long");
        a.refuse(InputKind::Text, "too long");
        b.clone().refuse(InputKind::Text, "too long");
        b.refuse(InputKind::Track, "too many");
        let counts = InputKind::ALL.map(|kind| process.count(kind));
        assert_eq!(counts, [3, 0, 0, 0, 0, 0, 1]);
    }
}
