//! The pool's numbers for Prometheus.
//!
//! Hosts come from the configuration and the pool bounds their number, so they may be labels.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;

use super::page::{Labels, Page};
use crate::pool::{
    BreakerState, ConnectionPool, HostStats, HttpHostStats, PoolStats, ServiceStats,
};

/// Shows a pool on the metrics page. Encoding reads the kernel's socket table: not for a thread of
/// the async runtime.
pub struct PoolCollector(pub ConnectionPool);

impl fmt::Debug for PoolCollector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PoolCollector")
    }
}

impl Collector for PoolCollector {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let stats = self.0.stats_blocking();
        let mut page = Page::new(encoder);
        whole(&mut page, &stats)?;
        permits(&mut page, &stats)?;
        service_counters(&mut page, &stats)?;
        service_gauges(&mut page, &stats)?;
        hosts(&mut page, &stats)?;
        stages(&mut page, &stats)
    }
}

/// What all services share.
fn whole(page: &mut Page<'_>, stats: &PoolStats) -> Result<(), fmt::Error> {
    let gauges = [
        (
            "voice_agent_http_places_max",
            "HTTP connections that there may be",
            stats.permits.max,
        ),
        (
            "voice_agent_http_places_used",
            "HTTP requests under way",
            stats.permits.in_use,
        ),
        (
            "voice_agent_http_background_places_max",
            "HTTP requests that may be under way and that no caller waits for",
            stats.permits.background_max,
        ),
        (
            "voice_agent_http_background_places_used",
            "HTTP requests under way that no caller waits for",
            stats.permits.background_in_use,
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help, value as f64)?;
    }
    let counters = [
        (
            "voice_agent_connect_failures",
            "Connections that could not be opened",
            stats.connections.failed,
        ),
        (
            "voice_agent_dns_lookups",
            "Names that the system was asked for",
            stats.dns.misses,
        ),
        (
            "voice_agent_evictions",
            "Times all idle connections were dropped because of a failure",
            stats.evictions,
        ),
        (
            "voice_agent_unreadable_pieces",
            "Pieces of streamed answers that could not be read and were skipped",
            stats.unreadable_pieces,
        ),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, value)?;
    }
    Ok(())
}

/// Requests under way, and those that wait.
fn permits(page: &mut Page<'_>, stats: &PoolStats) -> Result<(), fmt::Error> {
    let permits = &stats.permits;
    let gauges = [
        (
            "voice_agent_http_connections_used",
            "Connections that the HTTP requests under way take",
            permits.connections_in_use,
        ),
        (
            "voice_agent_http_requests_asking",
            "HTTP requests whose answer has not begun",
            permits.asking,
        ),
        (
            "voice_agent_http_requests_answering",
            "HTTP requests whose answer has begun and is being read",
            permits.answering,
        ),
        (
            "voice_agent_permits_waiting",
            "Requests that wait for a permit of the pool",
            permits.waiting,
        ),
    ];
    for (name, help, value) in gauges {
        page.gauge(name, help, value as f64)?;
    }
    let waits = || {
        let waits = permits.waits.iter();
        waits.map(|(urgency, it)| (vec![("urgency", *urgency)], it))
    };
    let counts = waits().map(|(labels, it)| (labels, it.count));
    page.counters(
        "voice_agent_permit_waits",
        "Requests that waited for a permit and got it, by urgency",
        counts.collect(),
    )?;
    let ms = waits().map(|(labels, it)| (labels, (it.seconds * 1000.0) as u64));
    page.counters(
        "voice_agent_permit_wait_milliseconds",
        "How long they waited together",
        ms.collect(),
    )?;
    page.counter(
        "voice_agent_speculation_held_back",
        "Requests for answers before a turn's end that had to wait, as permits were short",
        permits.speculation_held_back,
    )?;
    let of_hosts = |value: fn(&HttpHostStats) -> f64| {
        let hosts = stats.http_hosts.iter();
        hosts.map(move |it| (vec![("host", &*it.host)], value(it)))
    };
    page.gauges(
        "voice_agent_http2_streams",
        "Requests under way on shared HTTP/2 connections",
        of_hosts(|it| it.streams_in_use as f64).collect(),
    )?;
    page.gauges(
        "voice_agent_http2_streams_seen_max",
        "The most of those that there were at once",
        of_hosts(|it| it.streams_seen_max as f64).collect(),
    )
}

