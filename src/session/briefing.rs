//! Who the user is, and what the model is told of them.

use std::time::Duration;

use super::GreetingMode;
use super::event_loop::Conversation;
use crate::memory::Briefing;
use crate::redact::Pii;
use crate::turn::{SessionTime, TurnInput};

/// How long a generated greeting waits for what is known of the user: less than anybody notices.
pub(super) const BRIEFING_WITHIN: Duration = Duration::from_millis(150);

impl Conversation {
    /// Somebody is there, perhaps another one than before: then what was said is not theirs to know.
    pub(super) fn on_user_joined(&mut self, now: SessionTime, identity: Pii<String>) {
        self.listener.change_source();
        let last = self.user.replace(identity);
        if last.is_some() && last != self.user {
            self.core.chat.items.clear();
        }
        self.forget_user();
        let is_generated = self.core.agent.greeting.mode == GreetingMode::Generate;
        if self.links.briefings.is_some() && is_generated && self.core.greeting.is_some() {
            self.greet_by = Some(now + BRIEFING_WITHIN);
        } else {
            self.greet(now);
        }
        self.input(now, TurnInput::UserJoined);
    }

    /// Nobody is there until the same one is back, or another one joins.
    pub(super) fn on_user_gone(&mut self) {
        self.greet_by = None;
        self.drop_prepared();
        self.forget_user();
    }

    /// Tells the model of the user, from the next reply on; a greeting that was made without this
    /// and has not been heard is made again.
    pub(super) fn on_briefing(&mut self, now: SessionTime, briefing: &Briefing) {
        self.forget_user();
        if !briefing.is_empty() {
            let instructions = &mut self.core.chat.instructions;
            *instructions = format!("{instructions}\n\n{}", briefing.text());
            if self.core.greeting.is_some() {
                self.core.greeting = self.core.make_greeting();
            }
        }
        if self.greet_by.take().is_some() {
            self.greet(now);
        }
    }

    /// When something has to be done without an event.
    pub(super) fn deadline(&self) -> Option<SessionTime> {
        let deadlines = [self.listener.deadline(), self.greet_by];
        deadlines.into_iter().flatten().min()
    }

    /// Greets without knowing whom, when that takes too long.
    pub(super) fn greet_if_late(&mut self, now: SessionTime) {
        if self.greet_by.take_if(|by| *by <= now).is_some() {
            self.greet(now);
        }
    }

    fn forget_user(&mut self) {
        let instructions = &self.core.agent.instructions;
        self.core.chat.instructions.clone_from(instructions);
    }
}
