//! The tier of this process: bounded in entries and bytes, a time to live for each, and one maker
//! per key at a time.

use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use bytes::Bytes;
use moka::Expiry;
use moka::notification::RemovalCause;
use moka::ops::compute::Op;
use moka::policy::EvictionPolicy;
use tokio::time::Instant;

use super::config::Config;
use super::key::CacheKey;
use super::stats::Counter;
use crate::error::CallError;

/// A value and the end of its time.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) bytes: Bytes,
    expires_at: Instant,
}

impl Entry {
    pub(super) fn new(bytes: Bytes, ttl: Duration) -> Self {
        Self {
            bytes,
            expires_at: Instant::now() + ttl,
        }
    }

    fn is_expired(&self) -> bool {
        Instant::now() >= self.expires_at
    }
}

/// Why a value that was asked for is not kept.
pub(super) enum NotKept {
    /// Making it failed.
    Failed(CallError),
    /// It is too large; those who waited for it get it all the same.
    TooLarge(Bytes),
}

/// The end of an entry's time as the library wants it. Its clock is the system's, while
/// [`Entry::is_expired`] follows the runtime's, which tests can move.
struct Remaining;

impl Expiry<CacheKey, Entry> for Remaining {
    fn expire_after_create(&self, _: &CacheKey, entry: &Entry, _: StdInstant) -> Option<Duration> {
        Some(entry.expires_at.saturating_duration_since(Instant::now()))
    }

    fn expire_after_update(
        &self,
        _: &CacheKey,
        entry: &Entry,
        _: StdInstant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.expires_at.saturating_duration_since(Instant::now()))
    }
}

/// Entries of this process.
pub(super) struct Local {
    entries: moka::future::Cache<CacheKey, Entry>,
    removals: Arc<Removals>,
}

#[derive(Default)]
struct Removals {
    evicted: Counter,
    expired: Counter,
}

impl Local {
    pub(super) fn new(config: &Config) -> Self {
        // The library has one capacity. An entry that weighs at least its share of the bytes makes
        // that one capacity hold both limits.
        let share = config.bytes_max.div_ceil(config.entries_max.max(1)).max(1);
        let weight = move |_: &CacheKey, entry: &Entry| {
            u32::try_from(share.max(entry.bytes.len() as u64)).unwrap_or(u32::MAX)
        };
        let removals = Arc::new(Removals::default());
        let counted = Arc::clone(&removals);
        let entries = moka::future::Cache::builder()
            // A new greeting matters more than an old one, however often that was asked for.
            .eviction_policy(EvictionPolicy::lru())
            .max_capacity(share * config.entries_max)
            .weigher(weight)
            .expire_after(Remaining)
            .eviction_listener(move |_, _, cause| match cause {
                RemovalCause::Size => counted.evicted.add(),
                // Only what is out of date is ever removed by hand.
                RemovalCause::Expired | RemovalCause::Explicit => counted.expired.add(),
                RemovalCause::Replaced => {}
            })
            .build();
        Self { entries, removals }
    }

    /// The value, if its time is not over.
    pub(super) async fn get(&self, key: &CacheKey) -> Option<Bytes> {
        let entry = self.entries.get(key).await?;
        if entry.is_expired() {
            self.remove_if(key, Entry::is_expired).await;
            return None;
        }
        Some(entry.bytes)
    }

    /// Drops a value that is no use to anybody.
    pub(super) async fn remove(&self, key: &CacheKey, bytes: &Bytes) {
        self.remove_if(key, |entry| entry.bytes == bytes).await;
    }

    /// The value as it is or as `make` makes it. Of those who ask at once for the same key one
    /// makes it, and all get what came of it. When that one is dropped, the next makes it anew.
    pub(super) async fn get_or_make(
        &self,
        key: &CacheKey,
        make: impl Future<Output = Result<Entry, NotKept>> + Send,
    ) -> Result<Bytes, Arc<NotKept>> {
        let entry = self.entries.entry(key.clone()).or_try_insert_with(make);
        Ok(Box::pin(entry).await?.into_value().bytes)
    }

    /// Drops what is out of date; says how many that were.
    pub(super) async fn cleanup(&self) -> u64 {
        let before = self.removals.expired.get();
        for (key, entry) in &self.entries {
            if entry.is_expired() {
                self.remove_if(&key, Entry::is_expired).await;
            }
        }
        self.entries.run_pending_tasks().await;
        self.removals.expired.get() - before
    }

    /// Entries, bytes, evicted, expired.
    pub(super) async fn numbers(&self) -> (u64, u64, u64, u64) {
        self.entries.run_pending_tasks().await;
        let sizes = self.entries.iter().map(|(_, entry)| entry.bytes.len());
        let (entries, bytes) = sizes.fold((0, 0), |(n, sum), size| (n + 1, sum + size as u64));
        let removals = &self.removals;
        (
            entries,
            bytes,
            removals.evicted.get(),
            removals.expired.get(),
        )
    }

    /// Removes the entry only if it still is what the caller saw: another may be there by now.
    async fn remove_if(&self, key: &CacheKey, is_useless: impl Fn(&Entry) -> bool + Send) {
        let removal = self.entries.entry_by_ref(key).and_compute_with(|entry| {
            let is_useless = entry.is_some_and(|entry| is_useless(entry.value()));
            std::future::ready(if is_useless { Op::Remove } else { Op::Nop })
        });
        Box::pin(removal).await;
    }
}
