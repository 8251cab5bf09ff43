//! What the model can do beside talking: one trait, one file per tool.

use std::sync::Arc;

use futures::future::BoxFuture;
use serde_json::Value;

use crate::chat::{ToolOutput, ToolSpec};

/// Something the model can call.
pub trait Tool: Send + Sync {
    /// How the model is told of it.
    fn spec(&self) -> ToolSpec;

    /// Runs the tool. A failure is an answer ([`ToolOutput::is_error`]), never the end of a call.
    fn call(&self, arguments: Value) -> BoxFuture<'static, ToolOutput>;
}

/// The tools of one agent.
pub type ToolSet = Vec<Arc<dyn Tool>>;
