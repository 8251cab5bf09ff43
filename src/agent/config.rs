//! Settings of the agent itself (`[agent]`).

use crate::session::{Greeting, SessionMethod};
use crate::tools::ClientToolConfig;

/// Settings of the agent itself.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Standing instructions for the model.
    pub instructions: String,
    /// How a conversation begins.
    pub greeting: Greeting,
    /// Tools that the user's front end, and `rpc_callers`, can call as methods of the agent's
    /// participant.
    pub rpc_tools: Vec<String>,
    /// Identities beside the user that may call the agent's methods; `*` stands for any characters.
    pub rpc_callers: Vec<String>,
    /// Tools that the model may call; `*` for all.
    pub tools: Vec<String>,
    /// MCP servers whose tools the agent has, by their names; `*` for all.
    pub mcp: Vec<String>,
    /// Tools that the user's front end carries out.
    pub client_tool: Vec<ClientToolConfig>,
    /// Whether the model may press keys on the user's telephone line.
    pub send_dtmf: bool,
    /// Requests of the same participants to the running conversation, as methods of the agent's
    /// participant.
    pub session_methods: Vec<SessionMethod>,
    /// Whether `GetAgentInfo`, which a front end may ask, returns the instructions.
    pub show_instructions: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instructions: "You are a friendly voice assistant on a call. Answer in one to three \
                           short spoken sentences, without lists, markdown or emoji."
                .to_owned(),
            greeting: Greeting::default(),
            rpc_tools: Vec::new(),
            rpc_callers: Vec::new(),
            tools: vec!["*".to_owned()],
            mcp: vec!["*".to_owned()],
            client_tool: Vec::new(),
            send_dtmf: false,
            session_methods: Vec::new(),
            show_instructions: false,
        }
    }
}

impl Config {
    /// What is wrong with the values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let client_tools = self.client_tool.iter().enumerate();
        let client_tools = client_tools.flat_map(|(place, tool)| {
            let problems = tool.problems().into_iter();
            problems.map(move |problem| format!("agent.client_tool[{place}].{problem}"))
        });
        let has_empty = self.rpc_callers.iter().any(String::is_empty);
        let rpc_callers = has_empty.then(|| {
            "agent.rpc_callers: an identity must not be empty; \"*\" stands for all participants"
                .to_owned()
        });
        self.greeting
            .problems()
            .into_iter()
            .chain(client_tools)
            .chain(rpc_callers)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde::de::DeserializeOwned;

    use super::*;

    /// A section of the documented defaults.
    fn section<T: DeserializeOwned + serde::Serialize>(path: &[&str]) -> T {
        let table: toml::Table = toml::from_str(include_str!("../../config/default.toml")).unwrap();
        let mut value = toml::Value::Table(table);
        for key in path {
            value = value[*key].clone();
        }
        value.try_into().unwrap()
    }

    fn check<T: DeserializeOwned + serde::Serialize + Default>(path: &[&str]) {
        let documented = serde_json::to_value(section::<T>(path)).unwrap();
        let default = serde_json::to_value(T::default()).unwrap();
        assert_eq!(documented, default, "{path:?}");
    }

    #[test]
    fn the_documented_defaults_are_the_defaults() {
        check::<Config>(&["agent"]);
        check::<crate::session::Config>(&["session"]);
        check::<crate::session::realtime::Config>(&["realtime"]);
        check::<crate::turn::Config>(&["turn"]);
        check::<crate::audio::speech::Config>(&["vad"]);
    }
}
