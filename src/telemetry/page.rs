//! The metrics page as it grows, one metric after the other.

use std::fmt;

use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::Histogram;

pub(super) type Labels<'a> = Vec<(&'static str, &'a str)>;
/// Samples of one metric.
pub(super) type Samples<'a, T> = Vec<(Labels<'a>, T)>;

/// Writes numbers that other parts keep.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl<'a> Page<'a> {
    pub(super) fn new(encoder: DescriptorEncoder<'a>) -> Self {
        Self(encoder)
    }

    /// One number that only grows; the page adds `_total` to its name.
    pub(super) fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let row = (self.0).encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(row)
    }

    /// One number that goes up and down.
    pub(super) fn gauge(&mut self, name: &str, help: &str, value: f64) -> fmt::Result {
        let row = (self.0).encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(row)
    }

    /// How often a number was how large.
    pub(super) fn histogram(&mut self, name: &str, help: &str, value: &Histogram) -> fmt::Result {
        let row = (self.0).encode_descriptor(name, help, None, MetricType::Histogram)?;
        value.encode(row)
    }

    pub(super) fn histograms(
        &mut self,
        name: &str,
        help: &str,
        samples: Samples<'_, &Histogram>,
    ) -> fmt::Result {
        let mut row = (self.0).encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, value) in samples {
            value.encode(row.encode_family(&labels)?)?;
        }
        Ok(())
    }

    pub(super) fn counters(
        &mut self,
        name: &str,
        help: &str,
        samples: Samples<'_, u64>,
    ) -> fmt::Result {
        let mut row = (self.0).encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in samples {
            ConstCounter::new(value).encode(row.encode_family(&labels)?)?;
        }
        Ok(())
    }

    pub(super) fn gauges(
        &mut self,
        name: &str,
        help: &str,
        samples: Samples<'_, f64>,
    ) -> fmt::Result {
        let mut row = (self.0).encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (labels, value) in samples {
            ConstGauge::new(value).encode(row.encode_family(&labels)?)?;
        }
        Ok(())
    }
}
