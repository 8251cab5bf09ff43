//! What can be done with memories, as plain values.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::UserId;
use crate::redact::Pii;

/// The kind of a memory, such as `FACT`: one of a list that the configuration closes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Category(Arc<str>);

impl Category {
    /// The category under which the summary of a user is kept; the model cannot write it.
    pub const PROFILE: &'static str = "PROFILE";

    /// A category by its name.
    pub fn new(name: &str) -> Self {
        Self(name.into())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// One remembered thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Its kind.
    pub category: Category,
    /// What it is about, unique within the user's category, such as `name`.
    pub key: Pii<String>,
    /// What is remembered.
    pub value: Pii<String>,
}

/// Which of a user's memories.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Selection {
    /// All of them.
    All,
    /// Those of one category.
    Category(Category),
    /// The one with this category and key.
    Key(Category, Pii<String>),
}

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryOp {
    /// Remembers something; what was under the same category and key is replaced.
    Save(UserId, Memory),
    /// Reads at most this many memories, the latest saved first.
    Get(UserId, Selection, u32),
    /// Forgets.
    Delete(UserId, Selection),
}

impl MemoryOp {
    /// Whose memories it touches.
    pub fn user(&self) -> &UserId {
        match self {
            Self::Save(user, _) | Self::Get(user, ..) | Self::Delete(user, _) => user,
        }
    }
}

/// What an operation yields.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MemoryAnswer {
    /// It is saved.
    Saved,
    /// What was found, the latest first.
    Found(Vec<Memory>),
    /// How many were forgotten.
    Deleted(u64),
}