/// Every service, with its label.
fn services(stats: &PoolStats) -> impl Iterator<Item = (Labels<'_>, &ServiceStats)> {
    (stats.services.iter()).map(|it| (vec![("service", it.service.label())], it))
}

fn service_counters(page: &mut Page<'_>, stats: &PoolStats) -> Result<(), fmt::Error> {
    type Count = fn(&ServiceStats) -> Option<u64>;
    let counters: [(&str, &str, Count); 7] = [
        (
            "voice_agent_connections_opened",
            "Connections opened",
            |it| Some(it.connections.opened),
        ),
        (
            "voice_agent_connections_reused",
            "Requests on a connection that was there",
            |it| Some(it.connections.reused),
        ),
        (
            "voice_agent_connections_closed",
            "Connections closed",
            |it| it.connections.closed,
        ),
        ("voice_agent_requests", "Calls begun", |it| {
            Some(it.requests)
        }),
        (
            "voice_agent_requests_cancelled",
            "Calls dropped before their answer",
            |it| Some(it.cancelled),
        ),
        ("voice_agent_retries", "Second and later tries", |it| {
            Some(it.retries)
        }),
        (
            "voice_agent_hedges",
            "Attempts made beside one that was late",
            |it| Some(it.hedges),
        ),
    ];
    for (name, help, count) in counters {
        let samples = services(stats).filter_map(|(labels, it)| Some((labels, count(it)?)));
        page.counters(name, help, samples.collect())?;
    }
    let errors = services(stats).flat_map(|(labels, it)| {
        let errors = it.errors.iter();
        errors.map(move |(kind, count)| ([labels.clone(), vec![("kind", *kind)]].concat(), *count))
    });
    let name = "voice_agent_request_errors";
    page.counters(name, "Calls that failed", errors.collect())
}

fn service_gauges(page: &mut Page<'_>, stats: &PoolStats) -> Result<(), fmt::Error> {
    let open =
        services(stats).filter_map(|(labels, it)| Some((labels, it.connections.open? as f64)));
    page.gauges(
        "voice_agent_connections_open",
        "Connections open",
        open.collect(),
    )?;
    let in_flight = services(stats).map(|(labels, it)| (labels, it.in_flight as f64));
    let name = "voice_agent_requests_in_flight";
    page.gauges(
        name,
        "Calls under way, streams included",
        in_flight.collect(),
    )?;
    let latencies = services(stats).flat_map(|(labels, it)| {
        (it.operations.iter()).flat_map(move |(operation, stats)| {
            let quantiles = [
                ("0.5", stats.latency.p50_ms),
                ("0.95", stats.latency.p95_ms),
            ];
            let labels = [labels.clone(), vec![("operation", *operation)]].concat();
            quantiles.into_iter().filter_map(move |(quantile, ms)| {
                let labels = [labels.clone(), vec![("quantile", quantile)]].concat();
                Some((labels, ms? / 1000.0))
            })
        })
    });
    page.gauges(
        "voice_agent_request_latency_seconds",
        "Time to the answer or its first item, of the last minutes",
        latencies.collect(),
    )
}

