//! The tools of an exchange: asked for by the model, answered, and the model goes on.

use super::super::protocol::ClientEvent;
use super::{Action, Dialogue, Moment};
use crate::chat::{ChatItem, ToolCall, ToolOutput};
use crate::room::SessionEvent;

impl Dialogue {
    /// A tool has answered.
    pub(in super::super) fn on_tool(&mut self, at: Moment, call: ToolCall, output: ToolOutput) {
        let Some(turn) = &mut self.turn else { return };
        let Some(place) = turn.running.iter().position(|it| it.id == call.id) else {
            return;
        };
        turn.running.remove(place);
        turn.ran.push((call.clone(), output.clone()));
        let answer = ChatItem::ToolOutput {
            call_id: call.id.clone(),
            output,
        };
        self.act(Action::Send(ClientEvent::item(&answer)));
        self.remember(ChatItem::ToolCall(call));
        self.remember(answer);
        self.go_on(at);
    }

    /// Once all tools of a round have answered, the model goes on.
    pub(super) fn go_on(&mut self, at: Moment) {
        let rounds_max = self.limits.tool_rounds_max;
        let Some(turn) = &mut self.turn else { return };
        if turn.response.is_some() || !turn.running.is_empty() || turn.ran.is_empty() {
            return;
        }
        turn.n_rounds += 1;
        turn.may_use_tools = turn.n_rounds < rounds_max;
        let (calls, outputs) = turn.ran.drain(..).unzip();
        self.act(Action::Tell(SessionEvent::FunctionToolsExecuted {
            calls,
            outputs,
        }));
        self.respond(at);
    }
}
