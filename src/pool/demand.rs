//! How much of its limits the pool needs: the part of the tightest limit that was wanted at once
//! lately. Plain code: time is an argument.
//!
//! Callers speak now and then, and sometimes together: the mean says nothing about whether a permit
//! is there when it is wanted. So the highest part is remembered and forgotten slowly.

use std::time::Duration;

use tokio::time::Instant;

/// What was wanted counts half after so long. Callers take turns every few seconds.
const HALF_LIFE: Duration = Duration::from_secs(15);

/// The highest part of a limit that was wanted; above 1 where requests had to wait.
#[derive(Debug)]
pub(super) struct Demand {
    high: f32,
    at: Instant,
}

impl Demand {
    pub(super) fn new(now: Instant) -> Self {
        Self { high: 0.0, at: now }
    }

    /// That much of a limit is wanted now.
    pub(super) fn saw(&mut self, wanted: f32, now: Instant) {
        self.high = self.now(now).max(wanted);
        self.at = now;
    }

    /// What is remembered.
    pub(super) fn now(&self, now: Instant) -> f32 {
        let elapsed = now.saturating_duration_since(self.at);
        self.high * 0.5_f32.powf(elapsed.as_secs_f32() / HALF_LIFE.as_secs_f32())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_remembered_and_fades() {
        let start = Instant::now();
        let mut demand = Demand::new(start);
        demand.saw(0.8, start);
        demand.saw(0.1, start + Duration::from_millis(10));
        assert!(demand.now(start + Duration::from_millis(20)) > 0.79);
        let later = start + HALF_LIFE;
        assert!((demand.now(later) - 0.4).abs() < 0.01);
        demand.saw(0.6, later);
        assert!((demand.now(later) - 0.6).abs() < 0.01);
    }
}
