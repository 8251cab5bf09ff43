//! Both are heard at once: since when, and whether that is told already.
//!
//! One voice is told of once, however often it is asked for its words; and once more if it has stopped
//! the agent after all.

use super::SessionTime;

#[derive(Default)]
pub(super) struct Overlap {
    /// Since when the reply is heard.
    audible_at: Option<SessionTime>,
    /// Since when the voice is heard, too.
    began: Option<SessionTime>,
    is_told: bool,
}

impl Overlap {
    /// A reply begins to be heard, perhaps while the user speaks.
    pub(super) fn agent_audible(&mut self, now: SessionTime, is_user_heard: bool) {
        self.audible_at = Some(now);
        if is_user_heard {
            self.began.get_or_insert(now);
        }
    }

    /// The reply has been silent since `at`, which is noticed only now.
    pub(super) fn agent_rests(&mut self, at: SessionTime) {
        self.agent_silent();
        self.began.take_if(|began| *began >= at);
    }

    /// The reply is not heard any more.
    pub(super) fn agent_silent(&mut self) {
        self.audible_at = None;
    }

    /// What is heard from here on is another voice, or says something else.
    pub(super) fn forget(&mut self) {
        (self.began, self.is_told) = (None, false);
    }

    /// The user is heard from `onset` on.
    pub(super) fn voice_begins(&mut self, onset: SessionTime) {
        if let Some(audible_at) = self.audible_at {
            self.began.get_or_insert(onset.max(audible_at));
        }
    }

    /// The user was heard until `at`, which is noticed only now.
    pub(super) fn voice_ended(&mut self, at: SessionTime) {
        self.began.take_if(|began| *began >= at);
    }

    /// Since when both are heard.
    pub(super) fn began(&self) -> Option<SessionTime> {
        self.began
    }

    /// The agent talks on: since when it had to, the first time.
    pub(super) fn outlasted(&mut self) -> Option<SessionTime> {
        let began = self.began.filter(|_| !self.is_told)?;
        self.is_told = true;
        Some(began)
    }

    /// The agent is stopped: since when it was spoken over.
    pub(super) fn stopped(&mut self) -> Option<SessionTime> {
        self.is_told = true;
        self.began.take()
    }
}
