//! What became of the dispatches that were asked of this worker.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::page::Page;

/// What became of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DispatchOutcome {
    /// The job runs here.
    Taken,
    /// LiveKit's server has it.
    PassedOn,
    /// Nobody has it.
    Refused,
}

impl DispatchOutcome {
    const ALL: [Self; 3] = [Self::Taken, Self::PassedOn, Self::Refused];

    /// The label in metrics.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Taken => "taken",
            Self::PassedOn => "passed_on",
            Self::Refused => "refused",
        }
    }
}

/// Counts them; clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct DispatchFigures(Arc<[AtomicU64; DispatchOutcome::ALL.len()]>);

impl DispatchFigures {
    /// Takes note of one.
    pub fn count(&self, outcome: DispatchOutcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }
}

impl Collector for DispatchFigures {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sample = |outcome: DispatchOutcome| {
            let value = self.0[outcome as usize].load(Ordering::Relaxed);
            (vec![("outcome", outcome.label())], value)
        };
        let help = "Dispatches that were asked of this worker and not of LiveKit's server";
        let samples = DispatchOutcome::ALL.map(sample).to_vec();
        Page::new(encoder).counters("voice_agent_dispatches", help, samples)
    }
}
