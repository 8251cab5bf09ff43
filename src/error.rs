//! Remote failures, in the terms their callers can act on.
//!
//! Three questions decide every failure: do we try again, does it count against the service, what
//! does the caller hear. [`ErrorKind`] answers all three. Interruption, cache miss and empty
//! transcript are not errors; they are variants or `Option`s where they happen.

use std::fmt;
use std::time::Duration;

/// The remote services of the process: a closed set, safe as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// The OpenAI-compatible endpoint: transcription, chat and speech.
    OpenAi,
    /// The LiveKit server.
    LiveKit,
}

impl Service {
    /// The label in metrics, logs and stats.
    pub const fn label(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::LiveKit => "livekit",
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What went wrong, as far as anybody's next step depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Our deadline passed, or the service answered 408.
    Timeout,
    /// The service answered 429.
    RateLimited,
    /// No connection, a 5xx answer or a closed socket.
    Unavailable,
    /// 401 or 403: the key is missing, wrong or not allowed to do this.
    Unauthorized,
    /// Any other 4xx: the request is at fault, which is a bug or a setting of ours.
    Rejected,
    /// An answer that cannot be decoded, or a stream that ended half way.
    Malformed,
    /// Our own breaker refused the call.
    CircuitOpen,
}

impl ErrorKind {
    /// Whether the same call may succeed when tried again.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::RateLimited | Self::Unavailable | Self::Malformed
        )
    }

    /// Whether the failure says something about the health of the service.
    pub const fn counts_against_service(self) -> bool {
        matches!(self, Self::Timeout | Self::Unavailable | Self::Malformed)
    }

    /// The label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Unauthorized => "unauthorized",
            Self::Rejected => "rejected",
            Self::Malformed => "malformed",
            Self::CircuitOpen => "circuit_open",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timeout => "no answer in time",
            Self::RateLimited => "too many requests for the account's limit",
            Self::Unavailable => "service not reachable or failing",
            Self::Unauthorized => "key missing, wrong or without permission",
            Self::Rejected => "request refused",
            Self::Malformed => "answer cannot be read",
            Self::CircuitOpen => "not tried: the service has been failing",
        })
    }
}

/// A remote call that failed.
#[derive(Debug, thiserror::Error)]
#[error("{service} {operation}: {kind}")]
pub struct CallError {
    /// Who failed.
    pub service: Service,
    /// What was asked of it, such as `chat.stream`; a closed set, safe as a label.
    pub operation: &'static str,
    /// What went wrong.
    pub kind: ErrorKind,
    /// How long the service asked us to wait.
    pub retry_after: Option<Duration>,
    /// For debugging; may hold what a caller said, so it is never part of the message.
    #[source]
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl CallError {
    /// An error without cause or advice.
    pub fn new(service: Service, operation: &'static str, kind: ErrorKind) -> Self {
        Self {
            service,
            operation,
            kind,
            retry_after: None,
            cause: None,
        }
    }
}
