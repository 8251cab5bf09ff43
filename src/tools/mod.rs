//! What the model can do beside talking: one trait, one file per tool.

mod cleanup_connection_pool;
mod forget;
mod get_connection_pool_stats;
mod recall;
mod remember;

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

pub use self::cleanup_connection_pool::CleanupConnectionPool;
pub use self::forget::Forget;
pub use self::get_connection_pool_stats::GetConnectionPoolStats;
pub use self::recall::Recall;
pub use self::remember::Remember;
use crate::chat::{ToolCall, ToolOutput, ToolSpec};
use crate::error::CallError;
use crate::memory::{CallMemory, Categories, CurrentUser};

/// How long a tool may take: a caller waits through it in silence.
pub const TOOL_TIMEOUT: Duration = Duration::from_secs(10);

/// Something the model can call.
pub trait Tool: Send + Sync {
    /// How the model is told of it.
    fn spec(&self) -> ToolSpec;

    /// Runs the tool. A failure is an answer ([`ToolOutput::is_error`]), never the end of a call.
    fn call(&self, arguments: Value) -> BoxFuture<'static, ToolOutput>;

    /// Runs the tool for a program, which wants JSON. `None`: what the model is told will do.
    fn call_for_program(&self, _arguments: &Value) -> Option<BoxFuture<'static, Value>> {
        None
    }
}

/// The tools of one agent. Clones share them.
#[derive(Clone, Default)]
pub struct ToolSet {
    tools: Vec<Arc<dyn Tool>>,
}

impl ToolSet {
    /// Tools with distinct names; of two with the same name the first one is called.
    pub fn new(tools: Vec<Arc<dyn Tool>>) -> Self {
        Self { tools }
    }

    /// The same tools and more.
    #[must_use]
    pub fn and(mut self, more: Vec<Arc<dyn Tool>>) -> Self {
        self.tools.extend(more);
        self
    }

    /// What the model is told.
    pub fn specs(&self) -> Vec<ToolSpec> {
        self.tools.iter().map(|tool| tool.spec()).collect()
    }

    /// Runs what the model asked for. An unknown name, arguments that are no JSON object, a panic
    /// and a tool that takes too long are answers for the model, which then can do better.
    ///
    /// Cancel safety: dropping the future drops the tool's.
    pub fn call(&self, call: &ToolCall) -> BoxFuture<'static, ToolOutput> {
        self.run(call, |tool, arguments| tool.call(arguments))
    }

    /// The same for a program that calls the tool as a method of the agent's participant.
    pub fn call_for_program(&self, call: &ToolCall) -> BoxFuture<'static, ToolOutput> {
        self.run(call, |tool, arguments| {
            match tool.call_for_program(&arguments) {
                Some(json) => json
                    .map(|json| ToolOutput {
                        text: json.to_string(),
                        is_error: false,
                    })
                    .boxed(),
                None => tool.call(arguments),
            }
        })
    }

    fn run(
        &self,
        call: &ToolCall,
        run: impl FnOnce(&dyn Tool, Value) -> BoxFuture<'static, ToolOutput> + Send + 'static,
    ) -> BoxFuture<'static, ToolOutput> {
        let Some(tool) = self.tools.iter().find(|tool| tool.spec().name == call.name) else {
            let names: Vec<_> = self.tools.iter().map(|tool| tool.spec().name).collect();
            let text = format!("there is no such tool; there are: {}", names.join(", "));
            return async move { failed(text) }.boxed();
        };
        let arguments = match arguments(&call.arguments) {
            Ok(arguments) => arguments,
            Err(text) => return async move { failed(text) }.boxed(),
        };
        let tool = Arc::clone(tool);
        let name = tool.spec().name;
        async move {
            let run = async move { run(&*tool, arguments).await };
            let run = std::panic::AssertUnwindSafe(run).catch_unwind();
            match tokio::time::timeout(TOOL_TIMEOUT, run).await {
                Ok(Ok(output)) => output,
                Ok(Err(_)) => {
                    tracing::error!(tool = name, "a tool panicked");
                    failed("the tool failed for a reason of its own".to_owned())
                }
                Err(_) => {
                    tracing::warn!(tool = name, "a tool took too long");
                    failed("the tool took too long and was stopped".to_owned())
                }
            }
        }
        .boxed()
    }
}

impl FromIterator<Arc<dyn Tool>> for ToolSet {
    fn from_iter<I: IntoIterator<Item = Arc<dyn Tool>>>(tools: I) -> Self {
        Self::new(tools.into_iter().collect())
    }
}

