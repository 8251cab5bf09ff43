//! So many batches a second: a token bucket. Plain code; time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Tokens that come back at a steady rate, up to a tenth of a second's worth.
pub(super) struct TokenBucket {
    per_second: f64,
    tokens_max: f64,
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket.
    pub(super) fn new(per_second: u32, now: Instant) -> Self {
        let tokens_max = f64::from((per_second / 10).max(1));
        Self {
            per_second: f64::from(per_second.max(1)),
            tokens_max,
            tokens: tokens_max,
            filled: now,
        }
    }

    /// When the next token is there; not later than `now` when one is.
    pub(super) fn ready_at(&mut self, now: Instant) -> Instant {
        self.fill(now);
        let missing = (1.0 - self.tokens).max(0.0);
        now + Duration::from_secs_f64(missing / self.per_second)
    }

    /// Takes a token; one that is not there yet is owed.
    pub(super) fn take(&mut self, now: Instant) {
        self.fill(now);
        self.tokens -= 1.0;
    }

    fn fill(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * self.per_second).min(self.tokens_max);
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_at_their_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(20, start);
        for _ in 0..2 {
            assert_eq!(bucket.ready_at(start), start);
            bucket.take(start);
        }
        let wait = bucket.ready_at(start) - start;
        assert_eq!(wait.as_millis(), 50);
        let later = start + Duration::from_secs(60);
        assert_eq!(bucket.ready_at(later), later);
        bucket.take(later);
        bucket.take(later);
        assert!(bucket.ready_at(later) > later, "no more than two are saved");
    }
}
