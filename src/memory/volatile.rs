//! A store in the process's memory: nothing survives the process. For tests and trials.

use std::sync::{Mutex, PoisonError};

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Memory, MemoryAnswer, MemoryOp, Selection, Store, UserId};
use crate::error::CallError;

/// Keeps memories until the process ends. Every read looks at every row: not for many callers.
#[derive(Default)]
pub struct VolatileStore(Mutex<Vec<(UserId, Memory)>>);

impl Store for VolatileStore {
    fn run(&self, ops: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>> {
        async move {
            let mut rows = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            ops.into_iter().map(|op| Ok(apply(&mut rows, op))).collect()
        }
        .boxed()
    }
}

/// `rows` are in the order they were saved.
fn apply(rows: &mut Vec<(UserId, Memory)>, op: MemoryOp) -> MemoryAnswer {
    match op {
        MemoryOp::Save(user, memory) => {
            let same = Selection::Key(memory.category.clone(), memory.key.clone());
            rows.retain(|(owner, row)| *owner != user || !is_selected(row, &same));
            rows.push((user, memory));
            MemoryAnswer::Saved
        }
        MemoryOp::Get(user, selection, n_max) => {
            let own = rows.iter().rev().filter(|(owner, _)| *owner == user);
            let found = own.filter(|(_, row)| is_selected(row, &selection));
            let n_max = usize::try_from(n_max).unwrap_or(usize::MAX);
            MemoryAnswer::Found(found.take(n_max).map(|(_, row)| row.clone()).collect())
        }
        MemoryOp::Delete(user, selection) => {
            let before = rows.len();
            rows.retain(|(owner, row)| *owner != user || !is_selected(row, &selection));
            MemoryAnswer::Deleted((before - rows.len()) as u64)
        }
    }
}

fn is_selected(row: &Memory, selection: &Selection) -> bool {
    match selection {
        Selection::All => true,
        Selection::Category(category) => row.category == *category,
        Selection::Key(category, key) => row.category == *category && row.key == *key,
    }
}
