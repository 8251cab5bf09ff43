//! The numbers for Prometheus. The parts of the program keep them; here they get their names.
//!
//! A new row of the worker is one line in `gauges` or `counters`; a new part is a collector of its
//! own, given to [`Metrics::register`]. Names are `voice_agent_<noun>_<unit>`; labels come from
//! closed sets.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::watch;

use crate::worker::Snapshot;

/// All metrics of the process.
#[derive(Debug, Default)]
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// The metrics of a worker.
    pub fn new(worker: watch::Receiver<Snapshot>) -> Self {
        let mut metrics = Self::default();
        metrics.register(Box::new(WorkerCollector(worker)));
        metrics
    }

    /// Adds the rows of another part.
    pub fn register(&mut self, collector: Box<dyn Collector>) {
        self.registry.register_collector(collector);
    }

    /// Everything in the text format.
    pub fn render(&self) -> String {
        let mut page = String::new();
        match text::encode(&mut page, &self.registry) {
            Ok(()) => page,
            // Writing to a string cannot fail; a collector of ours that does is a bug in it.
            Err(error) => format!("# a collector failed: {error}\n"),
        }
    }
}

#[derive(Debug)]
struct WorkerCollector(watch::Receiver<Snapshot>);

impl Collector for WorkerCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let worker = self.0.borrow().clone();
        for (name, help, value) in gauges(&worker).into_iter().chain(resources(&worker)) {
            let row = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
            ConstGauge::new(value).encode(row)?;
        }
        for (name, help, value) in counters(&worker) {
            let row = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            ConstCounter::new(value).encode(row)?;
        }
        let name = "voice_agent_jobs";
        let mut jobs = encoder.encode_descriptor(name, "Jobs ended", None, MetricType::Counter)?;
        let outcomes = [
            ("success", worker.jobs_succeeded),
            ("failed", worker.jobs_failed),
        ];
        for (outcome, value) in outcomes {
            let labels = [("outcome", outcome)];
            ConstCounter::new(value).encode(jobs.encode_family(&labels)?)?;
        }
        Ok(())
    }
}

type Row<T> = (&'static str, &'static str, T);

/// The last two have livekit-agents' names, for dashboards that exist already.
///
/// Source: livekit-agents 1.7 `telemetry/metrics.py`.
fn gauges(worker: &Snapshot) -> [Row<f64>; 8] {
    let load_help = "Load as reported to LiveKit, 0 to 1";
    let load = f64::from(worker.load);
    let jobs = worker.active_jobs as f64;
    let flag = |is_so: bool| f64::from(u8::from(is_so));
    let registered = flag(worker.worker_id.is_some());
    let draining = flag(worker.is_draining);
    let (taken, max) = (worker.slots_taken as f64, worker.slots_max as f64);
    [
        ("voice_agent_worker_load_ratio", load_help, load),
        (
            "voice_agent_worker_registered",
            "1 while registered with LiveKit",
            registered,
        ),
        (
            "voice_agent_worker_draining",
            "1 while no new jobs are taken",
            draining,
        ),
        ("voice_agent_active_jobs", "Jobs running now", jobs),
        ("voice_agent_slots_taken", "Jobs running or accepted", taken),
        ("voice_agent_slots_max", "Jobs held at once at most", max),
        ("lk_agents_worker_load", load_help, load),
        ("lk_agents_active_job_count", "Jobs running now", jobs),
    ]
}

/// What was measured of the machine; a row that is unknown or without a limit is left out.
fn resources(worker: &Snapshot) -> Vec<Row<f64>> {
    let mut rows = Vec::new();
    if let Some(memory) = worker.memory {
        let help = "Memory in use under the limit that is the closest to being reached";
        rows.push(("voice_agent_memory_used_bytes", help, memory.used as f64));
        let help = "That limit, of a control group or the machine";
        rows.push(("voice_agent_memory_max_bytes", help, memory.limit as f64));
    }
    if let Some(descriptors) = worker.descriptors {
        let (open, max) = (descriptors.used as f64, descriptors.limit as f64);
        rows.push((
            "voice_agent_descriptors_open",
            "Open file descriptors",
            open,
        ));
        let help = "File descriptors at most";
        rows.push(("voice_agent_descriptors_max", help, max));
    }
    rows
}

fn counters(worker: &Snapshot) -> [Row<u64>; 2] {
    let (reconnects, panics) = (worker.reconnects, worker.job_panics);
    [
        (
            "voice_agent_worker_reconnects",
            "Registrations after the first",
            reconnects,
        ),
        ("voice_agent_job_panics", "Jobs that a bug ended", panics),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::Usage;

    #[test]
    fn the_page_tells_what_the_worker_does() {
        let (_sender, receiver) = watch::channel(Snapshot {
            worker_id: Some("AW_1".to_owned()),
            load: 0.5,
            active_jobs: 3,
            jobs_succeeded: 7,
            jobs_failed: 2,
            job_panics: 1,
            reconnects: 4,
            descriptors: Some(Usage {
                used: 40,
                limit: 1024,
            }),
            ..Snapshot::default()
        });
        let page = Metrics::new(receiver).render();
        for row in [
            "voice_agent_worker_load_ratio 0.5",
            "voice_agent_worker_registered 1.0",
            "voice_agent_active_jobs 3.0",
            "voice_agent_jobs_total{outcome=\"success\"} 7",
            "voice_agent_jobs_total{outcome=\"failed\"} 2",
            "voice_agent_job_panics_total 1",
            "voice_agent_worker_reconnects_total 4",
            "lk_agents_worker_load 0.5",
            "lk_agents_active_job_count 3.0",
            "voice_agent_descriptors_open 40.0",
            "voice_agent_descriptors_max 1024.0",
        ] {
            assert!(page.lines().any(|line| line == row), "{row} not in\n{page}");
        }
        assert!(!page.contains("voice_agent_memory_used_bytes"), "unknown");
    }
}
