//! How much of what was queued has been heard. Plain code: time is handed in.

use std::time::Duration;

/// Follows a queue that plays in real time while it holds anything.
///
/// Times are counted from any one moment and must not go backwards.
#[derive(Debug, Default)]
pub struct PlayoutClock {
    at: Duration,
    played: Duration,
    queued: Duration,
}

impl PlayoutClock {
    /// More sound was queued at `now`.
    pub fn push(&mut self, now: Duration, sound: Duration) {
        self.advance(now);
        self.queued += sound;
    }

    /// What was queued at `now` will not be heard.
    pub fn clear(&mut self, now: Duration) {
        self.advance(now);
        self.queued = Duration::ZERO;
    }

    /// How much sound has been played up to `now`.
    pub fn position(&mut self, now: Duration) -> Duration {
        self.advance(now);
        self.played
    }

    /// How much sound is waiting at `now`.
    pub fn queued(&mut self, now: Duration) -> Duration {
        self.advance(now);
        self.queued
    }

    fn advance(&mut self, now: Duration) {
        let played = now.saturating_sub(self.at).min(self.queued);
        self.played += played;
        self.queued -= played;
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn sound_plays_while_there_is_any_and_silence_does_not_count() {
        let mut clock = PlayoutClock::default();
        assert_eq!(clock.position(ms(1000)), ms(0));
        clock.push(ms(1000), ms(200));
        assert_eq!(clock.position(ms(1050)), ms(50));
        assert_eq!(clock.queued(ms(1050)), ms(150));
        assert_eq!(clock.position(ms(9000)), ms(200));
        clock.push(ms(9000), ms(100));
        assert_eq!(clock.position(ms(9030)), ms(230));
    }

    #[test]
    fn what_was_cleared_is_never_heard() {
        let mut clock = PlayoutClock::default();
        clock.push(ms(0), ms(200));
        clock.clear(ms(80));
        assert_eq!(clock.position(ms(500)), ms(80));
        assert_eq!(clock.queued(ms(500)), ms(0));
        clock.push(ms(500), ms(40));
        assert_eq!(clock.position(ms(520)), ms(100));
    }

    #[test]
    fn a_clock_that_goes_back_changes_nothing() {
        let mut clock = PlayoutClock::default();
        clock.push(ms(100), ms(100));
        assert_eq!(clock.position(ms(150)), ms(50));
        assert_eq!(clock.position(ms(120)), ms(50));
        assert_eq!(clock.position(ms(160)), ms(60));
    }
}
