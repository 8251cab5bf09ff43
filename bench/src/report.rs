//! What people see of a conversation, and what programs read of it.

use serde::Serialize;

/// One exchange as the caller experienced it.
#[derive(Debug, Serialize)]
pub struct TurnReport {
    /// What the caller said; empty for the greeting.
    pub said: String,
    /// What the caller understood.
    pub heard: String,
    /// From the last loud sample sent (or from joining, for the greeting) to the first loud sample
    /// received. Milliseconds; absent when nothing was heard.
    pub latency_ms: Option<u64>,
    /// How long the answer sounded, in milliseconds.
    pub answer_ms: u64,
    /// Whether the answer was heard and had one of the expected words.
    pub ok: bool,
}

/// One call.
#[derive(Debug, Serialize)]
pub struct CallReport {
    /// From connecting to the end of joining, in milliseconds.
    pub join_ms: u64,
    /// The greeting.
    pub greeting: TurnReport,
    /// The turns, in order.
    pub turns: Vec<TurnReport>,
}

impl CallReport {
    /// Whether every turn was answered as expected.
    fn is_ok(&self) -> bool {
        self.greeting.ok && self.turns.iter().all(|turn| turn.ok)
    }
}

/// The whole conversation.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether every turn of every call was answered as expected.
    pub ok: bool,
    /// The call.
    #[serde(flatten)]
    pub call: CallReport,
    /// The next call of the same caller, in another room.
    pub next_call: Option<CallReport>,
}

impl Report {
    /// What came of the call and the one after it.
    pub fn new(call: CallReport, next_call: Option<CallReport>) -> Self {
        Self {
            ok: call.is_ok() && next_call.as_ref().is_none_or(CallReport::is_ok),
            call,
            next_call,
        }
    }
}

impl TurnReport {
    /// The turn as two lines of dialogue.
    pub fn dialogue(&self) -> String {
        let latency = match self.latency_ms {
            Some(ms) => format!("{:.2} s", ms as f64 / 1_000.0),
            None => "no answer".to_owned(),
        };
        let mark = if self.ok {
            ""
        } else {
            "   ✗ not what was expected"
        };
        let agent = format!("agent  [{latency}]  {}{mark}", self.heard);
        if self.said.is_empty() {
            agent
        } else {
            format!("caller {}\n{agent}", self.said)
        }
    }
}
