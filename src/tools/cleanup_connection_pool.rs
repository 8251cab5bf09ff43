//! `cleanupConnectionPool`: drop connections that nobody uses.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{NoArguments, TypedTool, said};
use crate::chat::ToolOutput;
use crate::overview::Overview;

/// Does what [`Overview::cleanup`] does.
pub struct CleanupConnectionPool(pub Overview);

impl TypedTool for CleanupConnectionPool {
    type Arguments = NoArguments;

    const NAME: &'static str = "cleanupConnectionPool";

    const DESCRIPTION: &'static str = "Closes idle connections of this agent and \
        drops expired entries; calls in progress are not disturbed. Use it when asked to clean up \
        or reset the connections.";

    fn run(&self, _: NoArguments) -> BoxFuture<'static, ToolOutput> {
        let overview = self.0.clone();
        async move { said(overview.cleanup().await.spoken()) }.boxed()
    }

    fn run_for_program(&self, _: NoArguments) -> Option<BoxFuture<'static, Value>> {
        let overview = self.0.clone();
        Some(async move { json!(overview.cleanup().await) }.boxed())
    }
}
