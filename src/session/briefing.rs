//! The briefing of the model on the user, and the greeting that waits for it.

use std::time::Duration;

use super::GreetingMode;
use super::event_loop::Conversation;
use crate::memory::Briefing;
use crate::turn::SessionTime;

/// How long a generated greeting waits for what is known of the user: less than anybody notices.
pub(super) const BRIEFING_WITHIN: Duration = Duration::from_millis(150);

impl Conversation {
    /// Greets the user who is there, at once or when it is known whom.
    pub(super) fn greet_in_time(&mut self, now: SessionTime) {
        let is_generated = self.core.agent.greeting.mode == GreetingMode::Generate;
        if self.links.briefings.is_some() && is_generated && self.core.greeting.is_some() {
            self.greet_by = Some(now + BRIEFING_WITHIN);
        } else {
            self.greet(now);
        }
    }

    /// Tells the model of the user, from the next reply on; a greeting that was made without this
    /// and has not been heard is made again.
    pub(super) fn on_briefing(&mut self, now: SessionTime, briefing: &Briefing) {
        let instructions = &self.core.agent.instructions;
        self.core.chat.instructions.clone_from(instructions);
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
}
