//! Agents in files of their own: each lays what makes it different over the settings of the process.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use toml::Table;

use super::known::{known_keys, leaves, nearest};
use super::merge::{overlay, syntax};
use super::{Config, Mistake, Profile, Source};

/// Sections that an agent may set beside those of `[agent]`, which stand at the top of its file.
const SECTIONS: [&str; 7] = [
    "stt.",
    "llm.",
    "tts.",
    "realtime.",
    "vad.",
    "turn.",
    "session.",
];

/// The section whose settings stand at the top.
const OWN: &str = "agent.";

/// Where the agents' files are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentsConfig {
    /// Directory whose `*.toml` files are agents; empty for none but `[agent]`.
    pub dir: String,
}

/// An agent that has a file.
#[derive(Clone, Debug)]
pub struct AgentFile {
    /// The file.
    pub path: PathBuf,
    /// The settings of the process as this agent has them; `worker.agent_name` is its name.
    pub config: Config,
}

/// Reads the files of a directory in the order of their names.
pub(super) fn read(dir: &str, base: &Table, profile: Profile) -> (Vec<AgentFile>, Vec<Mistake>) {
    let mut agents = Vec::new();
    let mut mistakes = Vec::new();
    match files(Path::new(dir)) {
        Ok(paths) => {
            for path in paths {
                let (config, found) = agent(&path, base, profile);
                mistakes.extend(found);
                agents.extend(config.map(|config| AgentFile { path, config }));
            }
        }
        Err(error) => mistakes.push(Mistake {
            key: "agents.dir".to_owned(),
            source: Source::Default,
            text: format!("the directory cannot be read: {error}"),
        }),
    }
    for (place, agent) in agents.iter().enumerate() {
        let name = &agent.config.worker.agent_name;
        if let Some(twin) = agents[..place]
            .iter()
            .find(|it| it.config.worker.agent_name == *name)
        {
            mistakes.push(Mistake {
                key: "name".to_owned(),
                source: Source::File(agent.path.clone()),
                text: format!("{name:?} is the agent of {} already", twin.path.display()),
            });
        }
    }
    (agents, mistakes)
}

fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries: std::io::Result<Vec<_>> = std::fs::read_dir(dir)?.collect();
    let mut paths: Vec<PathBuf> = entries?.into_iter().map(|entry| entry.path()).collect();
    paths.retain(|path| path.extension().is_some_and(|it| it == "toml"));
    paths.sort();
    Ok(paths)
}

/// One agent, and all that is wrong with its file.
fn agent(path: &Path, base: &Table, profile: Profile) -> (Option<Config>, Vec<Mistake>) {
    let source = Source::File(path.to_owned());
    let mistake = |key: &str, text: String| Mistake {
        key: key.to_owned(),
        source: source.clone(),
        text,
    };
    let text =
        std::fs::read_to_string(path).map_err(|error| format!("the file cannot be read: {error}"));
    let table = text.and_then(|text| {
        let parsed = text.parse::<Table>();
        parsed.map_err(|error| format!("not TOML: {}", syntax(&text, &error)))
    });
    let table = match table {
        Ok(table) => table,
        Err(text) => return (None, vec![mistake("", text)]),
    };
    let known = keys();
    let mut settings = Vec::new();
    let mut mistakes = Vec::new();
    let mut has_name = false;
    for (key, value) in leaves(&table) {
        if key == "name" {
            has_name = true;
            settings.push(("worker.agent_name".to_owned(), value));
        } else if known.contains(&key) {
            settings.push((in_process(&key), value));
        } else {
            let text = match nearest(&key, &known) {
                Some(nearest) => format!("an agent has no such setting; did you mean {nearest}?"),
                None => "an agent has no such setting; config/agents/ has an example".to_owned(),
            };
            mistakes.push(mistake(&key, text));
        }
    }
    if !has_name {
        let text = "missing; set it to the name that dispatches ask for, \"\" for every new room";
        mistakes.push(mistake("name", text.to_owned()));
    }
    let merged = overlay(base.clone(), &source, settings);
    mistakes.extend(merged.mistakes.into_iter().map(|it| Mistake {
        key: in_file(&it.key),
        ..it
    }));
    for problem in merged.config.problems(profile) {
        let (key, text) = problem.split_once(": ").unwrap_or(("", &problem));
        let setting = key.split('[').next().unwrap_or(key);
        // What the file has not set is said of the settings of the process.
        let is_said = mistakes.iter().any(|it| it.key == in_file(key));
        if merged.origins.contains_key(setting) && !is_said {
            mistakes.push(mistake(&in_file(key), text.to_owned()));
        }
    }
    (has_name.then_some(merged.config), mistakes)
}

/// What an agent's file may set, as it is written there.
fn keys() -> Vec<String> {
    let is_ones_own = |key: &String| {
        key.starts_with(OWN) || SECTIONS.iter().any(|section| key.starts_with(section))
    };
    known_keys()
        .into_iter()
        .filter(is_ones_own)
        .map(|key| in_file(&key))
        .collect()
}

fn in_file(key: &str) -> String {
    match key {
        "worker.agent_name" => "name".to_owned(),
        key => key.strip_prefix(OWN).unwrap_or(key).to_owned(),
    }
}

fn in_process(key: &str) -> String {
    match SECTIONS.iter().any(|section| key.starts_with(section)) {
        true => key.to_owned(),
        false => format!("{OWN}{key}"),
    }
}
