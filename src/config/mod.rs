//! Every setting of the program, from four places: **defaults < config file < environment < flags**.
//!
//! Each module owns its `Config`; [`Config`] puts them together. `sources.rs` lists what somebody
//! set and where, `merge.rs` lays it over the defaults and finds *all* mistakes, `environment.rs`
//! has the table of variables. A new section is one field of [`Config`], one line in
//! [`Config::problems`] and its keys in `config/default.toml`.
//!
//! **Invariant:** the only reader of the environment and of configuration files.
//! **Invariant:** nobody below `app` imports this module; each is handed its own section.

mod agents;
mod environment;
mod known;
mod merge;
mod sources;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::agents::{AgentFile, AgentsConfig};
pub use self::environment::{Environment, VARIABLES, process_environment};
pub use self::sources::{Flag, Source, Sources};

use crate::audio::speech;
use crate::tools::mcp;
use crate::{
    agent, cache, llm, memory, playground, pool, session, stt, telemetry, tts, turn, worker,
};

/// All settings with their defaults and documentation.
pub const DEFAULT_TOML: &str = include_str!("../../config/default.toml");

/// What is different in `dev`.
pub const DEV_TOML: &str = include_str!("../../config/dev.toml");

/// The settings of the program, a field per section.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The server that sends us jobs.
    pub livekit: worker::ServerConfig,
    /// How jobs are taken.
    pub worker: worker::Config,
    /// The HTTP endpoint.
    pub http: telemetry::HttpConfig,
    /// The web page of `dev`.
    pub playground: playground::Config,
    /// The log.
    pub log: telemetry::LogConfig,
    /// The shared OpenAI-compatible service.
    pub openai: pool::EndpointConfig,
    /// Every outgoing call.
    pub pool: pool::Config,
    /// Transcription.
    pub stt: stt::Config,
    /// The language model.
    pub llm: llm::Config,
    /// The voice.
    pub tts: tts::Config,
    /// Voice activity on the caller's microphone.
    pub vad: speech::Config,
    /// Who speaks when.
    pub turn: turn::Config,
    /// Limits of a conversation.
    pub session: session::Config,
    /// One model in place of the three stages.
    pub realtime: session::realtime::Config,
    /// Who talks.
    pub agent: agent::Config,
    /// Results worth keeping.
    pub cache: cache::Config,
    /// What callers are remembered by.
    pub memory: memory::Config,
    /// The memory in Supabase.
    pub supabase: memory::SupabaseConfig,
    /// Servers that lend the agent tools.
    pub mcp: Vec<mcp::ServerConfig>,
    /// More agents.
    pub agents: AgentsConfig,
    /// The agents that have files of their own.
    #[serde(skip)]
    pub agent_files: Vec<AgentFile>,
}

/// What the program is about to do: it decides which settings may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// A worker that people rely on: everything must be there.
    Production,
    /// A developer's machine: a local server, readable logs, no key needed.
    Development,
}

