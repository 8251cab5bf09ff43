//! Tools that the user's front end carries out: a method of its own that it has registered.
//!
//! Source: LiveKit's documentation, "Forwarding tool calls to the frontend".

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Tool, failed, said, strict};
use crate::chat::{ToolOutput, ToolSpec};
use crate::units::seconds;

/// What a call may take beyond the front end's own time, so that it is that one which ends it.
const GRACE: Duration = Duration::from_millis(500);

/// Calls a method of the user's front end: its name, the arguments as JSON, how long to wait.
pub type CallFrontEnd = Arc<
    dyn Fn(String, String, Duration) -> BoxFuture<'static, Result<String, String>> + Send + Sync,
>;

/// A tool of the front end (`[[client_tool]]`).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientToolConfig {
    /// Name of the tool and of the front end's method.
    pub name: String,
    /// One or two sentences for the model.
    pub description: String,
    /// JSON schema of the arguments.
    pub parameters: Value,
    /// How long the front end may take.
    #[serde(rename = "timeout_seconds", with = "seconds")]
    pub timeout: Duration,
}

impl Default for ClientToolConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            parameters: json!({"type": "object", "properties": {}}),
            timeout: super::TOOL_TIMEOUT,
        }
    }
}

impl ClientToolConfig {
    /// What is wrong with the values, one sentence each.
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_name) {
            problems.push("name: must be 1 to 64 letters, digits, _ or -".to_owned());
        }
        if self.description.trim().is_empty() {
            problems.push("description: missing; say when the model should use it".to_owned());
        }
        if self.parameters["type"] != "object" {
            problems.push("parameters: must be a JSON schema with type = \"object\"".to_owned());
        }
        if self.timeout < Duration::from_millis(100) || self.timeout > Duration::from_secs(60) {
            problems.push("timeout_seconds: must be from 0.1 to 60".to_owned());
        }
        problems
    }
}

/// A tool of the front end of one call.
pub struct ClientTool {
    config: ClientToolConfig,
    front_end: CallFrontEnd,
}

impl ClientTool {
    /// A tool that calls the front end with `front_end`.
    pub fn new(config: ClientToolConfig, front_end: CallFrontEnd) -> Self {
        Self { config, front_end }
    }
}

impl Tool for ClientTool {
    fn spec(&self) -> ToolSpec {
        let strict = strict::strict(self.config.parameters.clone());
        ToolSpec {
            name: self.config.name.clone(),
            description: self.config.description.clone(),
            is_strict: strict.is_some(),
            parameters: strict.unwrap_or_else(|| self.config.parameters.clone()),
        }
    }

    fn call(&self, mut arguments: Value) -> BoxFuture<'static, ToolOutput> {
        strict::drop_nulls(&mut arguments);
        let (name, timeout) = (self.config.name.clone(), self.config.timeout);
        let asked = (self.front_end)(name, arguments.to_string(), timeout);
        async move {
            match asked.await {
                Ok(answer) => said(answer),
                Err(why) => failed(why),
            }
        }
        .boxed()
    }

    fn timeout(&self) -> Duration {
        self.config.timeout + GRACE
    }
}
