//! Operations as the rows that databases see, and what a row may hold.
//!
//! **Invariant:** these hold what callers said as plain text, so none of them can be printed.

use serde::{Deserialize, Serialize};

use super::op::{MemoryOp, Selection};
use super::refused::Refused;
use super::user::{USER_CHARS_MAX, UserId};
use crate::error::{CallError, ErrorKind, Service};
use crate::redact::Pii;

/// Longest name of a category.
const CATEGORY_CHARS_MAX: usize = 64;

/// What makes a row unique.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) struct RowKey {
    pub(super) user_id: String,
    pub(super) category: String,
    pub(super) key: String,
}

/// A row to save.
#[derive(Clone, Serialize)]
pub(super) struct Row {
    #[serde(flatten)]
    pub(super) key: RowKey,
    pub(super) value: String,
}

/// Rows to read or delete: those of a user, of one category if named, with one key if named.
#[derive(Clone, Serialize)]
pub(super) struct Wanted {
    pub(super) user_id: String,
    pub(super) category: Option<String>,
    pub(super) key: Option<String>,
    pub(super) count_max: u32,
}

/// A row that was read, and the place of its [`Wanted`] among those that were asked for.
#[derive(Deserialize)]
pub(super) struct Found {
    pub(super) place: usize,
    pub(super) category: String,
    pub(super) key: String,
    pub(super) value: String,
}

impl RowKey {
    /// A row as the SQL stores answer a deletion: user, category, key.
    pub(super) fn from_columns((user_id, category, key): (String, String, String)) -> Self {
        Self {
            user_id,
            category,
            key,
        }
    }
}

impl Found {
    /// From place, category, key and value, as the databases return them.
    pub(super) fn from_columns(columns: (i64, String, String, String)) -> Self {
        let (place, category, key, value) = columns;
        Self {
            place: usize::try_from(place).unwrap_or(usize::MAX),
            category,
            key,
            value,
        }
    }
}

impl Wanted {
    pub(super) fn new(user: &UserId, selection: &Selection, count_max: u32) -> Self {
        let (category, key) = match selection {
            Selection::All => (None, None),
            Selection::Category(category) => (Some(category), None),
            Selection::Key(category, key) => (Some(category), Some(key)),
        };
        Self {
            user_id: user.expose().to_owned(),
            category: category.map(|category| category.name().to_owned()),
            key: key.map(|key| key.expose().clone()),
            count_max,
        }
    }

    pub(super) fn matches(&self, row: &RowKey) -> bool {
        let is_it = |wanted: &Option<String>, has: &str| {
            wanted.as_deref().is_none_or(|wanted| wanted == has)
        };
        self.user_id == row.user_id
            && is_it(&self.category, &row.category)
            && is_it(&self.key, &row.key)
    }
}

/// What a row may hold. Known before anything is sent, so that a bad row rarely costs a statement.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    pub(super) key_chars_max: usize,
    pub(super) value_chars_max: usize,
}

impl Limits {
    /// Refuses an operation that no database would take.
    pub(super) fn check(self, service: Service, op: &MemoryOp) -> Result<(), CallError> {
        let (operation, category, key, value) = match op {
            MemoryOp::Save(_, memory) => (
                "memory.save",
                Some(&memory.category),
                Some(&memory.key),
                Some(&memory.value),
            ),
            MemoryOp::Get(_, selection, _) => {
                let (category, key) = parts(selection);
                ("memory.get", category, key, None)
            }
            MemoryOp::Delete(_, selection) => {
                let (category, key) = parts(selection);
                ("memory.delete", category, key, None)
            }
        };
        let category = category.map_or("", |category| category.name());
        let text =
            |text: Option<&Pii<String>>| text.map_or(String::new(), |it| it.expose().clone());
        let problem = first_problem([
            ("the caller's identity", op.user().expose(), USER_CHARS_MAX),
            ("the category", category, CATEGORY_CHARS_MAX),
            ("the key", &text(key), self.key_chars_max),
            ("the value", &text(value), self.value_chars_max),
        ]);
        match problem {
            None => Ok(()),
            Some(problem) => Err(CallError::new(service, operation, ErrorKind::Rejected)
                .because(Refused::row("invalid", problem))),
        }
    }
}

fn parts(selection: &Selection) -> (Option<&super::Category>, Option<&Pii<String>>) {
    match selection {
        Selection::All => (None, None),
        Selection::Category(category) => (Some(category), None),
        Selection::Key(category, key) => (Some(category), Some(key)),
    }
}

fn first_problem(fields: [(&str, &str, usize); 4]) -> Option<String> {
    fields.into_iter().find_map(|(name, text, chars_max)| {
        if text.contains('\0') {
            Some(format!("{name} holds a NUL character"))
        } else if text.chars().nth(chars_max).is_some() {
            Some(format!("{name} is longer than {chars_max} characters"))
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{Category, Memory};

    fn save(key: &str, value: &str) -> MemoryOp {
        MemoryOp::Save(
            UserId::new("alice").unwrap(),
            Memory {
                category: Category::new("FACT"),
                key: Pii::new(key.to_owned()),
                value: Pii::new(value.to_owned()),
            },
        )
    }

    fn problem(op: &MemoryOp) -> Option<String> {
        let limits = Limits {
            key_chars_max: 3,
            value_chars_max: 5,
        };
        let error = limits.check(Service::Sqlite, op).err()?;
        assert_eq!(error.kind, ErrorKind::Rejected);
        Some(error.cause?.to_string())
    }

    #[test]
    fn limits_count_characters_and_not_bytes() {
        assert_eq!(problem(&save("äöü", "ééééé")), None);
        assert!(problem(&save("four", "")).unwrap().contains("the key"));
        assert!(problem(&save("k", "123456")).unwrap().contains("the value"));
    }

    #[test]
    fn the_text_of_a_refusal_holds_no_value() {
        let text = problem(&save("k", "a\0b")).unwrap();
        assert!(text.contains("NUL") && !text.contains('\0'), "{text}");
    }

    #[test]
    fn an_empty_text_is_a_text() {
        assert_eq!(problem(&save("", "")), None);
    }

    #[test]
    fn reading_and_forgetting_are_checked_too() {
        let user = UserId::new("alice").unwrap();
        let selection = Selection::Key(Category::new("FACT"), Pii::new("a\0".to_owned()));
        assert!(problem(&MemoryOp::Get(user.clone(), selection.clone(), 1)).is_some());
        assert!(problem(&MemoryOp::Delete(user, selection)).is_some());
    }
}
