//! What the user types in place of speaking.

use super::super::protocol::ClientEvent;
use super::presence::Presence;
use super::{Action, Dialogue, Moment};
use crate::chat::ChatItem;
use crate::turn::TurnSource;

impl Dialogue {
    /// The user typed something.
    pub(in super::super) fn typed(&mut self, at: Moment, text: String) {
        // A text that the user sent before they were lost waits for them.
        if self.is_deaf() || self.presence == Presence::Away {
            self.typed.push(text);
            return;
        }
        self.interrupt(at);
        self.is_here();
        let item = ChatItem::User(text.clone());
        self.act(Action::Send(ClientEvent::item(&item)));
        let turn = self.begin_next(TurnSource::Text);
        turn.transcript = text;
        turn.timeline.committed = Some(at.now);
        self.remember(item);
        self.respond(at);
    }

    /// What was typed while the agent was not to be interrupted is answered now.
    pub(super) fn take_typed(&mut self, at: Moment) {
        if self.presence == Presence::Away {
            return;
        }
        let typed = std::mem::take(&mut self.typed);
        if !typed.is_empty() {
            self.typed(at, typed.join("\n"));
        }
    }
}
