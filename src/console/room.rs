//! The terminal as a session's room.

use tokio::sync::mpsc;

use crate::chat::{ToolCall, ToolOutput};
use crate::room::{AgentState, RoomOutput, SegmentId, SessionEvent};

/// What may wait to be written, dropped when full: a terminal that takes nothing for that long is not
/// read by anybody.
const SHOWN_MAX: usize = 4096;

/// Something to be written.
pub(super) enum Shown {
    State(AgentState),
    /// More of what the agent says.
    Words(String),
    /// That was all of it.
    EndOfWords,
    Tool(ToolCall, ToolOutput),
    /// A service failed; for a person.
    Error(String),
}

/// Hands on what the session shows.
pub(super) struct TerminalRoom(mpsc::Sender<Shown>);

impl TerminalRoom {
    pub(super) fn new() -> (Self, mpsc::Receiver<Shown>) {
        let (shown, shown_out) = mpsc::channel(SHOWN_MAX);
        (Self(shown), shown_out)
    }

    fn show(&self, shown: Shown) {
        if self.0.try_send(shown).is_err() {
            tracing::debug!("something was not written: the terminal takes nothing");
        }
    }
}

impl RoomOutput for TerminalRoom {
    fn set_agent_state(&self, state: AgentState) {
        self.show(Shown::State(state));
    }

    /// The user has just typed it.
    fn user_transcript(&self, _: SegmentId, _: &str, _: bool) {}

    fn agent_transcript(&self, _: SegmentId, delta: &str) {
        self.show(Shown::Words(delta.to_owned()));
    }

    fn end_agent_transcript(&self, _: SegmentId) {
        self.show(Shown::EndOfWords);
    }

    fn session_event(&self, event: SessionEvent) {
        match event {
            SessionEvent::FunctionToolsExecuted { calls, outputs } => {
                for (call, output) in calls.into_iter().zip(outputs) {
                    self.show(Shown::Tool(call, output));
                }
            }
            SessionEvent::Error(error) => self.show(Shown::Error(error)),
            _ => {}
        }
    }
}
