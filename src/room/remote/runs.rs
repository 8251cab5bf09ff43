//! `run_input`: texts that a front end gives to the agent and whose turn it wants to see.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use livekit_protocol::agent::AgentSessionMessage;
use livekit_protocol::agent::chat_context::ChatItem as PbItem;
use livekit_protocol::agent::session_response::{Response, RunInputResponse};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::response;
use crate::chat::ChatItem;
use crate::turn::TEXT_BYTES_MAX;

/// Runs that may wait for their turn; more are refused.
const RUNS_MAX: usize = 8;

/// How long a run waits for its turn: longer than anything that an agent says without a break.
const RUN_MAX: Duration = Duration::from_secs(300);

/// Admits runs where their texts enter, so that a refused text never reaches the session. Clones share
/// the limit.
#[derive(Clone)]
pub(super) struct RunLimit(Arc<Semaphore>);

/// A run that was admitted; the permit returns when the run is over.
pub(in crate::room) type RunPermit = OwnedSemaphorePermit;

impl Default for RunLimit {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(RUNS_MAX)))
    }
}

impl RunLimit {
    /// Admits the run of this text, or says for its sender why not.
    pub(super) fn admit(&self, text: &str) -> Result<RunPermit, &'static str> {
        let text = text.trim();
        if text.is_empty() {
            return Err("run_input: the text must not be empty");
        }
        if text.len() > TEXT_BYTES_MAX {
            return Err("run_input: the text must not be longer than 8 KB");
        }
        let permit = Arc::clone(&self.0).try_acquire_owned();
        permit.map_err(|_| "run_input: too many texts are waiting for an answer")
    }
}

struct Run {
    request_id: String,
    text: String,
    since: SystemTime,
    /// Whether the text has entered the conversation.
    has_begun: bool,
    items: Vec<PbItem>,
    _permit: RunPermit,
}

/// The runs that are not over, in order.
#[derive(Default)]
pub(super) struct Runs(VecDeque<Run>);

impl Runs {
    /// Waits for the turn of this text.
    pub(super) fn begin(
        &mut self,
        now: SystemTime,
        request_id: String,
        text: &str,
        permit: RunPermit,
    ) {
        self.0.push_back(Run {
            request_id,
            text: text.trim().to_owned(),
            since: now,
            has_begun: false,
            items: Vec::new(),
            _permit: permit,
        });
    }

    /// Something entered the conversation. A turn of the user may hold the texts of several runs, each
    /// on lines of its own and in their order.
    pub(super) fn on_item(&mut self, item: &ChatItem, told: &PbItem) {
        if let ChatItem::User(text) = item {
            let mut rest = text.as_str();
            for run in self.0.iter_mut().filter(|run| !run.has_begun) {
                if let Some(behind) = behind_lines(rest, &run.text) {
                    run.has_begun = true;
                    rest = behind;
                }
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

    /// Time passed: the answers to the runs whose turn does not come any more.
    pub(super) fn expire(&mut self, now: SystemTime) -> Vec<AgentSessionMessage> {
        let is_late = |run: &Run| {
            let age = now.duration_since(run.since);
            age.is_ok_and(|age| age >= RUN_MAX)
        };
        let late = self.0.iter().take_while(|run| is_late(run)).count();
        let error = "run_input: the text was not answered in time";
        let late = self.0.drain(..late);
        late.map(|run| response(run.request_id, Err(error.to_owned())))
            .collect()
    }
}

/// What follows `lines` in a text, if they are whole lines of it.
fn behind_lines<'a>(text: &'a str, lines: &str) -> Option<&'a str> {
    text.match_indices(lines).find_map(|(at, _)| {
        let (before, behind) = (&text[..at], &text[at + lines.len()..]);
        let is_whole = (before.is_empty() || before.ends_with('\n'))
            && (behind.is_empty() || behind.starts_with('\n'));
        is_whole.then_some(behind)
    })
}
