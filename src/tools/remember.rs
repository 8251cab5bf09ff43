//! `remember`: keep something for later calls.

use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;

use super::{Memory, TypedTool, cannot_remember, failed, memory_failed, said};
use crate::chat::ToolOutput;

/// Saves a memory of the user.
pub struct Remember(pub Memory);

/// What to save.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RememberArguments {
    category: String,
    /// What it is about, in snake_case, such as favourite_drink.
    key: String,
    /// What to remember, in a few words.
    value: String,
}

impl TypedTool for Remember {
    type Arguments = RememberArguments;

    const NAME: &'static str = "remember";

    const DESCRIPTION: &'static str = "Remembers something about the caller for later calls; what \
        was under the same category and key is replaced. Use it when the caller asks you to \
        remember something.";

    fn complete(&self, schema: &mut Value) {
        self.0.list_categories(schema);
    }

    fn run(&self, arguments: RememberArguments) -> BoxFuture<'static, ToolOutput> {
        let Memory { user, categories } = self.0.clone();
        async move {
            let Some(memories) = user.get() else {
                return cannot_remember(&user);
            };
            let RememberArguments {
                category,
                key,
                value,
            } = arguments;
            let memory = match categories.memory(&category, &key, &value) {
                Ok(memory) => memory,
                Err(refusal) => {
                    let names = categories.names().join(", ");
                    return failed(format!("{refusal}; the categories are {names}"));
                }
            };
            match memories.save(vec![memory]).await.pop() {
                Some(Err(error)) => memory_failed(&error),
                _ => said("saved"),
            }
        }
        .boxed()
    }
}
