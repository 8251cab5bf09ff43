//! `recall`: look into what is remembered.

use std::cmp::Reverse;

use futures::FutureExt;
use futures::future::BoxFuture;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Memory, TypedTool, memory_failed, nothing_remembered, said};
use crate::chat::ToolOutput;
use crate::memory;

/// Memories that are searched.
const SEARCHED_MAX: u32 = 500;

/// Memories that the model is given.
const FOUND_MAX: usize = 20;

/// Searches the memories of the user.
pub struct Recall(pub Memory);

/// What to look for.
#[derive(Debug, Deserialize, JsonSchema)]
pub struct RecallArguments {
    /// Words to look for; empty for the latest memories.
    #[serde(default)]
    query: String,
    /// Only in this category.
    category: Option<String>,
}

impl TypedTool for Recall {
    type Arguments = RecallArguments;

    const NAME: &'static str = "recall";

    const DESCRIPTION: &'static str = "Looks up what is remembered about the caller from earlier \
        calls. Use it when the caller asks what you know or remember and it is not in your notes.";

    fn complete(&self, schema: &mut Value) {
        self.0.list_categories(schema);
    }

    fn run(&self, arguments: RecallArguments) -> BoxFuture<'static, ToolOutput> {
        let Memory { user, categories } = self.0.clone();
        async move {
            let Some(memories) = user.get() else {
                return nothing_remembered(&user);
            };
            let category = categories.get(arguments.category.as_deref().unwrap_or_default());
            match memories.known(SEARCHED_MAX).await {
                Ok(known) => {
                    let mut memories = known.memories;
                    memories.retain(|it| category.as_ref().is_none_or(|only| it.category == *only));
                    said(written(&search(memories, &arguments.query)))
                }
                Err(error) => memory_failed(&error),
            }
        }
        .boxed()
    }
}

/// The memories that have most of the words in them, or the latest when none has any.
fn search(memories: Vec<memory::Memory>, query: &str) -> Vec<memory::Memory> {
    let query = query.to_lowercase();
    let words: Vec<&str> = query
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() > 2)
        .collect();
    let n_hits = |it: &memory::Memory| {
        let (key, value) = (it.key.expose(), it.value.expose());
        let text = format!("{} {key} {value}", it.category.name()).to_lowercase();
        words.iter().filter(|word| text.contains(**word)).count()
    };
    let mut found: Vec<_> = memories
        .iter()
        .filter(|it| n_hits(it) > 0)
        .cloned()
        .collect();
    found.sort_by_key(|it| Reverse(n_hits(it)));
    let mut found = if found.is_empty() { memories } else { found };
    found.truncate(FOUND_MAX);
    found
}

fn written(memories: &[memory::Memory]) -> String {
    let written = memories.iter().map(|it| {
        let (key, value) = (it.key.expose(), it.value.expose());
        json!({"category": it.category.name(), "key": key, "value": value})
    });
    Value::Array(written.collect()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Category;
    use crate::redact::Pii;

    #[test]
    fn memories_with_the_words_come_first_and_without_hits_all_come() {
        let memory = |category: &str, key: &str, value: &str| memory::Memory {
            category: Category::new(category),
            key: Pii::new(key.to_owned()),
            value: Pii::new(value.to_owned()),
        };
        let all = vec![
            memory("FACT", "name", "John"),
            memory("PREFERENCE", "drink", "Green tea"),
            memory("FACT", "plant", "a green fern"),
        ];
        let keys = |query: &str| -> Vec<String> {
            let found = search(all.clone(), query);
            found.iter().map(|it| it.key.expose().clone()).collect()
        };
        assert_eq!(keys("green TEA?"), ["drink", "plant"]);
        assert_eq!(keys("preference"), ["drink"]);
        assert_eq!(keys("user"), ["name", "drink", "plant"]);
        assert_eq!(keys(""), ["name", "drink", "plant"]);
    }
}
