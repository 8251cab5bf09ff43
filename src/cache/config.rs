//! Settings of the cache (`[cache]`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{link, lookup};
use crate::redact::Pii;
use crate::units::{millis, seconds};

/// What is kept, for how long, and where it is shared.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Values kept in this process; the least recently used one goes first.
    pub entries_max: u64,
    /// Bytes of all values kept in this process.
    pub bytes_max: u64,
    /// Bytes of one value; a larger one is handed out and not kept.
    pub value_bytes_max: usize,
    /// How long a value is kept unless the caller says otherwise.
    #[serde(rename = "ttl_seconds", with = "seconds")]
    pub ttl: Duration,
    /// Redis, for what workers share; empty: every worker caches for itself.
    pub redis_url: Pii<String>,
    /// The longest a call may wait for Redis; after that it does without.
    #[serde(rename = "redis_timeout_ms", with = "millis")]
    pub redis_timeout: Duration,
    /// The longest a call waits for what another worker is making; 0: every worker makes its own.
    #[serde(rename = "redis_wait_ms", with = "millis")]
    pub redis_wait: Duration,
    /// Before every key in Redis, so that several programs can use one.
    pub redis_key_prefix: String,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            entries_max: 100,
            bytes_max: 32 * 1024 * 1024,
            value_bytes_max: 1024 * 1024,
            ttl: Duration::from_secs(300),
            redis_url: Pii::default(),
            redis_timeout: Duration::from_millis(50),
            redis_wait: Duration::from_millis(1_000),
            redis_key_prefix: "voxpool:".to_owned(),
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |is_valid: bool, problem: &str| {
            if !is_valid {
                problems.push(format!("cache.{problem}"));
            }
        };
        check(
            (1..=1_000_000).contains(&self.entries_max),
            "entries_max: must be from 1 to 1000000",
        );
        check(
            self.bytes_max >= self.entries_max && self.bytes_max <= u64::from(u32::MAX),
            "bytes_max: must be from cache.entries_max to 4294967295",
        );
        check(
            self.value_bytes_max >= 1 && self.value_bytes_max as u64 <= self.bytes_max,
            "value_bytes_max: must be from 1 to cache.bytes_max",
        );
        check(!self.ttl.is_zero(), "ttl_seconds: must be more than 0");
        check(
            (1..=5_000).contains(&self.redis_timeout.as_millis()),
            "redis_timeout_ms: must be from 1 to 5000",
        );
        check(
            self.redis_wait <= lookup::LOCK_TTL,
            "redis_wait_ms: must be at most 10000",
        );
        let url = self.redis_url.expose();
        check(
            url.is_empty() || link::is_address(url),
            "redis_url: must look like redis://user:password@host:6379/0, or rediss:// for TLS",
        );
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_nonsense_is_named() {
        assert!(Config::default().problems().is_empty());
        let broken = Config {
            entries_max: 0,
            bytes_max: 0,
            value_bytes_max: 0,
            ttl: Duration::ZERO,
            redis_url: Pii::new("http://:secret@x".to_owned()),
            redis_timeout: Duration::ZERO,
            redis_wait: Duration::from_secs(60),
            ..Config::default()
        };
        let problems = broken.problems();
        assert_eq!(problems.len(), 6, "{problems:?}");
        assert!(!problems.concat().contains("secret"));
    }

    #[test]
    fn every_form_of_address_is_known() {
        for url in [
            "redis://localhost",
            "redis://:password@10.0.0.1:6380/2",
            "rediss://user:password@cache.example:6379",
        ] {
            let config = Config {
                redis_url: Pii::new(url.to_owned()),
                ..Config::default()
            };
            assert!(config.problems().is_empty(), "{url}");
        }
    }
}
