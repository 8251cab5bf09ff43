//! The user of a speech-to-speech call joins, is away, comes back, or makes room for another one. See
//! [`UserChange`] for everything that obeys it.

use std::time::Duration;

use super::call::Call;
use super::dialogue::Moment;
use super::greeting;
use super::line::Line;
use super::microphone::Microphone;
use crate::room::UserChange;
use crate::session::briefing::BRIEFING_WITHIN;
use crate::session::{GreetingMode, SessionEnd};

impl Call {
    pub(super) fn on_user(&mut self, at: Moment, change: UserChange) {
        match change {
            UserChange::Joined(user) => {
                self.dialogue.user_joined(user.identity);
                self.greet_in_time(at);
            }
            UserChange::Away => {
                self.greet_by = None;
                self.player.hold(true);
                self.dialogue.user_away();
            }
            UserChange::Returned(_) => {
                self.player.hold(false);
                self.dialogue.user_returned(at);
                // They left before they were greeted.
                self.greet_in_time(at);
            }
            UserChange::Gone => self.on_user_gone(at),
            UserChange::Left => self.end = Some(SessionEnd::UserLeft),
        }
    }

    /// Greets, at once or when it is known whom.
    fn greet_in_time(&mut self, at: Moment) {
        let is_briefed = self.links.briefings.is_some();
        let is_generated = self.agent.greeting.mode == GreetingMode::Generate;
        self.greet_by = (is_briefed && is_generated).then(|| at.now + BRIEFING_WITHIN);
        self.greet(at);
    }

    /// Forgets the user. The dialogue's actions come first: what is being said is stopped and recorded
    /// while it is still known whose it is.
    fn on_user_gone(&mut self, at: Moment) {
        self.dialogue.user_gone(at);
        self.act();
        self.forget_briefing();
        self.player.clear();
        self.player.hold(false);
        self.microphone = Microphone::new();
        self.tools.clear();
        (self.voice, self.apology, self.spare) = (None, None, None);
        // The connection knows what the user said.
        self.line = Line::Opening(self.model.connect(Duration::ZERO));
        self.greeting = greeting::kept(&self.model, &self.agent);
        (self.kept, self.greet_by, self.has_greeted) = (None, None, false);
        self.room.forget_user();
    }
}
