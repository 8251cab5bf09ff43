//! What a call is, before it is made.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::endpoint::Endpoint;
use super::urgency::CallOptions;
use crate::error::{CallError, ErrorKind, Service};

/// Who waits for a call. Each has a breaker, a limit and permits of its own at every host, so that
/// nothing that happens to work in the background is felt in a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Somebody in a conversation.
    Caller,
    /// Nobody: work beside or after it, such as finding what is worth remembering.
    Background,
}

impl Priority {
    /// The label in metrics, logs and stats.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Caller => "caller",
            Self::Background => "background",
        }
    }
}

/// What a call is: who is asked for what, and how long it may take.
#[derive(Clone, Debug)]
pub struct CallSpec {
    /// Who is asked.
    pub service: Service,
    /// Who waits for it.
    pub priority: Priority,
    /// For what, such as `chat.stream`: a closed set, it is a label of metrics.
    pub operation: &'static str,
    /// Host whose connections are used; `None` for services with a pool of their own.
    pub host: Option<Arc<str>>,
    /// The whole call: waiting for a permit, every attempt and every pause between them. For a
    /// stream it ends with the first item.
    pub timeout: Duration,
    /// One attempt.
    pub attempt_timeout: Duration,
    /// Tries after the first one; `None` for as many as the pool allows. One on a connection that
    /// turned out to be dead does not count.
    pub retries_max: Option<u32>,
    /// Whether a second attempt does no harm when the first one may have had its effect.
    pub is_repeatable: bool,
    /// How long to wait for an answer before a second attempt is made beside the first.
    pub hedge_after: Option<Duration>,
    /// For which caller, and how urgent.
    pub options: CallOptions,
}

impl CallSpec {
    /// A call that may use its whole time for one attempt. Without a `host` the service has a pool
    /// of its own (a [`Backend`](super::Backend)) and takes no HTTP connection.
    pub fn new(
        service: Service,
        operation: &'static str,
        host: Option<Arc<str>>,
        timeout: Duration,
    ) -> Self {
        Self {
            service,
            priority: Priority::Caller,
            operation,
            host,
            timeout,
            attempt_timeout: timeout,
            retries_max: None,
            is_repeatable: true,
            hedge_after: None,
            options: CallOptions::default(),
        }
    }

    /// A call to an HTTP endpoint, of whichever service it is.
    pub fn to(operation: &'static str, endpoint: &Endpoint, timeout: Duration) -> Self {
        let host = Some(Arc::clone(endpoint.host()));
        Self::new(endpoint.service(), operation, host, timeout)
    }

    /// A call to an OpenAI-compatible endpoint.
    pub fn openai(operation: &'static str, endpoint: &Endpoint, timeout: Duration) -> Self {
        Self::to(operation, endpoint, timeout)
    }

    /// The same call, as one that no caller waits for.
    #[must_use]
    pub fn background(mut self) -> Self {
        self.priority = Priority::Background;
        self
    }

    /// The same call, for this caller and this urgent.
    #[must_use]
    pub fn options(mut self, options: &CallOptions) -> Self {
        self.options = options.clone();
        self
    }

    /// The same call with a limit for each attempt.
    #[must_use]
    pub fn attempt_timeout(mut self, attempt_timeout: Duration) -> Self {
        self.attempt_timeout = attempt_timeout;
        self
    }

    /// The same call with a limit on how often it is tried again, as for one that somebody else can
    /// take over.
    #[must_use]
    pub fn retries_max(mut self, retries_max: Option<u32>) -> Self {
        self.retries_max = retries_max;
        self
    }

    /// The same call, made once at most: for effects that must not happen twice.
    #[must_use]
    pub fn once(mut self) -> Self {
        self.is_repeatable = false;
        self
    }

    /// The same call, hedged: when an attempt has no answer after this time, a second one is made
    /// beside it. The first answer wins, the other attempt is dropped. Only for what is cheap to
    /// ask twice.
    #[must_use]
    pub fn hedge_after(mut self, hedge_after: Duration) -> Self {
        self.hedge_after = Some(hedge_after);
        self
    }

    /// A failure of this call.
    pub fn error(&self, kind: ErrorKind) -> CallError {
        CallError::new(self.service, self.operation, kind)
    }
}
