//! `cleanupConnectionPool`: drop connections that nobody uses.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Tool, no_parameters};
use crate::chat::{ToolOutput, ToolSpec};
use crate::overview::Overview;

/// Does what [`Overview::cleanup`] does.
pub struct CleanupConnectionPool(pub Overview);

impl Tool for CleanupConnectionPool {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "cleanupConnectionPool".to_owned(),
            description: "Closes idle connections of this agent and drops expired entries; calls \
                          in progress are not disturbed. Use it when asked to clean up or reset \
                          the connections."
                .to_owned(),
            parameters: no_parameters(),
        }
    }

    fn call(&self, _: Value) -> BoxFuture<'static, ToolOutput> {
        let overview = self.0.clone();
        async move {
            ToolOutput {
                text: overview.cleanup().await.spoken(),
                is_error: false,
            }
        }
        .boxed()
    }

    fn call_for_program(&self, _: &Value) -> Option<BoxFuture<'static, Value>> {
        let overview = self.0.clone();
        Some(async move { json!(overview.cleanup().await) }.boxed())
    }
}
