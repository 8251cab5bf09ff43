//! The counts of refused input on the metrics page.

use std::fmt;

use data_guard::Kind;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::page::Page;
use crate::intake::{InputKind, RefusedInput};

/// Encodes [`RefusedInput`], and what the guard of data packets refused below the room.
#[derive(Debug)]
pub struct IntakeCollector(pub RefusedInput);

impl Collector for IntakeCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let sample = |kind: InputKind| (vec![("kind", kind.label())], self.0.count(kind));
        let of_data = |kind: Kind| (vec![("kind", kind.label())], data_guard::refused(kind));
        let help = "Input of participants that exceeded a bound and was refused, by kind";
        let mut samples = InputKind::ALL.map(sample).to_vec();
        samples.extend(Kind::ALL.map(of_data));
        Page::new(encoder).counters("voice_agent_refused_input", help, samples)
    }
}
