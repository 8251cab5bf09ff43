//! What the user types in place of speaking.

use super::super::protocol::ClientEvent;
use super::presence::Presence;
use super::{Action, Dialogue, Moment};
use crate::chat::ChatItem;
use crate::room::SessionEvent;
use crate::turn::{TEXTS_APART, TurnSource};

impl Dialogue {
    /// The user typed something.
    pub(in super::super) fn typed(&mut self, at: Moment, text: String) {
        let n_dropped = self.typed.push(text);
        if n_dropped > 0 {
            self.act(Action::DropTexts(n_dropped));
        }
        self.take_typed(at);
    }

    /// Answers what was typed, as one turn, unless it has to wait. A text that the user sent before they
    /// were lost waits for them.
    pub(super) fn take_typed(&mut self, at: Moment) {
        let is_away = self.presence == Presence::Away;
        if is_away || self.is_deaf() || self.is_answering_text(at) {
            return;
        }
        let Some(text) = self.typed.take() else {
            return;
        };
        self.interrupt(at);
        self.is_here();
        let item = ChatItem::User(text.clone());
        self.act(Action::Send(ClientEvent::item(&item)));
        let turn = self.begin_next(TurnSource::Text);
        turn.transcript = text;
        turn.timeline.committed = Some(at.now);
        let timeline = Box::new(turn.timeline);
        self.remember(item.clone());
        // A front end that gave the text to the agent finds its run by it.
        self.act(Action::Tell(SessionEvent::ConversationItemAdded {
            item,
            timeline,
            at: at.now,
        }));
        self.respond(at);
    }

    /// Whether the answer to an earlier text was asked for a moment ago and is not heard yet. Texts wait
    /// for each other then: each answer is a request to the service, which the next text stops.
    fn is_answering_text(&self, at: Moment) -> bool {
        self.turn.as_ref().is_some_and(|turn| {
            let timeline = &turn.timeline;
            turn.source == TurnSource::Text
                && timeline.playout_started.is_none()
                && (timeline.committed).is_some_and(|since| at.now.since(since) < TEXTS_APART)
        })
    }
}
