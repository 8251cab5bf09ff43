//! What the stores are held against: the same in a few lines, without a database.

use std::collections::HashMap;

use proptest::prelude::*;
use voxpool::memory::{Category, MemoryOp, Selection};

use super::{memory, of_key, user};

/// What a store is meant to be: rows of users, the latest saved last.
#[derive(Default)]
pub(super) struct Model(HashMap<String, Vec<(String, String, String)>>);

impl Model {
    /// Does what a store should, and says what it should answer.
    pub(super) fn run(&mut self, op: &MemoryOp) -> String {
        let rows = self.0.entry(op.user().expose().to_owned()).or_default();
        let is_in = |row: &(String, String, String), selection: &Selection| match selection {
            Selection::All => true,
            Selection::Category(category) => row.0 == category.name(),
            Selection::Key(category, key) => row.0 == category.name() && row.1 == *key.expose(),
        };
        match op {
            MemoryOp::Save(_, memory) => {
                let (category, key) = (memory.category.name(), memory.key.expose());
                rows.retain(|row| row.0 != category || row.1 != *key);
                let value = memory.value.expose().clone();
                rows.push((category.to_owned(), key.clone(), value));
                "saved".to_owned()
            }
            MemoryOp::Get(_, selection, max) => {
                let found = rows.iter().rev().filter(|row| is_in(row, selection));
                let found = found
                    .take(*max as usize)
                    .map(|row| format!("{}={}", row.1, row.2));
                found.collect::<Vec<_>>().join(" ")
            }
            MemoryOp::Delete(_, selection) => {
                let before = rows.len();
                rows.retain(|row| !is_in(row, selection));
                format!("deleted {}", before - rows.len())
            }
        }
    }
}

/// Operations of few callers on few keys, so that they meet.
pub(super) fn any_op() -> impl Strategy<Value = MemoryOp> {
    let name = prop_oneof![Just("alice"), Just("bob"), Just("Alice"), Just("alice%")];
    let category = prop_oneof![Just("FACT"), Just("GOAL"), Just("fact")];
    let key = prop_oneof![Just("a"), Just("b"), Just("A"), Just(""), Just("ä'\"\\")];
    let selection =
        (0..3, category.clone(), key.clone()).prop_map(|(kind, category, key)| match kind {
            0 => Selection::All,
            1 => Selection::Category(Category::new(category)),
            _ => of_key(category, key),
        });
    let value = "[^\u{0}]{0,12}";
    prop_oneof![
        4 => (name.clone(), category, key, value).prop_map(|(name, category, key, value)| {
            MemoryOp::Save(user(name), memory(category, key, &value))
        }),
        2 => (name.clone(), selection.clone(), 0_u32..6)
            .prop_map(|(name, selection, max)| MemoryOp::Get(user(name), selection, max)),
        1 => (name, selection).prop_map(|(name, selection)| MemoryOp::Delete(user(name), selection)),
    ]
}
