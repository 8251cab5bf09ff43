//! What the model can do beside talking: one trait, one file per tool.
//!
//! A tool of ours is a [`TypedTool`]: its arguments are a Rust type, and the schema that the model is
//! held to derives from it. `set.rs` is the tools of one agent and how they are called; `strict.rs`
//! writes schemas as strict mode wants them; `mcp/` has the tools of other servers.
//!
//! **Invariant:** a tool that fails is an answer to the model and never the end of a call.

mod cleanup_connection_pool;
mod client_tool;
mod forget;
mod get_connection_pool_stats;
pub mod mcp;
mod recall;
mod remember;
mod send_dtmf;
mod set;
mod strict;
mod typed;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::Value;

pub use self::cleanup_connection_pool::CleanupConnectionPool;
pub use self::client_tool::{CallFrontEnd, ClientTool, ClientToolConfig};
pub use self::forget::Forget;
pub use self::get_connection_pool_stats::GetConnectionPoolStats;
pub use self::mcp::McpServers;
pub use self::recall::Recall;
pub use self::remember::Remember;
pub use self::send_dtmf::{PressKey, SendDtmf};
pub use self::set::{ToolSet, ToolSource};
pub use self::typed::TypedTool;
use crate::chat::{ToolOutput, ToolSpec};
use crate::error::CallError;
use crate::memory::{CallMemory, Categories, CurrentUser};

/// How long a tool may take: a caller waits through it in silence.
pub const TOOL_TIMEOUT: Duration = Duration::from_secs(10);

/// Something the model can call.
pub trait Tool: Send + Sync {
    /// How the model is told of it.
    fn spec(&self) -> ToolSpec;

    /// Runs the tool. A failure is an answer ([`ToolOutput::is_error`]), never the end of a call.
    ///
    /// Cancel safety: the future is dropped when the user interrupts, and must stop what it began.
    fn call(&self, arguments: Value) -> BoxFuture<'static, ToolOutput>;

    /// Runs the tool for a program, which wants JSON. `None`: what the model is told will do.
    fn call_for_program(&self, _arguments: &Value) -> Option<BoxFuture<'static, Value>> {
        None
    }

    /// How long a call may take before it is stopped and the model is told.
    fn timeout(&self) -> Duration {
        TOOL_TIMEOUT
    }
}

/// The arguments of a tool that takes none.
#[derive(Clone, Copy, Debug, Default, serde::Deserialize, schemars::JsonSchema)]
pub struct NoArguments {}

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
    /// Lists the categories in a schema whose property `category` is a text.
    fn list_categories(&self, schema: &mut Value) {
        let category = &mut schema["properties"]["category"];
        let mut values: Vec<Value> = self
            .categories
            .names()
            .into_iter()
            .map(Value::from)
            .collect();
        if category["type"].is_array() {
            values.push(Value::Null);
        }
        category["enum"] = Value::Array(values);
    }
}

/// Told to the model while no user is there.
const NO_USER: &str = "it is not known who is calling, so there is no memory in this call";

fn said(text: impl Into<String>) -> ToolOutput {
    ToolOutput {
        text: text.into(),
        is_error: false,
    }
}

fn failed(text: impl Into<String>) -> ToolOutput {
    ToolOutput {
        text: text.into(),
        is_error: true,
    }
}

/// The answer of a tool that saves, in a call without a memory to save to.
fn cannot_remember(user: &CurrentUser) -> ToolOutput {
    failed(match user.is_unremembered() {
        true => "nothing can be remembered of this caller, who cannot be told from other callers",
        false => NO_USER,
    })
}

/// The answer of a tool that reads or deletes, in a call without a memory.
fn nothing_remembered(user: &CurrentUser) -> ToolOutput {
    match user.is_unremembered() {
        true => said(
            "nothing is remembered of this caller, who cannot be told from other callers, so there is \
             nothing to recall or to forget",
        ),
        false => failed(NO_USER),
    }
}

fn memory_failed(error: &CallError) -> ToolOutput {
    tracing::debug!(%error, "a memory tool failed");
    failed("the memory cannot be reached at the moment")
}
