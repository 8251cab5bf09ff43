//! What became of operations and batches, in numbers.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

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
    pub(super) failed: Counter,
    pub(super) refused: Counter,
    pub(super) abandoned: Counter,
}

impl Counters {
    pub(super) fn stats(&self, queued: usize) -> BatchStats {
        let (batches, operations) = (self.batches.get(), self.operations.get());
        BatchStats {
            queued,
            batches,
            operations,
            merged: self.merged.get(),
            operations_per_batch: operations as f64 / batches.max(1) as f64,
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
