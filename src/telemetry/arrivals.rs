//! How long agents took to come into their rooms and to be heard, step by step.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::metrics::histogram::Histogram;

use super::page::Page;
use crate::arrival::{ArrivalObserver, Step};

/// Upper bounds of the histogram in seconds: the steps are some milliseconds apart.
const BUCKETS: [f64; 14] = [
    0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 5.0,
];

/// Counts the arrivals of all calls; clones share the counts.
#[derive(Clone, Debug)]
pub struct ArrivalFigures(Arc<Mutex<[Histogram; Step::ALL.len()]>>);

impl Default for ArrivalFigures {
    fn default() -> Self {
        let steps = Step::ALL.map(|_| Histogram::new(BUCKETS));
        Self(Arc::new(Mutex::new(steps)))
    }
}

impl ArrivalObserver for ArrivalFigures {
    fn reached(&self, step: Step, since_asked: Duration) {
        let steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        steps[step as usize].observe(since_asked.as_secs_f64());
    }
}

impl Collector for ArrivalFigures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let samples = Step::ALL.iter().zip(steps.iter());
        let samples = samples.map(|(step, histogram)| (vec![("step", step.label())], histogram));
        let help = "From the question, LiveKit's or an app's, to each step of the agent's arrival";
        Page::new(encoder).histograms("voice_agent_arrival_seconds", help, samples.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn the_page_has_each_step() {
        let figures = ArrivalFigures::default();
        figures.reached(Step::Joined, Duration::from_millis(25));
        let mut metrics = Metrics::default();
        metrics.register(Box::new(figures));
        let page = metrics.render();
        for row in [
            "voice_agent_arrival_seconds_bucket{le=\"0.02\",step=\"joined\"} 0",
            "voice_agent_arrival_seconds_bucket{le=\"0.03\",step=\"joined\"} 1",
            "voice_agent_arrival_seconds_count{step=\"first_sound\"} 0",
        ] {
            assert!(page.lines().any(|line| line == row), "{row} not in\n{page}");
        }
    }
}
