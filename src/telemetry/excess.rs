//! The counts of bounded answers and of caught panics on the metrics page.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::page::Page;
use crate::excess::{Excess, Panicked};

/// Encodes the counts of [`Excess`] and of [`Panicked`].
#[derive(Debug)]
pub struct ExcessCollector;

impl Collector for ExcessCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut page = Page::new(encoder);
        let sample = |kind: Excess| (vec![("kind", kind.label())], kind.counted());
        let help = "Answers of services that exceeded a bound and were cut or refused, by kind";
        let samples = Excess::ALL.map(sample).to_vec();
        page.counters("voice_agent_service_excess", help, samples)?;
        let help = "Parts of a call that a bug stopped; the user heard an apology";
        page.counter("voice_agent_reply_panics", help, Panicked::counted())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Metrics;

    #[test]
    fn every_kind_is_on_the_page() {
        Excess::Speech.count("a test");
        let mut metrics = Metrics::default();
        metrics.register(Box::new(ExcessCollector));
        let page = metrics.render();
        for kind in Excess::ALL {
            let row = format!(
                "voice_agent_service_excess_total{{kind=\"{}\"}}",
                kind.label()
            );
            assert!(page.contains(&row), "{row} in {page}");
        }
        let row = "voice_agent_service_excess_total{kind=\"speech\"} ";
        let value = page.lines().find_map(|line| line.strip_prefix(row));
        assert!(value.is_some_and(|it| it.parse::<u64>().is_ok_and(|it| it > 0)));
        assert!(page.contains("voice_agent_reply_panics_total "), "{page}");
    }
}
