//! Whether to ask somebody how it is, and what to think of it until then. Plain: time is an argument.

use std::time::Duration;

use tokio::time::Instant;

use super::BreakerState;

/// What is known without asking.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signs {
    pub(super) breaker: BreakerState,
    pub(super) last_answer: Option<Instant>,
    pub(super) last_check: Option<Instant>,
    pub(super) is_failing: bool,
    pub(super) is_suspect: bool,
}

impl Signs {
    /// Whether to ask.
    pub(super) fn is_due(self, now: Instant, check_after: Duration) -> bool {
        match self.breaker {
            // It would be refused.
            BreakerState::Open => return false,
            // Better a probe of ours than a caller's.
            BreakerState::HalfOpen => return true,
            BreakerState::Closed => {}
        }
        let has_answered_since = self.last_answer > self.last_check;
        if self.is_suspect || (self.is_failing && !has_answered_since) {
            return true;
        }
        (self.last_answer.max(self.last_check)).is_none_or(|last| now - last >= check_after)
    }

    /// Whether a caller may expect an answer.
    pub(super) fn is_well(self) -> bool {
        let has_answered_since = self.last_answer > self.last_check;
        self.breaker == BreakerState::Closed && (has_answered_since || !self.is_failing)
    }
}
