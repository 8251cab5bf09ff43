//! Whether the user is still there: nobody has said anything for long.

use std::time::Duration;

use super::SessionTime;

/// Follows the silence of both.
#[derive(Debug)]
pub(crate) struct Attention {
    /// `None`: nobody is ever away.
    away_after: Option<Duration>,
    quiet_since: Option<SessionTime>,
    is_away: bool,
}

impl Attention {
    pub(crate) fn new(away_after: Duration) -> Self {
        Self {
            away_after: Some(away_after).filter(|after| !after.is_zero()),
            quiet_since: None,
            is_away: false,
        }
    }

    /// Tells what is true at `now`. The silence is derived anew each time, so that nothing that
    /// ends in an unusual way can leave the user waiting unnoticed.
    pub(crate) fn update(&mut self, now: SessionTime, is_quiet: bool) {
        if is_quiet {
            self.quiet_since.get_or_insert(now);
            self.is_away |= self.away_at().is_some_and(|at| now >= at);
        } else {
            self.quiet_since = None;
        }
    }

    /// The user is not there.
    pub(crate) fn leave(&mut self) {
        self.quiet_since = None;
        self.is_away = true;
    }

    /// The user did something.
    pub(crate) fn notice_user(&mut self) {
        self.quiet_since = None;
        self.is_away = false;
    }

    pub(crate) fn is_away(&self) -> bool {
        self.is_away
    }

    /// When the user counts as away if nothing happens.
    pub(crate) fn away_at(&self) -> Option<SessionTime> {
        if self.is_away {
            return None;
        }
        Some(self.quiet_since? + self.away_after?)
    }
}
