//! What became of operations and batches, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

use crate::error::CallError;
use crate::memory::MemoryAnswer;

/// Numbers of the batches since the start.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BatchStats {
    /// Operations that wait now.
    pub queued: usize,
    /// Batches that were given to the store.
    pub batches: u64,
    /// Operations in them.
    pub operations: u64,
    /// Operations that shared their batch with others.
    pub merged: u64,
    /// The mean size of a batch.
    pub operations_per_batch: f64,
    /// Rows that were saved.
    pub rows_saved: u64,
    /// Rows that reads found.
    pub rows_found: u64,
    /// Rows that were deleted.
    pub rows_deleted: u64,
    /// Rows that went because a user had too many or they were too old.
    pub rows_trimmed: u64,
    /// Operations that failed at the store, each by itself or with its whole batch.
    pub failed: u64,
    /// Operations refused because the queue was full or closed.
    pub refused: u64,
    /// Reads that were left out because nobody waited for them any more.
    pub abandoned: u64,
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) batches: Counter,
    pub(super) operations: Counter,
    pub(super) merged: Counter,
    pub(super) rows_saved: Counter,
    pub(super) rows_found: Counter,
    pub(super) rows_deleted: Counter,
    pub(super) rows_trimmed: Counter,
    pub(super) failed: Counter,
    pub(super) refused: Counter,
    pub(super) abandoned: Counter,
}

impl Counters {
    /// Takes what became of an operation.
    pub(super) fn answered(&self, result: &Result<MemoryAnswer, CallError>) {
        match result {
            Ok(MemoryAnswer::Saved) => self.rows_saved.add(1),
            Ok(MemoryAnswer::Found(rows)) => self.rows_found.add(rows.len() as u64),
            Ok(MemoryAnswer::Deleted(rows)) => self.rows_deleted.add(*rows),
            Err(_) => self.failed.add(1),
        }
    }

    pub(super) fn stats(&self, queued: usize) -> BatchStats {
        let (batches, operations) = (self.batches.get(), self.operations.get());
        BatchStats {
            queued,
            batches,
            operations,
            merged: self.merged.get(),
            operations_per_batch: operations as f64 / batches.max(1) as f64,
            rows_saved: self.rows_saved.get(),
            rows_found: self.rows_found.get(),
            rows_deleted: self.rows_deleted.get(),
            rows_trimmed: self.rows_trimmed.get(),
            failed: self.failed.get(),
            refused: self.refused.get(),
            abandoned: self.abandoned.get(),
        }
    }
}

/// A number that only grows.
#[derive(Default)]
pub(in crate::memory) struct Counter(AtomicU64);

impl Counter {
    pub(in crate::memory) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(in crate::memory) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
