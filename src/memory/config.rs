//! Settings of the memory (`[memory]`, `[supabase]`).

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::rows::Limits;
use super::user::{ATTRIBUTE_CHARS_MAX, is_attribute};
use super::{BatchConfig, IdentitiesConfig, RecorderConfig};
use crate::error::Service;
use crate::participant::ParticipantKind;
use crate::pool::CallSpec;
use crate::redact::Pii;
use crate::units::seconds;

/// Where memories are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StoreKind {
    /// Postgres or Supabase if one of them is configured (in this order), else SQLite.
    #[default]
    Auto,
    /// A file of this machine.
    Sqlite,
    /// A Postgres server.
    Postgres,
    /// A Supabase project, through its data API.
    Supabase,
    /// Nowhere: nobody is remembered.
    None,
}

/// Where and how memories are kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Which store.
    pub store: StoreKind,
    /// File of the embedded database; `:memory:` keeps nothing on disk.
    pub sqlite_path: String,
    /// Kinds of participants that are remembered.
    pub kinds: Vec<ParticipantKind>,
    /// The attribute under which a participant who has it is remembered, in place of the identity;
    /// empty for none.
    pub key_attribute: String,
    /// Memories of one user; of more, the latest saved stay, and the summary.
    pub per_user_max: u32,
    /// Days after which a memory that was not saved again is deleted; 0: never.
    pub keep_days: u32,
    /// Longest key, in characters.
    pub key_chars_max: usize,
    /// Longest value, in characters.
    pub value_chars_max: usize,
    /// A whole operation: all attempts and the pauses between them.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
    /// One attempt.
    #[serde(rename = "attempt_timeout_seconds", with = "seconds")]
    pub attempt_timeout: Duration,
    /// Which identities are remembered.
    pub identities: IdentitiesConfig,
    /// The Postgres server.
    pub postgres: PostgresConfig,
    /// Operations of all calls, merged.
    pub batch: BatchConfig,
    /// What is remembered of conversations.
    pub recorder: RecorderConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            store: StoreKind::Auto,
            sqlite_path: "voxpool.db".to_owned(),
            kinds: ParticipantKind::ALL.to_vec(),
            key_attribute: String::new(),
            per_user_max: 500,
            keep_days: 0,
            key_chars_max: 200,
            value_chars_max: 2000,
            timeout: Duration::from_secs(10),
            attempt_timeout: Duration::from_secs(5),
            identities: IdentitiesConfig::default(),
            postgres: PostgresConfig::default(),
            batch: BatchConfig::default(),
            recorder: RecorderConfig::default(),
        }
    }
}

/// The Postgres server and the connections to it (`[memory.postgres]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresConfig {
    /// `postgres://user:password@host:port/database`; empty: no Postgres.
    pub url: Pii<String>,
    /// Connections at most. All calls share them, a statement at a time, so few are enough.
    pub connections_max: u32,
    /// How long a statement waits for a connection.
    #[serde(rename = "acquire_timeout_seconds", with = "seconds")]
    pub acquire_timeout: Duration,
    /// How long an unused connection is kept.
    #[serde(rename = "idle_timeout_seconds", with = "seconds")]
    pub idle_timeout: Duration,
    /// The server ends a statement after this time.
    #[serde(rename = "statement_timeout_seconds", with = "seconds")]
    pub statement_timeout: Duration,
    /// Whether a transaction pooler (PgBouncer, Supavisor) is in between: no named prepared
    /// statements, nothing that outlives a transaction.
    pub pooler: bool,
    /// Whether the worker makes and updates its table itself.
    pub migrate: bool,
}

impl Default for PostgresConfig {
    fn default() -> Self {
        Self {
            url: Pii::default(),
            connections_max: 10,
            acquire_timeout: Duration::from_secs(2),
            idle_timeout: Duration::from_secs(60),
            statement_timeout: Duration::from_secs(3),
            pooler: false,
            migrate: true,
        }
    }
}

/// The Supabase project (`[supabase]`).
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SupabaseConfig {
    /// Address of the project; empty: no Supabase.
    pub url: String,
    /// Service role or secret key, or the anonymous key where the table's policies allow it.
    pub key: Pii<String>,
}

impl SupabaseConfig {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.url.is_empty()
            && !self.url.starts_with("https://")
            && !self.url.starts_with("http://")
        {
            problems.push("supabase.url: must start with https:// or http://".to_owned());
        }
        if !self.url.is_empty() && self.key.expose().is_empty() {
            problems.push(
                "supabase.key: missing; set SUPABASE_SERVICE_ROLE_KEY (or SUPABASE_ANON_KEY)"
                    .to_owned(),
            );
        }
        problems
    }
}

