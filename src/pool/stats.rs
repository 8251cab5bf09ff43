//! What the pool counts, and how it tells.
//!
//! The layers of the stack write a `Recorder`; [`PoolStats`] is the picture of one moment: JSON for
//! programs, [`PoolStats::spoken`] for the model.

use std::collections::BTreeMap;

use serde::Serialize;

use super::breaker::BreakerState;
use super::choice::StageStats;
use super::connections::ConnectionStats;
use super::dns::DnsStats;
use super::http::HttpClientStats;
use super::learnt::LearntStats;
use super::spec::Priority;
use crate::error::Service;

/// One moment of the pool.
#[derive(Clone, Debug, Serialize)]
pub struct PoolStats {
    /// Since the pool was built.
    pub uptime_seconds: f64,
    /// HTTP connections and WebSockets of all services together; databases and Redis count theirs in
    /// their own lines.
    pub connections: ConnectionStats,
    /// The client that HTTP services share.
    pub http_client: HttpClientStats,
    /// Requests under way, and those that wait for permits.
    pub permits: PermitStats,
    /// The connections to each host.
    pub http_hosts: Vec<HttpHostStats>,
    /// Name resolution.
    pub dns: DnsStats,
    /// How often all idle connections to a host were dropped because one of them turned out to be dead
    /// or a health check failed.
    pub evictions: u64,
    /// How often all idle connections were dropped because somebody asked.
    pub cleanups: u64,
    /// Every service that was called at least once.
    pub services: Vec<ServiceStats>,
    /// Every stage that has fallbacks.
    pub stages: Vec<StageStats>,
    /// Services that calls go on without, and why.
    pub missing: BTreeMap<Service, String>,
    /// Pieces of streamed answers that could not be read and were skipped.
    pub unreadable_pieces: u64,
    /// Parts of a request that services refused and are asked without.
    pub learnt: Vec<LearntStats>,
}

/// HTTP requests under way, and those that wait for permits.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct PermitStats {
    /// Connections there may be: over HTTP/1.1 requests under way, over HTTP/2 each has many.
    pub max: usize,
    /// Requests under way, until their answers have been read.
    pub in_use: usize,
    /// Requests under way that no caller waits for, at most.
    pub background_max: usize,
    /// Requests under way that no caller waits for.
    pub background_in_use: usize,
    /// Connections that the requests under way take.
    pub connections_in_use: usize,
    /// Requests under way whose answer has not begun.
    pub asking: usize,
    /// Requests under way whose answer has begun.
    pub answering: usize,
    /// Requests that wait for a permit.
    pub waiting: usize,
    /// Waits that there were, by urgency.
    pub waits: BTreeMap<&'static str, WaitStats>,
    /// Requests for answers before a turn's end that had to wait, as permits were short.
    pub speculation_held_back: u64,
}

/// Waits for permits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct WaitStats {
    /// Requests that waited and got a permit.
    pub count: u64,
    /// How long, together.
    pub seconds: f64,
}

/// The connections to one host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HttpHostStats {
    /// Name and port.
    pub host: String,
    /// Whether it answered over HTTP/2 last, so that requests share connections.
    pub is_http2: bool,
    /// Connections that the requests under way take.
    pub connections_in_use: usize,
    /// Requests under way on shared connections.
    pub streams_in_use: usize,
    /// The most of those that there were at once.
    pub streams_seen_max: usize,
}

/// One service.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceStats {
    /// Which one.
    pub service: Service,
    /// Calls begun; a call that was retried counts once.
    pub requests: u64,
    /// Calls under way, streams included.
    pub in_flight: u64,
    /// Calls that their owner dropped before they were answered, as an interruption does.
    pub cancelled: u64,
    /// Second and later tries.
    pub retries: u64,
    /// Attempts made beside one that was late.
    pub hedges: u64,
    /// Failed calls by kind; a stream that broke half way counts here too.
    pub errors: BTreeMap<&'static str, u64>,
    /// Time to the answer, or to the first item of a stream, of the last minutes.
    pub latency: LatencyStats,
    /// The same for each operation.
    pub operations: BTreeMap<&'static str, OperationStats>,
    /// Connections that carried at least one answer of this service.
    pub connections: ConnectionStats,
    /// Each host that was called or is watched; for a service with a pool of its own, one line
    /// without a name.
    pub hosts: Vec<HostStats>,
    /// Since the last answer.
    pub last_success_seconds_ago: Option<f64>,
    /// Since the last failure, refusals of the circuit breaker left out.
    pub last_failure_seconds_ago: Option<f64>,
    /// Kind of the last failure.
    pub last_failure: Option<&'static str>,
}

/// One host of a service, as calls of one priority see it.
#[derive(Clone, Debug, Serialize)]
pub struct HostStats {
    /// Name and port.
    pub host: Option<String>,
    /// Whose breaker and limit these are.
    pub priority: Priority,
    /// The circuit breaker; `None` when it is switched off or nothing was called yet.
    pub breaker: Option<BreakerStats>,
    /// The adaptive limit; `None` when it is switched off or nothing was called yet.
    pub limit: Option<LimitStats>,
    /// The last health check.
    pub last_check: Option<CheckStats>,
}

/// A circuit breaker.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct BreakerStats {
    /// Whether calls pass.
    pub state: BreakerState,
    /// How often it has opened.
    pub opened: u64,
    /// How long calls are still refused.
    pub retry_in_seconds: Option<f64>,
}

