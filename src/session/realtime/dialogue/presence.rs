//! Whether the user is there, and whether the service is.

use super::super::protocol::OPERATION;
use super::{Dialogue, Moment};
use crate::error::{CallError, ErrorKind, Service};
use crate::room::UserState;

impl Dialogue {
    /// The user did something.
    pub(in super::super) fn is_here(&mut self) {
        self.is_user_there = true;
        let was_away = self.attention.is_away();
        self.attention.notice_user();
        if was_away && !self.is_user_speaking {
            self.tell_user_state(UserState::Listening);
        }
    }

    /// Nobody is there to hear what is said or waits to be.
    pub(in super::super) fn user_left(&mut self, at: Moment) {
        self.is_user_there = false;
        self.typed.clear();
        self.speeches.clear();
        self.stop(at);
    }

    /// Nobody speaks: after a while the user counts as away.
    pub(super) fn notice_absence(&mut self, at: Moment) {
        let was_away = self.attention.is_away();
        let is_quiet = self.user.is_some() && !self.is_user_speaking;
        self.attention.update(at.now, is_quiet);
        if !was_away && self.attention.is_away() {
            self.tell_user_state(UserState::Away);
        }
    }

    /// The user waits for the service, which may have waited too long with its next step.
    pub(super) fn notice_silence(&mut self, at: Moment) {
        let Some(turn) = &mut self.turn else { return };
        // Tools have limits of their own, and a lost connection is being replaced.
        let is_asked = turn.response.is_some() && self.connected.is_some();
        if is_asked && at.now.since(turn.progress) >= self.limits.silence_max {
            let error = CallError::new(Service::OpenAi, OPERATION, ErrorKind::Timeout);
            self.give_up_connection(at, error);
        }
    }
}
