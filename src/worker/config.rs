//! Settings of the worker (`[worker]`) and of the server it registers with (`[livekit]`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::redact::Pii;
use crate::units::{millis, seconds};

/// Longest agent name and deployment LiveKit keeps; a longer one is a mistake.
const NAME_BYTES_MAX: usize = 64;

/// How the worker takes jobs and lets go of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Name that a dispatch asks for; empty: the worker gets a job for every new room.
    pub agent_name: String,
    /// Deployment that a dispatch asks for; empty: production.
    pub deployment: String,
    /// Jobs held at once. Exact: a slot is taken before the server is told that we accept.
    pub slots_max: usize,
    /// Jobs are refused while the load of the machine is above this; 1 never refuses.
    pub load_threshold: f32,
    /// Jobs are refused while a greater part of the memory than this is in use, or would be with the
    /// job; 1 never refuses.
    pub memory_threshold: f32,
    /// After the first SIGTERM or SIGINT running jobs may go on for this long; 0: no drain, the
    /// first signal ends them.
    #[serde(rename = "drain_timeout_seconds", with = "seconds")]
    pub drain_timeout: Duration,
    /// A job that must end may take this long before it is cut off, unless a further signal cuts it
    /// off at once.
    #[serde(rename = "termination_grace_seconds", with = "seconds")]
    pub termination_grace: Duration,
    /// An accepted job must be assigned within this, else its slot is free again.
    #[serde(rename = "assignment_timeout_seconds", with = "seconds")]
    pub assignment_timeout: Duration,
    /// How often status and load are reported.
    #[serde(rename = "status_interval_seconds", with = "seconds")]
    pub status_interval: Duration,
    /// Connecting and registering together may take this long.
    #[serde(rename = "register_timeout_seconds", with = "seconds")]
    pub register_timeout: Duration,
    /// A connection on which nothing was heard for this long is given up; the server pings it
    /// every 10 s.
    #[serde(rename = "silence_timeout_seconds", with = "seconds")]
    pub silence_timeout: Duration,
    /// Wait before the first reconnect; doubles with every failure, with jitter.
    #[serde(rename = "reconnect_delay_ms_min", with = "millis")]
    pub reconnect_delay_min: Duration,
    /// Longest wait between two tries to reconnect.
    #[serde(rename = "reconnect_delay_ms_max", with = "millis")]
    pub reconnect_delay_max: Duration,
}

impl Default for Config {
    /// Source of the times: livekit-agents 1.7 `worker.py` (threshold, status, drain, assignment,
    /// termination) and livekit-server `pkg/agent/worker.go` (register).
    fn default() -> Self {
        Self {
            agent_name: String::new(),
            deployment: String::new(),
            slots_max: 100,
            load_threshold: 0.7,
            memory_threshold: 0.9,
            drain_timeout: Duration::from_secs(3600),
            termination_grace: Duration::from_secs(10),
            assignment_timeout: Duration::from_millis(7500),
            status_interval: Duration::from_millis(2500),
            register_timeout: Duration::from_secs(10),
            silence_timeout: Duration::from_secs(30),
            reconnect_delay_min: Duration::from_millis(500),
            reconnect_delay_max: Duration::from_secs(10),
        }
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |is_valid: bool, problem: &str| {
            if !is_valid {
                problems.push(format!("worker.{problem}"));
            }
        };
        check(
            is_name(&self.agent_name),
            "agent_name: must be at most 64 bytes without spaces or control characters",
        );
        check(
            is_name(&self.deployment) && !self.deployment.contains('_'),
            "deployment: must be at most 64 bytes without underscores, spaces or control characters",
        );
        check(
            (1..=10_000).contains(&self.slots_max),
            "slots_max: must be from 1 to 10000",
        );
        check(
            self.load_threshold > 0.0 && self.load_threshold <= 1.0,
            "load_threshold: must be above 0 and at most 1",
        );
        check(
            self.memory_threshold > 0.5 && self.memory_threshold <= 1.0,
            "memory_threshold: must be above 0.5 and at most 1",
        );
        check(
            !self.reconnect_delay_min.is_zero()
                && self.reconnect_delay_min <= self.reconnect_delay_max,
            "reconnect_delay_ms_min: must be at least 1 and at most worker.reconnect_delay_ms_max",
        );
        for (key, value) in [
            ("assignment_timeout_seconds", self.assignment_timeout),
            ("status_interval_seconds", self.status_interval),
            ("register_timeout_seconds", self.register_timeout),
        ] {
            let is_valid = value >= Duration::from_millis(100) && value <= Duration::from_secs(60);
            check(is_valid, &format!("{key}: must be from 0.1 to 60"));
        }
        check(
            self.silence_timeout >= Duration::from_secs(15),
            "silence_timeout_seconds: must be at least 15, or the server's pings come too late",
        );
        problems
    }
}

/// Source: livekit/protocol `agent/environment.go`, the rules for deployments.
fn is_name(name: &str) -> bool {
    name.len() <= NAME_BYTES_MAX && !name.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// The LiveKit server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    /// Address: `wss://…` or `ws://…` (http and https mean the same).
    pub url: String,
    /// API key of the project.
    pub api_key: String,
    /// Secret that belongs to the key.
    pub api_secret: Pii<String>,
    /// Token that LiveKit's hosted agents are given; empty anywhere else.
    pub worker_token: Pii<String>,
}

impl ServerConfig {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.url.is_empty() {
            problems.push("livekit.url: missing; set LIVEKIT_URL, like wss://host:port".to_owned());
        } else if let Err(error) = super::address::AgentUrl::new(self) {
            problems.push(format!("livekit.url: {error}"));
        }
        if self.api_key.is_empty() {
            problems.push("livekit.api_key: missing; set LIVEKIT_API_KEY".to_owned());
        }
        if self.api_secret.expose().is_empty() {
            problems.push("livekit.api_secret: missing; set LIVEKIT_API_SECRET".to_owned());
        }
        problems
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::default().problems(), Vec::<String>::new());
    }

    #[test]
    fn all_problems_are_reported_at_once() {
        let config = Config {
            agent_name: "with space".to_owned(),
            slots_max: 0,
            load_threshold: f32::NAN,
            memory_threshold: f32::NAN,
            status_interval: Duration::ZERO,
            ..Config::default()
        };
        let keys: Vec<String> = config.problems().iter().map(|p| key_of(p)).collect();
        assert_eq!(
            keys,
            [
                "worker.agent_name",
                "worker.slots_max",
                "worker.load_threshold",
                "worker.memory_threshold",
                "worker.status_interval_seconds"
            ]
        );
    }

    #[test]
    fn a_server_without_anything_names_all_that_is_missing() {
        let keys: Vec<String> = ServerConfig::default()
            .problems()
            .iter()
            .map(|p| key_of(p))
            .collect();
        assert_eq!(
            keys,
            ["livekit.url", "livekit.api_key", "livekit.api_secret"]
        );
    }

    fn key_of(problem: &str) -> String {
        problem.split(':').next().unwrap().to_owned()
    }
}
