//! Remote failures, in the terms their callers can act on.
//!
//! Three questions decide every failure: do we try again, does it count against the service, what
//! does the caller hear. [`ErrorKind`] answers all three. Interruption, cache miss and empty
//! transcript are not errors; they are variants or `Option`s where they happen.

use std::fmt;
use std::time::Duration;

use serde::Serialize;

/// The cause of a [`CallError`], for debugging only.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// The remote services of the process: a closed set, safe as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Service {
    /// The OpenAI-compatible endpoint: transcription, chat and speech.
    OpenAi,
    /// The LiveKit server.
    LiveKit,
    /// Any other HTTP service that a tool talks to.
    Http,
    /// Supabase's data API (PostgREST).
    Supabase,
    /// Postgres, spoken to directly.
    Postgres,
    /// The embedded database.
    Sqlite,
    /// The cache that workers share.
    Redis,
    /// The servers that lend the agent tools.
    Mcp,
}

impl Service {
    /// Every service there is.
    pub const ALL: [Self; 8] = [
        Self::OpenAi,
        Self::LiveKit,
        Self::Http,
        Self::Supabase,
        Self::Postgres,
        Self::Sqlite,
        Self::Redis,
        Self::Mcp,
    ];

    /// The label in metrics, logs and stats.
    pub const fn label(self) -> &'static str {
        match self {
            Self::OpenAi => "openai",
            Self::LiveKit => "livekit",
            Self::Http => "http",
            Self::Supabase => "supabase",
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
            Self::Redis => "redis",
            Self::Mcp => "mcp",
        }
    }

    /// Whether all that is asked of it is asked in one name, so that a refusal of that name is one of
    /// everything. Of the others each stage or tool may have a key of its own.
    pub const fn has_one_account(self) -> bool {
        matches!(
            self,
            Self::Supabase | Self::Postgres | Self::Sqlite | Self::Redis
        )
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

impl Serialize for Service {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.label())
    }
}

/// What went wrong, as far as anybody's next step depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
    /// The database is there, and what we need in it is not: the database of that name, a table, a
    /// function.
    SchemaMissing,
    /// An answer that cannot be decoded, or a stream that ended half way.
    Malformed,
    /// An answer with nothing in it: no word and no tool call, or no audio. A caller can bring a model to
    /// that, so it says nothing about the service.
    Empty,
    /// Our own breaker refused the call.
    CircuitOpen,
    /// Our own limit on connections was reached and no place became free before the deadline.
    Saturated,
    /// A bug of this program stopped the work.
    Internal,
}

impl ErrorKind {
    /// Every kind there is, in the order of declaration.
    pub const ALL: [Self; 11] = [
        Self::Timeout,
        Self::RateLimited,
        Self::Unavailable,
        Self::Unauthorized,
        Self::Rejected,
        Self::SchemaMissing,
        Self::Malformed,
        Self::Empty,
        Self::CircuitOpen,
        Self::Saturated,
        Self::Internal,
    ];

    /// Whether the same call may succeed when tried again.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Self::Timeout | Self::RateLimited | Self::Unavailable | Self::Malformed | Self::Empty
        )
    }

    /// Whether the failure says that a service is of no use to anybody: it does not answer, or not as
    /// it should, or refuses the one name that it is asked in. A service that is asked all the same, with
    /// a wrong password, may shut out the worker's address.
    pub const fn counts_against(self, service: Service) -> bool {
        match self {
            Self::Timeout | Self::Unavailable | Self::Malformed | Self::SchemaMissing => true,
            Self::Unauthorized => service.has_one_account(),
            Self::RateLimited
            | Self::Rejected
            | Self::Empty
            | Self::CircuitOpen
            | Self::Saturated
            | Self::Internal => false,
        }
    }

    /// Whether the failure is a sign that the service has too much to do.
    pub const fn is_overload(self) -> bool {
        matches!(self, Self::Timeout | Self::RateLimited | Self::Unavailable)
    }

    /// Whether an operator has to act before the same call can succeed.
    pub const fn needs_operator(self) -> bool {
        matches!(
            self,
            Self::Unauthorized | Self::Rejected | Self::SchemaMissing
        )
    }

    /// The label in metrics and logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::RateLimited => "rate_limited",
            Self::Unavailable => "unavailable",
            Self::Unauthorized => "unauthorized",
            Self::Rejected => "rejected",
            Self::SchemaMissing => "schema_missing",
            Self::Malformed => "malformed",
            Self::Empty => "empty",
            Self::CircuitOpen => "circuit_open",
            Self::Saturated => "saturated",
            Self::Internal => "internal",
        }
    }

    /// What the caller hears when the conversation cannot go on without the failed call.
    pub const fn spoken(self) -> &'static str {
        match self {
            Self::RateLimited | Self::Saturated => {
                "I'm sorry, I have too much to do right now. Please try again in a moment."
            }
            Self::Timeout
            | Self::Unavailable
            | Self::CircuitOpen
            | Self::Malformed
            | Self::Empty
            | Self::Internal => {
                "I'm sorry, I'm having trouble right now. Could you please say that again?"
            }
            Self::Unauthorized | Self::Rejected | Self::SchemaMissing => {
                "I'm sorry, something is wrong on my side and I can't help with that right now."
            }
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
            Self::SchemaMissing => "database, table or function missing",
            Self::Malformed => "answer cannot be read",
            Self::Empty => "answer without a word or a sound",
            Self::CircuitOpen => "not tried: the service has been failing",
            Self::Saturated => "not tried: all connections were busy until the deadline",
            Self::Internal => "stopped by a bug of this program",
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
    pub cause: Option<Cause>,
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

    /// A copy for another who waited for the same call; the cause stays with the first.
    #[must_use]
    pub fn without_cause(&self) -> Self {
        Self {
            retry_after: self.retry_after,
            ..Self::new(self.service, self.operation, self.kind)
        }
    }

    /// The same error with its cause.
    #[must_use]
    pub fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_message_leaves_out_the_cause() {
        let error = CallError::new(Service::OpenAi, "chat.stream", ErrorKind::Timeout)
            .because("my name is John");
        assert_eq!(error.to_string(), "openai chat.stream: no answer in time");
    }

    #[test]
    fn what_needs_an_operator_is_never_retried() {
        for kind in ErrorKind::ALL {
            assert!(!(kind.needs_operator() && kind.is_retryable()), "{kind:?}");
        }
    }

    #[test]
    fn a_refused_name_counts_where_there_is_only_one() {
        let counts = |service| ErrorKind::Unauthorized.counts_against(service);
        let with_one = Service::ALL.into_iter().filter(|service| counts(*service));
        let expected = [
            Service::Supabase,
            Service::Postgres,
            Service::Sqlite,
            Service::Redis,
        ];
        assert_eq!(with_one.collect::<Vec<_>>(), expected);
    }

    #[test]
    fn labels_are_distinct() {
        let labels: std::collections::HashSet<_> =
            ErrorKind::ALL.iter().map(|kind| kind.label()).collect();
        assert_eq!(labels.len(), ErrorKind::ALL.len());
    }
}
