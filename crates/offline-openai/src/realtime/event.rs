//! What is sent: events, and refusals as events.

use serde_json::{Value, json};

use crate::ids::fresh_id;

/// Why a request of the client is refused; the session goes on.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) param: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            param: None,
        }
    }

    /// Names what is wrong.
    pub(super) fn of(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The event for it; `event_id` is that of the request.
    pub(super) fn event(self, event_id: &Value) -> Value {
        event(
            "error",
            json!({"error": {
                "type": "invalid_request_error",
                "code": self.code,
                "message": self.message,
                "param": self.param,
                "event_id": event_id,
            }}),
        )
    }
}

/// An event of ours with these fields.
pub(super) fn event(kind: &str, mut fields: Value) -> Value {
    fields["type"] = json!(kind);
    fields["event_id"] = json!(fresh_id("event"));
    fields
}