fn hosts(page: &mut Page<'_>, stats: &PoolStats) -> Result<(), fmt::Error> {
    type Value = fn(&HostStats) -> Option<f64>;
    let gauges: [(&str, &str, Value); 4] = [
        (
            "voice_agent_breaker_state",
            "Circuit breaker: 0 closed, 1 half-open, 2 open",
            |it| {
                Some(match it.breaker?.state {
                    BreakerState::Closed => 0.0,
                    BreakerState::HalfOpen => 1.0,
                    BreakerState::Open => 2.0,
                })
            },
        ),
        (
            "voice_agent_limit_max",
            "Requests that may wait for the beginning of their answer, by the adaptive limit",
            |it| Some(it.limit?.limit as f64),
        ),
        (
            "voice_agent_limit_used",
            "Requests that wait for the beginning of their answer",
            |it| Some(it.limit?.in_use as f64),
        ),
        (
            "voice_agent_health_check_passed",
            "1 if the last health check passed",
            |it| Some(f64::from(u8::from(it.last_check?.result == "ok"))),
        ),
    ];
    let each = || {
        stats.services.iter().flat_map(|service| {
            service.hosts.iter().map(|it| {
                let host = it.host.as_deref().unwrap_or_default();
                let labels = vec![
                    ("service", service.service.label()),
                    ("host", host),
                    ("priority", it.priority.label()),
                ];
                (labels, it)
            })
        })
    };
    for (name, help, value) in gauges {
        let samples = each().filter_map(|(labels, it)| Some((labels, value(it)?)));
        page.gauges(name, help, samples.collect())?;
    }
    let opened = each().filter_map(|(labels, it)| Some((labels, it.breaker?.opened)));
    let name = "voice_agent_breaker_opened";
    page.counters(name, "Times the circuit breaker opened", opened.collect())?;
    let failures = each().filter_map(|(labels, it)| Some((labels, it.last_check?.failures)));
    let name = "voice_agent_health_check_failures";
    page.counters(name, "Health checks that failed", failures.collect())
}

/// The stages that have fallbacks.
fn stages(page: &mut Page<'_>, stats: &PoolStats) -> Result<(), fmt::Error> {
    let each = || {
        stats
            .stages
            .iter()
            .map(|it| (vec![("stage", it.stage)], it))
    };
    let in_use = each().map(|(labels, it)| (labels, it.in_use as f64));
    page.gauges(
        "voice_agent_stage_in_use",
        "Which service of a stage answered last: 0 is the first choice, above it are fallbacks",
        in_use.collect(),
    )?;
    let changes = each().map(|(labels, it)| (labels, it.changes));
    page.counters(
        "voice_agent_stage_changes",
        "Times another service of a stage answered than before",
        changes.collect(),
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::error::{ErrorKind, Service};
    use crate::pool::{CallSpec, Config};
    use crate::telemetry::Metrics;

    #[tokio::test(start_paused = true)]
    async fn the_page_tells_what_the_pool_does() {
        let config = Config {
            retries_max: 0,
            ..Config::default()
        };
        let pool = ConnectionPool::new(config).unwrap();
        let spec = CallSpec::new(Service::Redis, "get", None, Duration::from_secs(1));
        for n in 0..6 {
            let ask = move |lease: crate::pool::Lease| async move {
                match n {
                    0 => Ok(()),
                    _ => Err(lease.spec().error(ErrorKind::Timeout)),
                }
            };
            pool.call(spec.clone(), ask).await.ok();
        }
        let mut metrics = Metrics::default();
        metrics.register(Box::new(PoolCollector(pool)));
        let page = metrics.render();
        for row in [
            "voice_agent_http_places_max 100.0",
            "voice_agent_permits_waiting 0.0",
            "voice_agent_permit_waits_total{urgency=\"first_sentence\"} 0",
            "voice_agent_speculation_held_back_total 0",
            "voice_agent_connect_failures_total 0",
            "voice_agent_requests_total{service=\"redis\"} 6",
            "voice_agent_request_errors_total{service=\"redis\",kind=\"timeout\"} 5",
            "voice_agent_requests_in_flight{service=\"redis\"} 0.0",
            "voice_agent_breaker_state{service=\"redis\",host=\"\",priority=\"caller\"} 2.0",
            "voice_agent_breaker_opened_total{service=\"redis\",host=\"\",priority=\"caller\"} 1",
            "voice_agent_limit_used{service=\"redis\",host=\"\",priority=\"caller\"} 0.0",
        ] {
            assert!(page.lines().any(|line| line == row), "{row} not in\n{page}");
        }
        let latency = "voice_agent_request_latency_seconds{service=\"redis\",operation=\"get\"";
        assert!(page.contains(latency), "{page}");
    }
}
