//! Settings of the breakers (`[pool.breaker]`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::seconds;

/// When a service is left alone (`[pool.breaker]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Whether there is a breaker at all.
    pub enabled: bool,
    /// How long an outcome counts.
    #[serde(rename = "window_seconds", with = "seconds")]
    pub window: Duration,
    /// Fewer calls than this within the window say nothing about their share of failures.
    pub calls_min: u32,
    /// Share of failed calls that opens the breaker, above 0 to 1.
    pub failure_ratio: f64,
    /// Failures without a success between them that open it, however few the calls. A 429 counts here and
    /// not for `failure_ratio`.
    pub failures_in_a_row: u32,
    /// How long calls are refused; doubles with every failed probe.
    #[serde(rename = "open_seconds", with = "seconds")]
    pub open: Duration,
    /// Longest time calls are refused before the next probe.
    #[serde(rename = "open_max_seconds", with = "seconds")]
    pub open_max: Duration,
    /// Calls let through to see whether the service is back, and successes that close the breaker.
    pub probes: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            window: Duration::from_secs(30),
            calls_min: 10,
            failure_ratio: 0.5,
            failures_in_a_row: 5,
            open: Duration::from_secs(5),
            open_max: Duration::from_secs(60),
            probes: 2,
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub(in crate::pool) fn problems(&self) -> Vec<String> {
        let checks = [
            (
                !self.window.is_zero(),
                "window_seconds: must be more than 0",
            ),
            (self.calls_min >= 1, "calls_min: must be at least 1"),
            (
                self.failure_ratio > 0.0 && self.failure_ratio <= 1.0,
                "failure_ratio: must be above 0 and at most 1",
            ),
            (
                self.failures_in_a_row >= 1,
                "failures_in_a_row: must be at least 1",
            ),
            (
                !self.open.is_zero() && self.open <= self.open_max,
                "open_seconds: must be more than 0 and at most pool.breaker.open_max_seconds",
            ),
            (
                (1..=100).contains(&self.probes),
                "probes: must be from 1 to 100",
            ),
        ];
        let wrong = checks.into_iter().filter(|(is_valid, _)| !is_valid);
        wrong
            .map(|(_, problem)| format!("pool.breaker.{problem}"))
            .collect()
    }
}