/// An adaptive limit.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct LimitStats {
    /// Requests that may wait for the beginning of their answer.
    pub limit: usize,
    /// Requests that do.
    pub in_use: usize,
}

/// A health check.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CheckStats {
    /// When.
    pub seconds_ago: f64,
    /// `ok`, or the kind of the failure.
    pub result: &'static str,
    /// Checks made so far.
    pub checks: u64,
    /// Checks that failed.
    pub failures: u64,
}

/// One operation of a service.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct OperationStats {
    /// Calls begun.
    pub requests: u64,
    /// Calls that failed.
    pub errors: u64,
    /// Time to the answer, or to the first item of a stream, of the last minutes.
    pub latency: LatencyStats,
}

/// Percentiles; `None` without a recent call.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct LatencyStats {
    /// Half of the calls took no longer.
    pub p50_ms: Option<f64>,
    /// 19 of 20 calls took no longer.
    pub p95_ms: Option<f64>,
}

impl ServiceStats {
    /// Failed calls of every kind.
    pub fn errors_total(&self) -> u64 {
        self.errors.values().sum()
    }

    /// The state of the breaker that is in most trouble, of those that callers meet.
    pub fn worst_breaker(&self) -> BreakerState {
        let of_callers = |host: &&HostStats| host.priority == Priority::Caller;
        let states = || {
            let hosts = self.hosts.iter().filter(of_callers);
            hosts.filter_map(|host| Some(host.breaker?.state))
        };
        [BreakerState::Open, BreakerState::HalfOpen]
            .into_iter()
            .find(|worst| states().any(|state| state == *worst))
            .unwrap_or(BreakerState::Closed)
    }
}

impl PoolStats {
    /// Two or three sentences that sound right when a voice reads them out.
    pub fn spoken(&self) -> String {
        let mut text = format!(
            "The pool has been up for {}. ",
            spoken_duration(self.uptime_seconds)
        );
        text += &match self.connections.open {
            Some(open) => format!("{} open now, ", count(open, "connection")),
            None => String::new(),
        };
        text += &format!(
            "{} opened so far and {} on a connection that was already there.",
            self.connections.opened,
            count(self.connections.reused, "request"),
        );
        for service in &self.services {
            text += &format!(
                " Service {}: {}, {}, {} in flight",
                service.service,
                count(service.requests, "request"),
                count(service.errors_total(), "error"),
                service.in_flight,
            );
            if let Some(p50) = service.latency.p50_ms {
                text += &format!(", half of the answers within {p50:.0} milliseconds");
            }
            text += match service.worst_breaker() {
                BreakerState::Closed => ".",
                BreakerState::Open => ". It keeps failing and is not asked for the moment.",
                BreakerState::HalfOpen => ". It was failing and is being tried again.",
            };
        }
        for service in self.missing.keys() {
            text += &format!(" Calls go on without {service}.");
        }
        for stage in self.stages.iter().filter(|stage| stage.in_use > 0) {
            text += &format!(" A fallback serves {}.", stage.spoken());
        }
        text
    }
}

fn count(number: u64, noun: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {noun}{plural}")
}

fn spoken_duration(seconds: f64) -> String {
    let seconds = seconds as u64;
    match seconds {
        0..60 => count(seconds, "second"),
        60..3600 => count(seconds / 60, "minute"),
        _ => count(seconds / 3600, "hour"),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::super::recorder::Recorder;
    use super::*;
    use crate::error::ErrorKind;

    fn pool(services: Vec<ServiceStats>) -> PoolStats {
        PoolStats {
            uptime_seconds: 125.0,
            connections: ConnectionStats {
                opened: 3,
                reused: 40,
                closed: Some(2),
                open: Some(1),
                failed: 0,
            },
            http_client: HttpClientStats {
                is_shared: true,
                build_failures: 0,
                one_off_requests: 0,
                has_certificates: true,
            },
            permits: PermitStats::default(),
            http_hosts: Vec::new(),
            dns: DnsStats::default(),
            evictions: 0,
            cleanups: 0,
            services,
            stages: Vec::new(),
            missing: BTreeMap::new(),
            unreadable_pieces: 0,
            learnt: Vec::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_spoken_text_is_short_and_has_no_symbols() {
        let recorder = Recorder::new(Service::OpenAi, Instant::now());
        let in_flight = recorder.begin("chat.stream");
        recorder.answered("chat.stream", Duration::from_millis(200));
        recorder.failed("chat.stream", ErrorKind::Timeout);
        let stats = recorder
            .stats(ConnectionStats::default(), Vec::new())
            .unwrap();
        drop(in_flight);
        let spoken = pool(vec![stats]).spoken();
        assert!(spoken.contains("up for 2 minutes"), "{spoken}");
        assert!(spoken.contains("1 connection open now"), "{spoken}");
        assert!(
            spoken.contains("1 request, 1 error, 1 in flight"),
            "{spoken}"
        );
        assert!(spoken.len() < 400, "{spoken}");
        assert!(!spoken.contains(['{', '"', '_', ';']), "{spoken}");
    }

    #[test]
    fn the_json_names_services_by_label() {
        let recorder = Recorder::new(Service::OpenAi, Instant::now());
        drop(recorder.begin("models"));
        let stats = recorder
            .stats(ConnectionStats::default(), Vec::new())
            .unwrap();
        let json = serde_json::to_value(pool(vec![stats])).unwrap();
        assert_eq!(json["services"][0]["service"], "openai");
        assert_eq!(json["connections"]["open"], 1);
    }
}
