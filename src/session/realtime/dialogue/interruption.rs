//! How the agent is stopped, and what the service is told of it.

use super::super::protocol::ClientEvent;
use super::{Action, Dialogue, Moment};
use crate::chat::{ChatItem, ToolOutput};
use crate::turn::ReplyOutcome;

impl Dialogue {
    /// The user stops the agent, if it can be stopped.
    pub(super) fn interrupt(&mut self, at: Moment) {
        if !self.is_deaf() {
            self.stop(at);
        }
    }

    /// Stops the agent: silence, and what was heard is what was said.
    pub(super) fn stop(&mut self, at: Moment) {
        let Some(turn) = &mut self.turn else { return };
        let ends_with = turn.ends_with.take();
        self.cancelled = turn.response.take();
        self.is_owed = false;
        if self.cancelled.as_deref() == Some("") {
            self.n_unwanted = self.n_asked;
        }
        let cut = turn.speeches.iter();
        let cut = cut.filter(|it| !it.is_ours && it.is_cut(at.position));
        let truncations: Vec<_> = cut
            .map(|speech| ClientEvent::Truncate {
                item_id: speech.item.clone(),
                content_index: 0,
                audio_end_ms: u64::try_from(speech.heard(at.position).as_millis())
                    .unwrap_or(u64::MAX),
            })
            .collect();
        let unanswered: Vec<_> = turn.running.drain(..).collect();
        self.act(Action::Silence);
        if self.cancelled.is_some() {
            self.act(Action::Send(ClientEvent::CancelResponse));
        }
        for event in truncations {
            self.act(Action::Send(event));
        }
        if !unanswered.is_empty() {
            self.act(Action::CancelTools);
        }
        for call in unanswered {
            let output = ToolOutput {
                text: "the user interrupted before the tool had answered".to_owned(),
                is_error: true,
            };
            let answer = ChatItem::ToolOutput {
                call_id: call.id,
                output,
            };
            self.act(Action::Send(ClientEvent::item(&answer)));
        }
        self.queued_until = at.position;
        self.finish(at, ReplyOutcome::Interrupted);
        if let Some(error) = ends_with {
            self.act(Action::End(error));
        }
    }

    /// The session is over: what is being said ends here.
    pub(in super::super) fn close(&mut self, at: Moment) {
        self.stop(at);
        if let Some((_, segment, text)) = self.user_words.take() {
            self.act(Action::UserWords(segment, text, true));
        }
        if let Some((_, turn)) = self.unrecorded.take() {
            self.act(Action::Record(turn));
        }
    }
}
