//! `remember`: keep something for later calls.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Memory, Tool, failed, memory_failed, nobody_is_known, said, text};
use crate::chat::{ToolOutput, ToolSpec};

/// Saves a memory of the user.
pub struct Remember(pub Memory);

impl Tool for Remember {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "remember".to_owned(),
            description:
                "Remembers something about the caller for later calls; what was under the \
                          same category and key is replaced. Use it when the caller asks you to \
                          remember something."
                    .to_owned(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "category": self.0.category(),
                    "key": {
                        "type": "string",
                        "description": "what it is about, in snake_case, such as favourite_drink",
                    },
                    "value": {"type": "string", "description": "what to remember, in a few words"},
                },
                "required": ["category", "key", "value"],
                "additionalProperties": false,
            }),
        }
    }

    fn call(&self, arguments: Value) -> BoxFuture<'static, ToolOutput> {
        let Memory { user, categories } = self.0.clone();
        async move {
            let Some(user) = user.get() else {
                return nobody_is_known();
            };
            let [category, key, value] =
                ["category", "key", "value"].map(|name| text(&arguments, name));
            let memory = match categories.memory(category, key, value) {
                Ok(memory) => memory,
                Err(refusal) => {
                    let names = categories.names().join(", ");
                    return failed(format!("{refusal}; the categories are {names}"));
                }
            };
            match user.save(vec![memory]).await.pop() {
                Some(Err(error)) => memory_failed(&error),
                _ => said("saved"),
            }
        }
        .boxed()
    }
}
