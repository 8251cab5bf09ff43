//! `getConnectionPoolStats`: how the process's connections are doing.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Tool, no_parameters};
use crate::chat::{ToolOutput, ToolSpec};
use crate::overview::Overview;

/// Tells the model what [`Overview::stats`] says.
pub struct GetConnectionPoolStats(pub Overview);

impl Tool for GetConnectionPoolStats {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "getConnectionPoolStats".to_owned(),
            description: "Tells how the shared connections of this agent are doing: how many are \
                          open and reused, requests, errors and response times. Use it when asked \
                          about connections, statistics, health or performance."
                .to_owned(),
            parameters: no_parameters(),
        }
    }

    fn call(&self, _: Value) -> BoxFuture<'static, ToolOutput> {
        let overview = self.0.clone();
        async move {
            ToolOutput {
                text: overview.stats().await.spoken(),
                is_error: false,
            }
        }
        .boxed()
    }

    fn call_for_program(&self, _: &Value) -> Option<BoxFuture<'static, Value>> {
        let overview = self.0.clone();
        Some(async move { json!(overview.stats().await) }.boxed())
    }
}
