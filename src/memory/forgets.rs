//! Counts what is forgotten in a call, so that nothing of it is saved afterwards.
//!
//! **Invariant:** a deletion is queued, and a save that depends on what was forgotten is checked and
//! queued, while this lock is held: no such save comes behind the deletion.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::UserId;

/// The same for all parts of a call. Clones are the same one.
#[derive(Clone, Default)]
pub(super) struct Forgets(Arc<Mutex<Forgotten>>);

/// See [`Forgets`].
#[derive(Default)]
pub(super) struct Forgotten {
    count: u64,
    /// Users who asked for everything: nothing of this call is looked at any more.
    entirely: Vec<UserId>,
}

impl Forgets {
    /// How often something was forgotten: what was found in words from before is not saved after it.
    pub(super) fn count(&self) -> u64 {
        self.lock().count
    }

    /// Whether the user asked that everything be forgotten.
    pub(super) fn has_entirely(&self, user: &UserId) -> bool {
        self.lock().entirely.contains(user)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Forgotten> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Forgotten {
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Notes that a user's memories are about to be deleted, perhaps all of them.
    pub(super) fn add(&mut self, user: &UserId, is_everything: bool) {
        self.count += 1;
        if is_everything && !self.entirely.contains(user) {
            self.entirely.push(user.clone());
        }
    }
}
