//! The user of a conversation joins, is away, comes back, or makes room for another one. See
//! [`UserChange`] for everything that obeys it.

use super::SessionEnd;
use super::event_loop::{Conversation, Core};
use super::transcriptions::Transcriptions;
use crate::redact::Pii;
use crate::room::{AgentState, Usage, UserChange, UserState};
use crate::turn::{SessionTime, TurnInput};

impl Conversation {
    pub(super) fn on_user(&mut self, now: SessionTime, change: UserChange) {
        match change {
            UserChange::Joined(user) => self.on_user_joined(now, user.identity),
            UserChange::Away => {
                self.greet_by = None;
                self.input(now, TurnInput::UserAway);
            }
            UserChange::Returned(_) => {
                self.listener.change_source();
                self.input(now, TurnInput::UserReturned);
                // They left before they were greeted.
                self.greet_in_time(now);
            }
            UserChange::Gone => self.on_user_gone(now),
            UserChange::Left => self.end = Some(SessionEnd::UserLeft),
        }
    }

    fn on_user_joined(&mut self, now: SessionTime, identity: Pii<String>) {
        self.listener.change_source();
        self.core.user = Some(identity);
        self.greet_in_time(now);
        self.input(now, TurnInput::UserJoined);
    }

    /// Forgets the user. The machine's decisions come first: what is being said is interrupted and
    /// recorded while it is still known whose it is.
    fn on_user_gone(&mut self, now: SessionTime) {
        self.input(now, TurnInput::UserGone);
        self.finish_user_segment(None);
        self.speeches.clear();
        self.transcriptions = Transcriptions::default();
        self.listener.forget_user(now);
        self.greet_by = None;
        self.n_errors = 0;
        self.user_state = UserState::default();
        self.core.forget_user();
        self.room.forget_user();
    }

    /// The user is away: silence, and what is being said can go on from here.
    pub(super) fn hold(&mut self, now: SessionTime) {
        if let Some(exchange) = &mut self.active {
            exchange.pause(now);
            self.core.output.clear();
            self.show(AgentState::Listening);
        }
    }

    /// The user is back: goes on where the agent was held.
    pub(super) fn go_on(&mut self) {
        if let Some(exchange) = &mut self.active {
            let state = exchange.resume();
            self.show(state);
        }
    }
}

impl Core {
    /// The conversation is as new, and its greeting is made anew: the one there is may know the user.
    fn forget_user(&mut self) {
        self.user = None;
        self.chat.items.clear();
        self.chat.instructions.clone_from(&self.agent.instructions);
        self.usage = Usage::default();
        self.greeting = self.make_greeting();
    }
}
