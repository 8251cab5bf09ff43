//! `forget`: remove what is remembered.

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::{Value, json};

use super::{Memory, Tool, failed, memory_failed, nobody_is_known, said, text};
use crate::chat::{ToolOutput, ToolSpec};
use crate::memory::{Categories, FORGET_TOOL, Selection, key_of};
use crate::redact::Pii;

/// Deletes memories of the user.
pub struct Forget(pub Memory);

impl Tool for Forget {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: FORGET_TOOL.to_owned(),
            description: "Forgets what is remembered about the caller: one thing, everything of a \
                          category, or everything. Use it when the caller asks you to forget \
                          something."
                .to_owned(),
            parameters: json!({
                "type": "object",
                "properties": {
                    "scope": {"type": "string", "enum": ["one", "category", "everything"]},
                    "category": self.0.category(),
                    "key": {
                        "type": "string",
                        "description": "the key of the one thing, as it is remembered",
                    },
                },
                "required": ["scope"],
                "additionalProperties": false,
            }),
        }
    }

    fn call(&self, arguments: Value) -> BoxFuture<'static, ToolOutput> {
        let Memory { user, categories } = self.0.clone();
        async move {
            let Some(memories) = user.get() else {
                return nobody_is_known();
            };
            let Some(selections) = selections(&arguments, &categories) else {
                return failed(
                    "say what to forget: scope \"one\" with a key, \"category\" with a category, \
                     or \"everything\""
                        .to_owned(),
                );
            };
            let forgotten = memories.forget(selections).await;
            // The notes in the instructions must not know it either.
            user.changed();
            match forgotten {
                Ok(n) => said(json!({"forgotten": n}).to_string()),
                Err(error) => memory_failed(&error),
            }
        }
        .boxed()
    }
}

/// What to delete; `None` when that is not clear. A thing without a category goes from all of them.
fn selections(arguments: &Value, categories: &Categories) -> Option<Vec<Selection>> {
    let category = categories.get(text(arguments, "category"));
    let key = key_of(text(arguments, "key"));
    match text(arguments, "scope") {
        "everything" => Some(vec![Selection::All]),
        "category" => Some(vec![Selection::Category(category?)]),
        "one" if !key.is_empty() => {
            let of = |category| Selection::Key(category, Pii::new(key.clone()));
            Some(match category {
                Some(category) => vec![of(category)],
                None => categories.all().iter().cloned().map(of).collect(),
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_forget_must_be_clear() {
        let categories = Categories::new(&["FACT", "PLAN"].map(str::to_owned));
        let n_selected = |arguments: Value| selections(&arguments, &categories).map(|it| it.len());
        for (arguments, expected) in [
            (json!({"scope": "everything"}), Some(1)),
            (json!({"scope": "category", "category": "plan"}), Some(1)),
            (
                json!({"scope": "one", "category": "FACT", "key": "name"}),
                Some(1),
            ),
            (json!({"scope": "one", "key": "name"}), Some(2)),
            (
                json!({"scope": "one", "category": "SECRET", "key": "name"}),
                Some(2),
            ),
            (json!({"scope": "one", "category": "FACT"}), None),
            (json!({"scope": "category"}), None),
            (json!({"scope": "category", "category": "PROFILE"}), None),
            (json!({}), None),
        ] {
            assert_eq!(n_selected(arguments.clone()), expected, "{arguments}");
        }
    }
}
