//! `run_input`: texts that a front end gives to the agent and whose turn it wants to see.

use std::collections::VecDeque;

use livekit_protocol::agent::AgentSessionMessage;
use livekit_protocol::agent::chat_context::ChatItem as PbItem;
use livekit_protocol::agent::session_response::{Response, RunInputResponse};

use super::response;
use crate::chat::ChatItem;

/// Runs that may wait for their turn; more are refused.
const RUNS_MAX: usize = 8;

struct Run {
    request_id: String,
    text: String,
    /// Whether the text has entered the conversation.
    has_begun: bool,
    items: Vec<PbItem>,
}

/// The runs that are not over, in order.
#[derive(Default)]
pub(super) struct Runs(VecDeque<Run>);

impl Runs {
    /// Waits for the turn of this text. `Some`: why not.
    pub(super) fn begin(&mut self, request_id: &str, text: &str) -> Option<String> {
        let text = text.trim();
        if text.is_empty() {
            return Some("run_input: the text must not be empty".to_owned());
        }
        if self.0.len() == RUNS_MAX {
            return Some("run_input: too many texts are waiting for an answer".to_owned());
        }
        self.0.push_back(Run {
            request_id: request_id.to_owned(),
            text: text.to_owned(),
            has_begun: false,
            items: Vec::new(),
        });
        None
    }

    /// Something entered the conversation.
    pub(super) fn on_item(&mut self, item: &ChatItem, told: &PbItem) {
        if let ChatItem::User(text) = item {
            let mut waiting = self.0.iter_mut();
            if let Some(run) = waiting.find(|run| !run.has_begun && run.text == *text) {
                run.has_begun = true;
            }
            return;
        }
        // What the agent says belongs to the latest text.
        if let Some(run) = self.0.iter_mut().rev().find(|run| run.has_begun) {
            run.items.push(told.clone());
        }
    }

    /// The agent has nothing more to say: the answers to the runs that had begun.
    pub(super) fn finish(&mut self) -> Vec<AgentSessionMessage> {
        let (begun, waiting): (VecDeque<_>, _) = self.0.drain(..).partition(|run| run.has_begun);
        self.0 = waiting;
        let answer = |run: Run| {
            let items = RunInputResponse { items: run.items };
            response(run.request_id, Ok(Response::RunInput(items)))
        };
        Vec::from(begun).into_iter().map(answer).collect()
    }
}