/// The tools that reach the memory of a call: that of the user who is there and of nobody else,
/// whatever the model says.
pub fn memory_tools(call: &CallMemory) -> Vec<Arc<dyn Tool>> {
    let memory = Memory {
        user: call.user(),
        categories: call.categories(),
    };
    vec![
        Arc::new(Remember(memory.clone())),
        Arc::new(Recall(memory.clone())),
        Arc::new(Forget(memory)),
    ]
}

/// What a memory tool works with.
#[derive(Clone)]
pub struct Memory {
    /// Whose memory.
    pub user: CurrentUser,
    /// What may be in it.
    pub categories: Categories,
}

impl Memory {
    /// The schema of a category.
    fn category(&self) -> Value {
        serde_json::json!({"type": "string", "enum": self.categories.names()})
    }
}

/// An argument that is text; models leave out, or set to null, what they do not use.
fn text<'a>(arguments: &'a Value, name: &str) -> &'a str {
    arguments.get(name).and_then(Value::as_str).unwrap_or("")
}

fn said(text: impl Into<String>) -> ToolOutput {
    ToolOutput {
        text: text.into(),
        is_error: false,
    }
}

fn nobody_is_known() -> ToolOutput {
    failed("it is not known who is calling, so there is no memory in this call".to_owned())
}

fn memory_failed(error: &CallError) -> ToolOutput {
    tracing::debug!(%error, "a memory tool failed");
    failed("the memory cannot be reached at the moment".to_owned())
}

/// Models send nothing at all for a tool without arguments.
fn arguments(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::new()));
    }
    match serde_json::from_str(text) {
        Ok(Value::Null) => Ok(Value::Object(serde_json::Map::new())),
        Ok(arguments @ Value::Object(_)) => Ok(arguments),
        Ok(_) => Err("the arguments must be a JSON object; please call again".to_owned()),
        Err(error) => Err(format!(
            "the arguments are not valid JSON (line {}, column {}); please call again",
            error.line(),
            error.column()
        )),
    }
}

fn failed(text: String) -> ToolOutput {
    ToolOutput {
        text,
        is_error: true,
    }
}

/// The schema of a tool that takes nothing.
fn no_parameters() -> Value {
    serde_json::json!({"type": "object", "properties": {}, "additionalProperties": false})
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does what its arguments say.
    struct Echo;

    impl Tool for Echo {
        fn spec(&self) -> ToolSpec {
            ToolSpec {
                name: "echo".to_owned(),
                description: String::new(),
                parameters: no_parameters(),
            }
        }

        fn call(&self, arguments: Value) -> BoxFuture<'static, ToolOutput> {
            async move {
                match arguments["do"].as_str() {
                    Some("hang") => std::future::pending().await,
                    Some("panic") => panic!("asked to"),
                    _ => ToolOutput {
                        text: arguments.to_string(),
                        is_error: false,
                    },
                }
            }
            .boxed()
        }
    }

    async fn call(name: &str, arguments: &str) -> ToolOutput {
        let tools = ToolSet::new(vec![Arc::new(Echo)]);
        let call = ToolCall {
            id: "1".to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_owned(),
        };
        tools.call(&call).await
    }

    #[tokio::test]
    async fn a_tool_is_found_by_its_name() {
        let output = call("echo", r#"{"a":1}"#).await;
        assert_eq!(
            (output.text.as_str(), output.is_error),
            (r#"{"a":1}"#, false)
        );
    }

    #[tokio::test]
    async fn an_unknown_tool_is_an_answer_that_names_the_known_ones() {
        let output = call("other", "{}").await;
        assert!(
            output.is_error && output.text.contains("echo"),
            "{}",
            output.text
        );
    }

    #[tokio::test]
    async fn arguments_that_are_no_object_are_an_answer() {
        for arguments in ["{\"a\":", "[1]", "\"x\"", "nonsense"] {
            assert!(call("echo", arguments).await.is_error, "{arguments}");
        }
    }

    #[tokio::test]
    async fn no_arguments_are_an_empty_object() {
        for arguments in ["", "  ", "null", "{}"] {
            assert_eq!(call("echo", arguments).await.text, "{}", "{arguments:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_tool_that_hangs_is_an_answer() {
        assert!(call("echo", r#"{"do":"hang"}"#).await.is_error);
    }

    #[tokio::test]
    async fn a_tool_that_panics_is_an_answer() {
        assert!(call("echo", r#"{"do":"panic"}"#).await.is_error);
    }
}
