//! What the session tells front ends beside words and states.

use super::event_loop::Conversation;
use crate::chat::ChatItem;
use crate::error::CallError;
use crate::room::SessionEvent;
use crate::turn::{SessionTime, Timeline};

impl Conversation {
    /// Something enters the conversation as the model is given it.
    pub(super) fn add_to_chat(
        &mut self,
        at: SessionTime,
        items: Vec<ChatItem>,
        timeline: Timeline,
    ) {
        for item in items {
            self.core.chat.items.push(item.clone());
            self.room
                .session_event(SessionEvent::ConversationItemAdded {
                    item,
                    timeline: Box::new(timeline),
                    at,
                });
        }
    }

    /// Tells what the user does, when that has changed.
    pub(super) fn show_user_state(&mut self) {
        let state = self.listener.user_state();
        if std::mem::replace(&mut self.user_state, state) != state {
            self.room
                .session_event(SessionEvent::UserStateChanged(state));
        }
    }

    /// A service failed the conversation.
    pub(super) fn show_error(&self, error: &CallError) {
        self.room
            .session_event(SessionEvent::Error(error.to_string()));
    }
}
