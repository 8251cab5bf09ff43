//! What the database pools count, where it happens.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::pool::ConnectionStats;

/// Connections of one database pool; clones share the counts.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Counts>);

#[derive(Default)]
struct Counts {
    opened: AtomicU64,
    reused: AtomicU64,
    failed: AtomicU64,
    in_use: AtomicU64,
}

impl Connections {
    pub(super) fn opened(&self) {
        self.0.opened.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn reused(&self) {
        self.0.reused.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.0.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes that a statement has a connection, until the returned value is dropped.
    pub(super) fn in_use(&self) -> InUse {
        self.0.in_use.fetch_add(1, Ordering::Relaxed);
        InUse(self.clone())
    }

    /// Connections that statements have now.
    pub(super) fn in_use_count(&self) -> u64 {
        self.0.in_use.load(Ordering::Relaxed)
    }

    /// The numbers, with what the pool says of connections that are open now.
    pub(super) fn stats(&self, open: u64) -> ConnectionStats {
        let opened = self.0.opened.load(Ordering::Relaxed);
        // One that is being opened is in the pool's number already.
        let open = open.min(opened);
        ConnectionStats {
            opened,
            reused: self.0.reused.load(Ordering::Relaxed),
            closed: Some(opened - open),
            open: Some(open),
            failed: self.0.failed.load(Ordering::Relaxed),
        }
    }
}

/// See [`Connections::in_use`].
pub(super) struct InUse(Connections);

impl Drop for InUse {
    fn drop(&mut self) {
        self.0.0.in_use.fetch_sub(1, Ordering::Relaxed);
    }
}
