//! Takes the counts that `stats.rs` shows.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connections::ConnectionStats;
use super::histogram::Histogram;
use super::stats::{HostStats, LatencyStats, OperationStats, ServiceStats};
use crate::error::{ErrorKind, Service};

/// Takes the counts of one service; clones share them.
#[derive(Clone)]
pub(super) struct Recorder(Arc<Shared>);

struct Shared {
    service: Service,
    start: Instant,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: u64,
    in_flight: u64,
    cancelled: u64,
    retries: u64,
    hedges: u64,
    errors: BTreeMap<ErrorKind, u64>,
    latency: Histogram,
    operations: BTreeMap<&'static str, Operation>,
    last_success: Option<Instant>,
    last_failure: Option<(Instant, ErrorKind)>,
}

#[derive(Default)]
struct Operation {
    requests: u64,
    errors: u64,
    latency: Histogram,
}

impl Recorder {
    pub(super) fn new(service: Service, start: Instant) -> Self {
        Self(Arc::new(Shared {
            service,
            start,
            counts: Mutex::default(),
        }))
    }

    /// Notes a call that begins; it is in flight until the returned value is dropped.
    pub(super) fn begin(&self, operation: &'static str) -> InFlight {
        let mut counts = self.lock();
        counts.requests += 1;
        counts.in_flight += 1;
        counts.operations.entry(operation).or_default().requests += 1;
        InFlight(self.clone())
    }

    pub(super) fn answered(&self, operation: &'static str, latency: Duration) {
        let now = Instant::now();
        let since_start = now - self.0.start;
        let mut counts = self.lock();
        counts.latency.record(since_start, latency);
        let operation = counts.operations.entry(operation).or_default();
        operation.latency.record(since_start, latency);
        counts.last_success = Some(now);
    }

    pub(super) fn failed(&self, operation: &'static str, kind: ErrorKind) {
        let mut counts = self.lock();
        *counts.errors.entry(kind).or_default() += 1;
        counts.operations.entry(operation).or_default().errors += 1;
        // A refusal of our own would hide what the service did.
        if kind != ErrorKind::CircuitOpen {
            counts.last_failure = Some((Instant::now(), kind));
        }
    }

    pub(super) fn cancelled(&self) {
        self.lock().cancelled += 1;
    }

    pub(super) fn retried(&self) {
        self.lock().retries += 1;
    }

    pub(super) fn hedged(&self) {
        self.lock().hedges += 1;
    }

    /// The numbers so far; `None` before the first call.
    pub(super) fn stats(
        &self,
        connections: ConnectionStats,
        hosts: Vec<HostStats>,
    ) -> Option<ServiceStats> {
        let now = Instant::now();
        let since_start = now - self.0.start;
        let mut counts = self.lock();
        if counts.requests == 0 {
            return None;
        }
        let ago = |moment: Instant| (now - moment).as_secs_f64();
        let operations = counts
            .operations
            .iter_mut()
            .map(|(name, operation)| {
                let stats = OperationStats {
                    requests: operation.requests,
                    errors: operation.errors,
                    latency: LatencyStats::of(&mut operation.latency, since_start),
                };
                (*name, stats)
            })
            .collect();
        Some(ServiceStats {
            service: self.0.service,
            requests: counts.requests,
            in_flight: counts.in_flight,
            cancelled: counts.cancelled,
            retries: counts.retries,
            hedges: counts.hedges,
            errors: counts
                .errors
                .iter()
                .map(|(kind, count)| (kind.label(), *count))
                .collect(),
            latency: LatencyStats::of(&mut counts.latency, since_start),
            operations,
            connections,
            hosts,
            last_success_seconds_ago: counts.last_success.map(ago),
            last_failure_seconds_ago: counts.last_failure.map(|(moment, _)| ago(moment)),
            last_failure: counts.last_failure.map(|(_, kind)| kind.label()),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LatencyStats {
    fn of(histogram: &mut Histogram, now: Duration) -> Self {
        let mut ms = |quantile| {
            let latency = histogram.quantile(now, quantile)?;
            Some((latency.as_secs_f64() * 10_000.0).round() / 10.0)
        };
        Self {
            p50_ms: ms(0.5),
            p95_ms: ms(0.95),
        }
    }
}

/// A call under way.
pub(super) struct InFlight(Recorder);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.lock().in_flight -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_call_is_in_flight_until_it_is_dropped() {
        let recorder = Recorder::new(Service::OpenAi, Instant::now());
        let first = recorder.begin("a");
        let second = recorder.begin("b");
        let in_flight = || {
            recorder
                .stats(ConnectionStats::default(), Vec::new())
                .unwrap()
                .in_flight
        };
        assert_eq!(in_flight(), 2);
        drop(first);
        assert_eq!(in_flight(), 1);
        drop(second);
        assert_eq!(in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn errors_are_counted_by_kind_and_by_operation() {
        let recorder = Recorder::new(Service::OpenAi, Instant::now());
        for kind in [
            ErrorKind::Timeout,
            ErrorKind::Timeout,
            ErrorKind::RateLimited,
        ] {
            drop(recorder.begin("speech"));
            recorder.failed("speech", kind);
        }
        let stats = recorder
            .stats(ConnectionStats::default(), Vec::new())
            .unwrap();
        assert_eq!(
            stats.errors,
            BTreeMap::from([("timeout", 2), ("rate_limited", 1)])
        );
        assert_eq!(stats.operations["speech"].errors, 3);
        assert_eq!(stats.last_failure, Some("rate_limited"));
    }
}
