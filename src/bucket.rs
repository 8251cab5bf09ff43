//! A token bucket: a steady rate with a burst. Plain code; time is an argument.

use std::time::Duration;

use tokio::time::Instant;

/// Tokens that come back at a steady rate, up to a burst.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    /// A full bucket. The rate is above zero; the burst is at least one token.
    pub(crate) fn new(per_second: f64, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst.max(1));
        Self {
            per_second,
            burst,
            tokens: burst,
            filled: now,
        }
    }

    /// When the next token is there; not later than `now` when one is.
    pub(crate) fn ready_at(&mut self, now: Instant) -> Instant {
        self.fill(now);
        let missing = (1.0 - self.tokens).max(0.0);
        now + Duration::from_secs_f64(missing / self.per_second)
    }

    /// Takes a token; a token that is not there yet is owed.
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
        self.tokens = (self.tokens + passed * self.per_second).min(self.burst);
        self.filled = self.filled.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_come_back_at_their_rate() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(20.0, 2, start);
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
        let mut bucket = TokenBucket::new(5.0, 10, start);
        let at = |ms| start + Duration::from_millis(ms);
        let n_taken = (0..100).filter(|_| bucket.try_take(start)).count();
        assert_eq!(n_taken, 10);
        assert!(!bucket.try_take(at(199)));
        assert!(bucket.try_take(at(201)), "a refusal costs nothing");
        // Ten seconds of fifty a second: five of each second, and what was saved.
        let n_taken = (0..500).filter(|n| bucket.try_take(at(5_000 + n * 20)));
        assert!((55..=60).contains(&n_taken.count()));
    }
}