impl Config {
    /// Merges the sources.
    ///
    /// # Errors
    /// All mistakes at once: unknown settings, wrong types, invalid and missing values.
    pub fn load(sources: Sources, profile: Profile) -> Result<Self, ConfigError> {
        let environment = sources.environment.clone();
        let merge::Merged {
            mut config,
            table,
            origins,
            mut mistakes,
        } = merge::merge(sources, profile);
        let is_set = |key: &str| origins.contains_key(key);
        config.pool.fit(
            config.worker.slots_max,
            is_set("pool.connections_max"),
            is_set("pool.connections_per_host_max"),
        );
        for (place, server) in config.mcp.iter_mut().enumerate() {
            let missing = server.fill_in(|name| environment.get(name).cloned());
            mistakes.extend(missing.into_iter().map(|name| Mistake {
                key: format!("mcp[{place}]"),
                source: origins.get("mcp").cloned().unwrap_or(Source::Default),
                text: format!("the environment variable {name} is not set"),
            }));
        }
        for problem in config.problems(profile) {
            let (key, text) = problem.split_once(": ").unwrap_or(("", &problem));
            // A key with a mistake already is at its default; what that lacks would only confuse.
            if !mistakes.iter().any(|mistake| mistake.key == key) {
                mistakes.push(Mistake {
                    key: key.to_owned(),
                    source: origins.get(key).cloned().unwrap_or(Source::Default),
                    text: text.to_owned(),
                });
            }
        }
        if !config.agents.dir.is_empty() {
            let (files, found) = agents::read(&config.agents.dir, &table, profile);
            config.agent_files = files;
            mistakes.extend(found);
        }
        if mistakes.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(mistakes))
        }
    }

    /// Every invalid or missing value of every section, as `key: what is wrong and what is allowed`.
    pub fn problems(&self, profile: Profile) -> Vec<String> {
        let mut problems = [
            self.livekit.problems(),
            self.worker.problems(),
            self.http.problems(),
            self.log.problems(),
            self.openai.problems(),
            self.pool.problems(),
            self.stt.problems(),
            self.llm.problems(),
            self.tts.problems(),
            self.vad.problems(),
            self.turn.problems(),
            self.session.problems(),
            self.realtime.problems(),
            self.agent.problems(),
            self.cache.problems(),
            self.memory.problems(),
            self.supabase.problems(),
            mcp::problems(&self.mcp),
        ]
        .concat();
        let remembers = self.memory.store != memory::StoreKind::None;
        if remembers && self.memory.recorder.flush_timeout >= self.worker.termination_grace {
            problems.push(
                "memory.recorder.flush_timeout_seconds: must be less than \
                 worker.termination_grace_seconds, or a worker that is told to stop cuts it short"
                    .to_owned(),
            );
        }
        let is_server = |name: &String| name == "*" || self.mcp.iter().any(|it| it.name == *name);
        if let Some(name) = self.agent.mcp.iter().find(|name| !is_server(name)) {
            problems.push(format!(
                "agent.mcp: there is no [[mcp]] with the name {name:?}"
            ));
        }
        if profile == Profile::Production && self.needs_openai_key() {
            problems.push(
                "openai.api_key: missing; set OPENAI_API_KEY, or OPENAI_BASE_URL for a server of \
                 your own"
                    .to_owned(),
            );
        }
        problems
    }

    /// The settings of each agent of the process, the default agent's first; `worker.agent_name` is
    /// its name. A file with the name of `[agent]` takes its place.
    pub fn agents(&self) -> Vec<&Self> {
        let files = self.agent_files.iter().map(|file| &file.config);
        let (mut first, others): (Vec<&Self>, Vec<&Self>) =
            files.partition(|it| it.worker.agent_name == self.worker.agent_name);
        if first.is_empty() {
            first.push(self);
        }
        first.into_iter().chain(others).collect()
    }

    /// Whether calls would go to the official service without a key.
    pub fn needs_openai_key(&self) -> bool {
        self.openai.api_key.expose().trim().is_empty()
            && self.openai.base_url.trim_end_matches('/') == pool::OPENAI_BASE_URL
    }

    /// The merged settings as TOML, secrets hidden.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("settings are tables of plain values")
    }
}

/// One thing that somebody has to put right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The setting, like `worker.slots_max`.
    pub key: String,
    /// Where it was set.
    pub source: Source,
    /// What is wrong and what is allowed; never the value of a secret.
    pub text: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.key.is_empty(), &self.source) {
            (true, source) => write!(f, "{source}: {}", self.text),
            (false, Source::Default) => write!(f, "{}: {}", self.key, self.text),
            (false, source) => write!(f, "{} ({source}): {}", self.key, self.text),
        }
    }
}

/// All mistakes in the configuration; displays one per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct ConfigError(pub Vec<Mistake>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "the configuration has a mistake:")?,
            n => write!(f, "the configuration has {n} mistakes:")?,
        }
        self.0
            .iter()
            .try_for_each(|mistake| write!(f, "\n  {mistake}"))
    }
}

#[cfg(test)]
mod tests;
