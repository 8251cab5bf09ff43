//! The connections of the HTTP port on the metrics page.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::{PortRefusal, PortState};
use crate::telemetry::page::Page;

/// Encodes [`PortState`].
#[derive(Debug)]
pub(in crate::telemetry) struct PortCollector(pub(in crate::telemetry) PortState);

impl Collector for PortCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut page = Page::new(encoder);
        let (open, max) = (self.0.n_connections(), self.0.connections_max());
        let help = "Open connections of the HTTP port";
        page.gauge("voice_agent_http_port_connections", help, open as f64)?;
        let help = "Connections of the HTTP port at most";
        page.gauge("voice_agent_http_port_connections_max", help, max as f64)?;
        let sample = |why: PortRefusal| (vec![("reason", why.label())], self.0.refused(why));
        let help = "Connections of the HTTP port that were refused or closed, by reason";
        let samples = PortRefusal::ALL.map(sample).to_vec();
        page.counters("voice_agent_http_port_refused", help, samples)
    }
}
