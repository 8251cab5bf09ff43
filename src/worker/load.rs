//! The load of the machine as one number from 0 to 1. Plain code; `cpu.rs` reads the counters.

use std::collections::VecDeque;
use std::time::Duration;

/// Samples in the moving average.
///
/// Source: livekit-agents 1.7 `worker.py`, 5 samples of 0.5 s.
const SAMPLES: usize = 5;

/// A runtime that wakes this late is full: sound is sent every 10 ms from at most 200 ms of queue.
const LAG_FULL: Duration = Duration::from_millis(100);

/// Moving averages of how busy the CPU is and how late the runtime wakes.
#[derive(Debug, Default)]
pub(super) struct LoadMeter {
    cpu: VecDeque<f32>,
    lag: VecDeque<f32>,
}

impl LoadMeter {
    /// Takes one sample: the part of the CPU that was busy, if known, and how much later than it
    /// asked for the runtime woke the sampler.
    pub(super) fn sample(&mut self, cpu: Option<f32>, lag: Duration) {
        if let Some(cpu) = cpu.filter(|cpu| cpu.is_finite()) {
            push(&mut self.cpu, cpu.clamp(0.0, 1.0));
        }
        let lag = lag.as_secs_f32() / LAG_FULL.as_secs_f32();
        push(&mut self.lag, lag.clamp(0.0, 1.0));
    }

    /// The load now: CPU or lag, whichever is worse.
    pub(super) fn load(&self) -> f32 {
        mean(&self.cpu).max(mean(&self.lag)).clamp(0.0, 1.0)
    }
}

fn push(samples: &mut VecDeque<f32>, value: f32) {
    if samples.len() == SAMPLES {
        samples.pop_front();
    }
    samples.push_back(value);
}

fn mean(samples: &VecDeque<f32>) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    samples.iter().sum::<f32>() / samples.len() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn one_busy_moment_does_not_fill_the_worker() {
        let mut meter = LoadMeter::default();
        for cpu in [0.1, 0.1, 0.1, 0.1, 1.0] {
            meter.sample(Some(cpu), Duration::ZERO);
        }
        assert!((meter.load() - 0.28).abs() < 0.001, "{}", meter.load());
    }

    #[test]
    fn old_samples_are_forgotten() {
        let mut meter = LoadMeter::default();
        for cpu in [1.0; SAMPLES] {
            meter.sample(Some(cpu), Duration::ZERO);
        }
        for cpu in [0.0; SAMPLES] {
            meter.sample(Some(cpu), Duration::ZERO);
        }
        assert!(meter.load() < 0.001);
    }

    #[test]
    fn a_runtime_that_wakes_late_is_busy_whatever_the_cpu_says() {
        let mut meter = LoadMeter::default();
        meter.sample(Some(0.0), LAG_FULL / 2);
        assert!((meter.load() - 0.5).abs() < 0.001);
    }

    proptest! {
        #[test]
        fn the_load_is_always_from_0_to_1(
            samples in proptest::collection::vec((any::<Option<f32>>(), any::<u64>()), 0..20)
        ) {
            let mut meter = LoadMeter::default();
            for (cpu, lag_ms) in samples {
                meter.sample(cpu, Duration::from_millis(lag_ms));
                prop_assert!((0.0..=1.0).contains(&meter.load()));
            }
        }
    }
}
