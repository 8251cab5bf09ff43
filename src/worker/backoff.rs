//! Waits between tries to connect: doubling, bounded, with jitter given from outside. Plain code.

use std::time::Duration;

/// Counts failures and says how long to wait after each.
#[derive(Clone, Debug)]
pub(super) struct Backoff {
    delay_min: Duration,
    delay_max: Duration,
    failures: u32,
}

impl Backoff {
    /// Waits from around `delay_min` up to `delay_max`.
    pub(super) fn new(delay_min: Duration, delay_max: Duration) -> Self {
        Self {
            delay_min,
            delay_max,
            failures: 0,
        }
    }

    /// The wait before the next try. `jitter` from 0 to 1 spreads it over the upper half of the
    /// step, so that workers that lost the same server do not come back in one moment.
    pub(super) fn after_failure(&mut self, jitter: f64) -> Duration {
        let factor = 1_u32 << self.failures.min(20);
        let step = self.delay_min.saturating_mul(factor).min(self.delay_max);
        self.failures = self.failures.saturating_add(1);
        step.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }

    /// Tries in a row that failed.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// Starts over after a connection that held.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn backoff() -> Backoff {
        Backoff::new(Duration::from_millis(500), Duration::from_secs(10))
    }

    #[test]
    fn waits_double_up_to_the_longest() {
        let mut backoff = backoff();
        let waits: Vec<u128> = (0..7)
            .map(|_| backoff.after_failure(1.0).as_millis())
            .collect();
        assert_eq!(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000]);
    }

    #[test]
    fn it_starts_over_after_a_connection_that_held() {
        let mut backoff = backoff();
        for _ in 0..5 {
            backoff.after_failure(0.5);
        }
        backoff.reset();
        assert_eq!(backoff.after_failure(1.0), Duration::from_millis(500));
    }

    proptest! {
        #[test]
        fn every_wait_is_between_half_the_first_and_the_longest(
            failures in 0_u32..200, jitter in -1.0_f64..2.0
        ) {
            let mut backoff = backoff();
            for _ in 0..failures {
                backoff.after_failure(jitter);
            }
            let wait = backoff.after_failure(jitter);
            prop_assert!(wait >= Duration::from_millis(250), "{wait:?}");
            prop_assert!(wait <= Duration::from_secs(10), "{wait:?}");
        }
    }
}
