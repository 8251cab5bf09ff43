//! `getConnectionPoolStats`: how the process's connections are doing.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{NoArguments, TypedTool, said};
use crate::chat::ToolOutput;
use crate::overview::Overview;

/// Tells the model what [`Overview::stats`] says.
pub struct GetConnectionPoolStats(pub Overview);

impl TypedTool for GetConnectionPoolStats {
    type Arguments = NoArguments;

    const NAME: &'static str = "getConnectionPoolStats";

    const DESCRIPTION: &'static str = "Tells how the shared connections of this agent \
        are doing: how many are open and reused, requests, errors and response times. Use it when \
        asked about connections, statistics, health or performance.";

    fn run(&self, _: NoArguments) -> BoxFuture<'static, ToolOutput> {
        let overview = self.0.clone();
        async move { said(overview.stats().await.spoken()) }.boxed()
    }

    fn run_for_program(&self, _: NoArguments) -> Option<BoxFuture<'static, Value>> {
        let overview = self.0.clone();
        Some(async move { json!(overview.stats().await) }.boxed())
    }
}
