//! Settings of the batches (`[memory.batch]`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{millis, seconds};

/// How operations of different calls become one request to the store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How long the first operation of a batch waits for others.
    #[serde(rename = "wait_ms", with = "millis")]
    pub wait: Duration,
    /// Operations in one batch.
    pub ops_max: usize,
    /// Batches sent to the store each second.
    pub batches_per_second_max: u32,
    /// Operations that wait; what does not fit is refused.
    pub queue_max: usize,
    /// One operation: its wait and its batch together.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            wait: Duration::from_millis(5),
            ops_max: 500,
            batches_per_second_max: 100,
            queue_max: 10_000,
            timeout: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |is_valid: bool, problem: &str| {
            if !is_valid {
                problems.push(format!("memory.batch.{problem}"));
            }
        };
        check(
            self.wait <= Duration::from_secs(1),
            "wait_ms: must be at most 1000",
        );
        check(
            (1..=10_000).contains(&self.ops_max),
            "ops_max: must be from 1 to 10000",
        );
        check(
            (1..=10_000).contains(&self.batches_per_second_max),
            "batches_per_second_max: must be from 1 to 10000",
        );
        check(
            (1..=1_000_000).contains(&self.queue_max),
            "queue_max: must be from 1 to 1000000",
        );
        check(
            (Duration::from_millis(100)..=Duration::from_secs(300)).contains(&self.timeout),
            "timeout_seconds: must be from 0.1 to 300",
        );
        problems
    }
}
