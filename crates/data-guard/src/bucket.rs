//! A token bucket.

use std::time::Instant;

/// Fills at a steady rate up to a burst, and is emptied by use.
#[derive(Debug)]
pub(crate) struct Bucket {
    per_s: f64,
    burst: f64,
    level: f64,
    /// The time that `level` is of.
    at: Instant,
}

impl Bucket {
    pub(crate) fn full(now: Instant, per_s: f64, burst: f64) -> Self {
        Self {
            per_s,
            burst,
            level: burst,
            at: now,
        }
    }

    /// What can be taken now. Time that goes back changes nothing.
    pub(crate) fn level(&mut self, now: Instant) -> f64 {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * self.per_s).min(self.burst);
        self.at = self.at.max(now);
        self.level
    }

    /// Takes `n`, or what there is.
    pub(crate) fn take(&mut self, n: f64) {
        self.level = (self.level - n).max(0.0);
    }

    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.level(now) >= self.burst
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::full(start, 200.0, 1_000.0);
        let mut passed = 0;
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            while bucket.level(now) >= 1.0 {
                bucket.take(1.0);
                passed += 1;
            }
        }
        // Ten seconds at 200 a second and the burst; the last millisecond has no whole token.
        assert!((2_998..=3_000).contains(&passed), "{passed}");
    }

    #[test]
    fn a_bucket_is_never_fuller_than_its_burst_and_time_never_runs_back() {
        let start = Instant::now();
        let later = start + Duration::from_secs(3_600);
        let mut bucket = Bucket::full(start, 10.0, 20.0);
        bucket.take(50.0);
        assert!(!bucket.is_full(start));
        assert_eq!(bucket.level(later), 20.0);
        bucket.take(20.0);
        assert_eq!(bucket.level(start), 0.0);
        assert_eq!(bucket.level(later), 0.0);
    }
}