impl Config {
    /// Every invalid value, as `key: what is wrong and what is allowed`.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |is_valid: bool, problem: &str| {
            if !is_valid {
                problems.push(format!("memory.{problem}"));
            }
        };
        check(
            !self.sqlite_path.trim().is_empty(),
            "sqlite_path: must name a file, or be :memory:",
        );
        check(
            self.key_attribute.is_empty() || is_attribute(&self.key_attribute),
            &format!(
                "key_attribute: must be the name of an attribute, up to {ATTRIBUTE_CHARS_MAX} \
                 characters without spaces and ="
            ),
        );
        check(
            (1..=100_000).contains(&self.per_user_max),
            "per_user_max: must be from 1 to 100000",
        );
        check(self.keep_days <= 36_500, "keep_days: must be at most 36500");
        check(
            (1..=400).contains(&self.key_chars_max),
            "key_chars_max: must be from 1 to 400",
        );
        check(
            (1..=100_000).contains(&self.value_chars_max),
            "value_chars_max: must be from 1 to 100000",
        );
        check(
            !self.timeout.is_zero(),
            "timeout_seconds: must be more than 0",
        );
        check(
            !self.attempt_timeout.is_zero() && self.attempt_timeout <= self.timeout,
            "attempt_timeout_seconds: must be more than 0 and at most memory.timeout_seconds",
        );
        self.check_postgres(&mut check);
        problems.extend(self.identities.problems());
        problems.extend(self.batch.problems());
        problems.extend(self.recorder.problems());
        problems
    }

    fn check_postgres(&self, check: &mut impl FnMut(bool, &str)) {
        let postgres = &self.postgres;
        let url = postgres.url.expose().trim();
        check(
            url.is_empty() || url.starts_with("postgres://") || url.starts_with("postgresql://"),
            "postgres.url: must start with postgres:// or postgresql://",
        );
        check(
            self.store != StoreKind::Postgres || !url.is_empty(),
            "postgres.url: missing; set DATABASE_URL, or another memory.store",
        );
        check(
            (1..=1000).contains(&postgres.connections_max),
            "postgres.connections_max: must be from 1 to 1000",
        );
        check(
            !postgres.acquire_timeout.is_zero() && postgres.acquire_timeout < self.attempt_timeout,
            "postgres.acquire_timeout_seconds: must be more than 0 and less than \
             memory.attempt_timeout_seconds",
        );
        check(
            postgres.statement_timeout.as_millis() > 0,
            "postgres.statement_timeout_seconds: must be at least 0.001",
        );
    }

    pub(super) fn limits(&self) -> Limits {
        Limits {
            key_chars_max: self.key_chars_max,
            value_chars_max: self.value_chars_max,
        }
    }

    /// A call to a database that has connections of its own.
    pub(super) fn spec(&self, service: Service, operation: &'static str) -> CallSpec {
        CallSpec::new(service, operation, None, self.timeout).attempt_timeout(self.attempt_timeout)
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
            store: StoreKind::Postgres,
            sqlite_path: " ".to_owned(),
            value_chars_max: 0,
            key_attribute: "a=b".to_owned(),
            per_user_max: 0,
            keep_days: 100_000,
            timeout: Duration::ZERO,
            postgres: PostgresConfig {
                connections_max: 0,
                ..PostgresConfig::default()
            },
            ..Config::default()
        };
        let problems = config.problems();
        for key in [
            "sqlite_path",
            "value_chars_max",
            "key_attribute",
            "per_user_max",
            "keep_days",
            "timeout_seconds",
            "attempt_timeout_seconds",
            "postgres.url",
            "postgres.connections_max",
        ] {
            let start = format!("memory.{key}: ");
            let is_it = |problem: &String| problem.starts_with(&start);
            assert!(problems.iter().any(is_it), "{key} not in {problems:?}");
        }
    }

    #[test]
    fn a_database_url_is_never_quoted() {
        let config = Config {
            postgres: PostgresConfig {
                url: Pii::new("mysql://me:secret@host/db".to_owned()),
                ..PostgresConfig::default()
            },
            ..Config::default()
        };
        let problems = config.problems().concat();
        assert!(problems.contains("postgres://") && !problems.contains("secret"));
        assert!(!format!("{config:?}").contains("secret"));
    }
}
