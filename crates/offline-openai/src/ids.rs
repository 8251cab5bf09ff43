//! Names for what is answered.

use std::sync::atomic::{AtomicU64, Ordering};

/// An id that nothing else of this process has.
pub(crate) fn fresh_id(prefix: &str) -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!(
        "{prefix}-offline-{:08}",
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}
