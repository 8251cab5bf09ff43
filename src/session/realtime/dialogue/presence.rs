//! Whether the user is there, and whether the service is.

use super::super::protocol::OPERATION;
use super::{Dialogue, Moment};
use crate::error::{CallError, ErrorKind, Service};
use crate::redact::Pii;
use crate::room::UserState;

/// Whether the user is there.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Presence {
    /// No user yet.
    Expected,
    There,
    /// They may come back.
    Away,
}

impl Dialogue {
    pub(in super::super) fn is_user_there(&self) -> bool {
        self.presence == Presence::There
    }

    pub(in super::super) fn user_joined(&mut self, identity: Pii<String>) {
        self.user = Some(identity);
        self.presence = Presence::There;
        self.is_here();
    }

    /// The user may come back: nothing begins, and what is being said is held by the player. Words of the
    /// user that are known late are still taken as theirs.
    pub(in super::super) fn user_away(&mut self) {
        self.presence = Presence::Away;
        self.attention.leave();
        self.tell_user_state(UserState::Away);
    }

    pub(in super::super) fn user_returned(&mut self, at: Moment) {
        self.presence = Presence::There;
        self.is_here();
        if !self.is_deaf() {
            self.take_typed(at);
        }
    }

    /// Nothing of this user is left: neither what they said nor what was meant for them.
    pub(in super::super) fn user_gone(&mut self, at: Moment) {
        self.close(at);
        *self = Self {
            shown: self.shown,
            n_turns: self.n_turns,
            n_segments: self.n_segments,
            actions: std::mem::take(&mut self.actions),
            ..Self::new(self.limits)
        };
    }

    /// The user did something.
    pub(super) fn is_here(&mut self) {
        // The service may hear late what was said before they left.
        if self.presence == Presence::Away {
            return;
        }
        let was_away = self.attention.is_away();
        self.attention.notice_user();
        if was_away && !self.is_user_speaking {
            self.tell_user_state(UserState::Listening);
        }
    }

    /// Nobody speaks: after a while the user counts as away.
    pub(super) fn notice_absence(&mut self, at: Moment) {
        let was_away = self.attention.is_away();
        let is_quiet = self.is_user_there() && !self.is_user_speaking;
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
