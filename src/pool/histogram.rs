//! Latencies in bounded memory: logarithmic buckets, percentiles of the last minutes.
//!
//! Plain code: time is an argument.

use std::time::Duration;

/// Buckets from 1 ms up, each a tenth wider than the one before: the last begins at about 180 s.
const BUCKETS: usize = 128;
const GROWTH: f64 = 1.1;
/// Percentiles cover between one and two of these.
const WINDOW: Duration = Duration::from_secs(300);

/// Latencies of the last five to ten minutes; percentiles are right within 5 %.
#[derive(Clone)]
pub(super) struct Histogram {
    current: [u32; BUCKETS],
    previous: [u32; BUCKETS],
    /// When `current` began, as time since the owner's start.
    began: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            current: [0; BUCKETS],
            previous: [0; BUCKETS],
            began: Duration::ZERO,
        }
    }
}

impl Histogram {
    pub(super) fn record(&mut self, now: Duration, latency: Duration) {
        self.rotate(now);
        let count = &mut self.current[bucket(latency)];
        *count = count.saturating_add(1);
    }

    /// The latency that `quantile` (0..=1) of the calls did not exceed; `None` without calls.
    pub(super) fn quantile(&mut self, now: Duration, quantile: f64) -> Option<Duration> {
        self.rotate(now);
        let counts = || {
            self.current
                .iter()
                .zip(&self.previous)
                .map(|(a, b)| u64::from(*a) + u64::from(*b))
        };
        let total: u64 = counts().sum();
        if total == 0 {
            return None;
        }
        let rank = ((quantile * total as f64).ceil() as u64).clamp(1, total);
        let mut seen = 0;
        let index = counts().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(middle(index))
    }

    fn rotate(&mut self, now: Duration) {
        let age = now.saturating_sub(self.began);
        if age < WINDOW {
            return;
        }
        self.previous = if age < 2 * WINDOW {
            self.current
        } else {
            [0; BUCKETS]
        };
        self.current = [0; BUCKETS];
        self.began = now;
    }
}

fn bucket(latency: Duration) -> usize {
    let ms = latency.as_secs_f64() * 1000.0;
    if ms <= 1.0 {
        return 0;
    }
    ((ms.ln() / GROWTH.ln()) as usize).min(BUCKETS - 1)
}

/// The geometric middle of a bucket.
fn middle(index: usize) -> Duration {
    Duration::from_secs_f64(GROWTH.powf(index as f64 + 0.5) / 1000.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn percentiles_are_right_within_five_percent() {
        let mut histogram = Histogram::default();
        for n in 1..=1000 {
            histogram.record(Duration::ZERO, ms(n));
        }
        for (quantile, expected) in [(0.5, 500.0), (0.95, 950.0)] {
            let found = histogram.quantile(Duration::ZERO, quantile).unwrap();
            let ratio = found.as_secs_f64() * 1000.0 / expected;
            assert!((0.94..1.06).contains(&ratio), "{quantile}: {found:?}");
        }
    }

    #[test]
    fn no_calls_means_no_percentile() {
        assert_eq!(Histogram::default().quantile(Duration::ZERO, 0.5), None);
    }

    #[test]
    fn old_latencies_are_forgotten() {
        let mut histogram = Histogram::default();
        histogram.record(ms(0), ms(1000));
        assert!(
            histogram.quantile(WINDOW + ms(1), 0.5).is_some(),
            "one window later"
        );
        assert_eq!(histogram.quantile(3 * WINDOW, 0.5), None);
    }

    proptest! {
        #[test]
        fn any_latency_has_a_bucket_and_stays_in_order(a in 0u64..10_000_000, b in 0u64..10_000_000) {
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(bucket(ms(low)) <= bucket(ms(high)));
            prop_assert!(bucket(ms(high)) < BUCKETS);
        }
    }
}
