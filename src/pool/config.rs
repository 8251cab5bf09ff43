//! Settings of the pool (`[pool]`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{adaptive, breaker};
use crate::units::{millis, seconds};

/// Limits and times of every outgoing call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// `false` makes a fresh HTTP client for each request, without kept connections: for
    /// measurements of what the pool is worth, and nothing else.
    pub enabled: bool,
    /// HTTP connections to all hosts together, in use or idle. Where it is not set it grows with
    /// `worker.slots_max` ([`Config::fit`]). WebSockets come on top: as many in use as this for each
    /// service and stage that has some.
    pub connections_max: usize,
    /// HTTP connections to one host, in use or idle; grows likewise.
    pub connections_per_host_max: usize,
    /// Requests that share a connection to a host that speaks HTTP/2; more of them open another one.
    pub streams_per_connection_max: usize,
    /// Requests under way that no caller waits for; and no more than half of the connections, to
    /// a host and to all, so that callers always find the rest.
    pub background_max: usize,
    /// The longest wait of a request for a permit, within its own deadline; then it fails and says so.
    #[serde(rename = "permit_timeout_seconds", with = "seconds")]
    pub permit_timeout: Duration,
    /// How long an unused connection is kept; shorter than the idle limit of common load balancers.
    #[serde(rename = "idle_timeout_seconds", with = "seconds")]
    pub idle_timeout: Duration,
    /// How long a DNS answer is used without asking again.
    #[serde(rename = "dns_ttl_seconds", with = "seconds")]
    pub dns_ttl: Duration,
    /// TCP and TLS together; a host that has not answered by then is down for a voice call.
    #[serde(rename = "connect_timeout_seconds", with = "seconds")]
    pub connect_timeout: Duration,
    /// TCP keepalive probes start after this much silence, so that a dead idle socket is noticed.
    #[serde(rename = "tcp_keepalive_seconds", with = "seconds")]
    pub tcp_keepalive: Duration,
    /// Tries after the first one.
    pub retries_max: u32,
    /// Wait before the first retry; doubles each time, with jitter.
    #[serde(rename = "retry_delay_min_ms", with = "millis")]
    pub retry_delay_min: Duration,
    /// Longest wait between two tries.
    #[serde(rename = "retry_delay_max_ms", with = "millis")]
    pub retry_delay_max: Duration,
    /// A service that asks for a longer wait than this is not tried again within the call.
    #[serde(rename = "retry_after_max_seconds", with = "seconds")]
    pub retry_after_max: Duration,
    /// Connections opened before the first call: one conversation uses two at a time.
    pub prewarm_connections: usize,
    /// Least time between two cleanups, so that a model in a loop cannot keep the pool cold.
    #[serde(rename = "cleanup_interval_min_seconds", with = "seconds")]
    pub cleanup_interval_min: Duration,
    /// How often the health monitor looks whether something has to be checked.
    #[serde(rename = "health_interval_seconds", with = "seconds")]
    pub health_interval: Duration,
    /// What has not answered for so long is checked.
    #[serde(rename = "health_check_after_seconds", with = "seconds")]
    pub health_check_after: Duration,
    /// When a failing service is left alone.
    pub breaker: breaker::Config,
    /// How many calls to one host may be under way.
    pub adaptive: adaptive::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            connections_max: 100,
            connections_per_host_max: 30,
            streams_per_connection_max: 100,
            background_max: 8,
            permit_timeout: Duration::from_secs(3),
            idle_timeout: Duration::from_secs(60),
            dns_ttl: Duration::from_secs(300),
            connect_timeout: Duration::from_secs(5),
            tcp_keepalive: Duration::from_secs(30),
            retries_max: 3,
            retry_delay_min: Duration::from_millis(100),
            retry_delay_max: Duration::from_secs(2),
            retry_after_max: Duration::from_secs(5),
            prewarm_connections: 2,
            cleanup_interval_min: Duration::from_secs(10),
            health_interval: Duration::from_secs(60),
            health_check_after: Duration::from_secs(300),
            breaker: breaker::Config::default(),
            adaptive: adaptive::Config::default(),
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |is_valid: bool, problem: &str| {
            if !is_valid {
                problems.push(format!("pool.{problem}"));
            }
        };
        check(
            (1..=10_000).contains(&self.connections_max),
            "connections_max: must be from 1 to 10000",
        );
        check(
            (1..=self.connections_max.max(1)).contains(&self.connections_per_host_max),
            "connections_per_host_max: must be from 1 to pool.connections_max",
        );
        check(
            (1..=10_000).contains(&self.streams_per_connection_max),
            "streams_per_connection_max: must be from 1 to 10000",
        );
        check(
            !self.permit_timeout.is_zero(),
            "permit_timeout_seconds: must be more than 0",
        );
        check(
            (1..=1_000).contains(&self.background_max),
            "background_max: must be from 1 to 1000",
        );
        check(self.retries_max <= 10, "retries_max: must be from 0 to 10");
        check(
            !self.retry_delay_min.is_zero() && self.retry_delay_min <= self.retry_delay_max,
            "retry_delay_min_ms: must be at least 1 and at most pool.retry_delay_max_ms",
        );
        check(
            !self.connect_timeout.is_zero(),
            "connect_timeout_seconds: must be more than 0",
        );
        check(
            self.prewarm_connections <= self.connections_per_host_max,
            "prewarm_connections: must be at most pool.connections_per_host_max",
        );
        check(
            !self.health_interval.is_zero(),
            "health_interval_seconds: must be more than 0",
        );
        problems.extend(self.breaker.problems());
        problems.extend(self.adaptive.problems(self.connections_per_host_max));
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert!(Config::default().problems().is_empty());
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let config = Config {
            connections_max: 0,
            background_max: 0,
            retries_max: 99,
            connect_timeout: Duration::ZERO,
            health_interval: Duration::ZERO,
            breaker: breaker::Config {
                failure_ratio: 0.0,
                probes: 0,
                ..breaker::Config::default()
            },
            adaptive: adaptive::Config {
                limit_min: 31,
                slow_factor: 1.0,
                ..adaptive::Config::default()
            },
            ..Config::default()
        };
        let problems = config.problems();
        for key in [
            "connections_max",
            "background_max",
            "retries_max",
            "connect_timeout_seconds",
            "health_interval_seconds",
            "breaker.failure_ratio",
            "breaker.probes",
            "adaptive.limit_min",
            "adaptive.slow_factor",
        ] {
            assert!(
                problems
                    .iter()
                    .any(|p| p.starts_with(&format!("pool.{key}:"))),
                "{key} not in {problems:?}"
            );
        }
    }

    #[test]
    fn keys_carry_their_units() {
        let json = serde_json::to_value(Config::default()).unwrap();
        assert_eq!(json["idle_timeout_seconds"], 60.0);
        assert_eq!(json["retry_delay_min_ms"], 100);
        let back: Config = serde_json::from_value(json).unwrap();
        assert_eq!(back, Config::default());
    }
}
