//! What may be remembered: categories of a closed list, keys and values of a bounded size.

use std::sync::Arc;

use super::{Category, Memory};
use crate::redact::Pii;

/// Characters of a key.
pub const KEY_CHARS_MAX: usize = 64;

/// Characters of a value: a sentence or two.
pub const VALUE_CHARS_MAX: usize = 500;

/// The categories that the model may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Categories(Arc<[Category]>);

/// Why something cannot be remembered, in words for the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Not one of the list.
    #[error("there is no such category")]
    Category,
    /// Nothing is in it.
    #[error("key and value must not be empty")]
    Empty,
    /// Too much is in it.
    #[error("the key may have {KEY_CHARS_MAX} characters and the value {VALUE_CHARS_MAX}")]
    TooLong,
}

impl Categories {
    /// These names; that of the profile is left out, as it is not the model's to write.
    pub fn new(names: &[String]) -> Self {
        let names = names.iter().map(|name| name.trim());
        let names = names.filter(|name| !name.eq_ignore_ascii_case(Category::PROFILE));
        Self(names.map(Category::new).collect())
    }

    /// The categories in the order of the configuration.
    pub fn all(&self) -> &[Category] {
        &self.0
    }

    /// The names, for a schema.
    pub fn names(&self) -> Vec<&str> {
        self.0.iter().map(Category::name).collect()
    }

    /// The category of this name, in letters of any case.
    pub fn get(&self, name: &str) -> Option<Category> {
        let name = name.trim();
        let is_named = |category: &&Category| category.name().eq_ignore_ascii_case(name);
        self.0.iter().find(is_named).cloned()
    }

    /// Something to remember, as the model wrote it.
    ///
    /// # Errors
    /// When it is nothing to be remembered.
    pub fn memory(&self, category: &str, key: &str, value: &str) -> Result<Memory, Refusal> {
        let category = self.get(category).ok_or(Refusal::Category)?;
        let (key, value) = (key_of(key), one_line(value));
        if key.is_empty() || value.is_empty() {
            return Err(Refusal::Empty);
        }
        if key.chars().count() > KEY_CHARS_MAX || value.chars().count() > VALUE_CHARS_MAX {
            return Err(Refusal::TooLong);
        }
        Ok(Memory {
            category,
            key: Pii::new(key),
            value: Pii::new(value),
        })
    }
}

/// A key in the one way it is written, so that "Favourite drink" and `favourite_drink` are the same.
pub fn key_of(text: &str) -> String {
    let parts = text.split(|c: char| c.is_whitespace() || c.is_control() || c == '-' || c == '_');
    let parts: Vec<_> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("_").to_lowercase()
}

/// A text without line breaks and control characters.
pub(super) fn one_line(text: &str) -> String {
    let words = text.split(|c: char| c.is_whitespace() || c.is_control());
    let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn categories() -> Categories {
        Categories::new(&["FACT", "PREFERENCE", "profile"].map(str::to_owned))
    }

    #[test]
    fn what_the_model_writes_is_made_uniform() {
        let memory = categories().memory("fact", " Favourite-Drink ", "green\n tea\0");
        let memory = memory.unwrap();
        assert_eq!(memory.category.name(), "FACT");
        assert_eq!(memory.key.expose(), "favourite_drink");
        assert_eq!(memory.value.expose(), "green tea");
    }

    #[test]
    fn what_cannot_be_remembered_is_refused() {
        let long = "x".repeat(VALUE_CHARS_MAX + 1);
        for (category, key, value, refusal) in [
            ("SECRET", "a", "b", Refusal::Category),
            ("PROFILE", "summary", "b", Refusal::Category),
            ("profile", "summary", "b", Refusal::Category),
            ("FACT", " \n", "b", Refusal::Empty),
            ("FACT", "a", "\0", Refusal::Empty),
            ("FACT", "a", &long, Refusal::TooLong),
            ("FACT", &long[..KEY_CHARS_MAX + 1], "b", Refusal::TooLong),
        ] {
            assert_eq!(categories().memory(category, key, value), Err(refusal));
        }
    }
}
