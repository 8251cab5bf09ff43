//! `forget`: remove what is remembered.

use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Memory, TypedTool, failed, memory_failed, nothing_remembered, said};
use crate::chat::ToolOutput;
use crate::memory::{Categories, FORGET_TOOL, Selection, key_of};
use crate::redact::Pii;

/// Deletes memories of the user.
pub struct Forget(pub Memory);

/// What of it.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct ForgetArguments {
    scope: Scope,
    /// Of which category.
    category: Option<String>,
    /// The key of the one thing, as it is remembered.
    key: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Scope {
    One,
    Category,
    Everything,
}

impl TypedTool for Forget {
    type Arguments = ForgetArguments;

    const NAME: &'static str = FORGET_TOOL;

    const DESCRIPTION: &'static str = "Forgets what is remembered about the caller: one thing, \
        everything of a category, or everything. Use it when the caller asks you to forget \
        something.";

    fn complete(&self, schema: &mut Value) {
        self.0.list_categories(schema);
    }

    fn run(&self, arguments: ForgetArguments) -> BoxFuture<'static, ToolOutput> {
        let Memory { user, categories } = self.0.clone();
        async move {
            let Some(memories) = user.get() else {
                return nothing_remembered(&user);
            };
            let Some(selections) = selections(&arguments, &categories) else {
                return failed(
                    "say what to forget: scope \"one\" with a key, \"category\" with a category, \
                     or \"everything\"",
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
fn selections(arguments: &ForgetArguments, categories: &Categories) -> Option<Vec<Selection>> {
    let category = categories.get(arguments.category.as_deref().unwrap_or_default());
    let key = key_of(arguments.key.as_deref().unwrap_or_default());
    match arguments.scope {
        Scope::Everything => Some(vec![Selection::All]),
        Scope::Category => Some(vec![Selection::Category(category?)]),
        Scope::One if !key.is_empty() => {
            let of = |category| Selection::Key(category, Pii::new(key.clone()));
            Some(match category {
                Some(category) => vec![of(category)],
                None => categories.all().iter().cloned().map(of).collect(),
            })
        }
        Scope::One => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_forget_must_be_clear() {
        let categories = Categories::new(&["FACT", "PLAN"].map(str::to_owned));
        let n_selected = |arguments: Value| {
            let arguments = serde_json::from_value(arguments).unwrap();
            selections(&arguments, &categories).map(|it| it.len())
        };
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
            (json!({"scope": "one"}), None),
        ] {
            assert_eq!(n_selected(arguments.clone()), expected, "{arguments}");
        }
    }
}
