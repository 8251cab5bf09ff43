//! A token bucket: so many a second, and a burst. Plain code; time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Tokens that come back at a steady rate, up to a burst.
pub(crate) struct TokenBucket {
    per_second: f64,
    tokens_max: f64,
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket of `burst` tokens, of which `per_second` come back.
    pub(crate) fn new(per_second: u32, burst: u32, now: Instant) -> Self {
        let tokens_max = f64::from(burst.max(1));
        Self {
            per_second: f64::from(per_second.max(1)),
            tokens_max,
            tokens: tokens_max,
            filled: now,
        }
    }

    /// When the next token is there; not later than `now` when one is.
    pub(crate) fn ready_at(&mut self, now: Instant) -> Instant {
        self.fill(now);
        let missing = (1.0 - self.tokens).max(0.0);
        now + Duration::from_secs_f64(missing / self.per_second)
    }

    /// Takes a token; one that is not there yet is owed.
    pub(crate) fn take(&mut self, now: Instant) {
        self.fill(now);
        self.tokens -= 1.0;
    }

    /// Takes a token if one is there.
    pub(crate) fn try_take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let is_there = self.tokens >= 1.0;
        if is_there {
            self.tokens -= 1.0;
        }
        is_there
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
        let mut bucket = TokenBucket::new(20, 2, start);
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

    #[test]
    fn a_token_that_is_not_there_is_not_taken() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(5, 2, start);
        let taken =
            [0, 0, 0, 190, 210, 390].map(|ms| bucket.try_take(start + Duration::from_millis(ms)));
        assert_eq!(taken, [true, true, false, false, true, false]);
    }
}
