//! The connections of HTTP services: each is lent to one request at a time, or, over HTTP/2, shared.
//!
//! reqwest gives no hand on the connections that it keeps: none can be closed, and there can be more
//! of them than anybody asked for. Here each client keeps one. So there are no more connections to a
//! host than requests were in flight at once, one that is idle can be closed by itself in favour of
//! another host, and what is kept to a host can be dropped without what is in use. Name resolution,
//! TLS sessions and the book of connections are shared by all.
//!
//! Over HTTP/2 a connection carries as many requests as its server allows. Neither reqwest nor hyper
//! tells that number, and what is above it waits inside of hyper unseen. So a connection is given
//! `pool.streams_per_connection_max` requests, and more of them open another one.
//!
//! For a moment there can be one more: when what was dropped takes longer to close than the next one
//! is made to wait.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Version;
use tokio::time::Instant;

use super::book::{Book, Idle, Slot};
use super::config::Config;
use super::connector::Underway;

/// The generation of no host.
const NOT_KEPT: u64 = u64::MAX;

/// All slots of the process.
pub(super) struct Slots {
    is_enabled: bool,
    all_max: usize,
    per_host_max: usize,
    streams_max: usize,
    idle_timeout: Duration,
    book: Mutex<Book>,
}

/// A slot in use; returned when dropped. Keep it until the answer has been read.
pub(super) struct Taken {
    slot: Arc<Slot>,
    slots: Arc<Slots>,
}

impl std::ops::Deref for Taken {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.slot
    }
}

impl Slots {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            is_enabled: config.enabled,
            all_max: config.connections_max,
            per_host_max: config.connections_per_host_max,
            streams_max: config.streams_per_connection_max.max(1),
            idle_timeout: config.idle_timeout,
            book: Mutex::default(),
        })
    }

    /// The one that was used last, or a new one whose client `build` makes; what that has as an error is
    /// a client for this one time. For a request that has a place within the limits.
    pub(super) fn take(
        self: &Arc<Self>,
        host: &Arc<str>,
        build: impl FnOnce(Underway) -> Result<reqwest::Client, reqwest::Client>,
    ) -> Taken {
        let taken = |slot| Taken {
            slot,
            slots: Arc::clone(self),
        };
        // What goes is closed without the lock.
        let mut gone = Vec::new();
        let mut book = self.book();
        gone.append(&mut book.expired(self.idle_timeout));
        let found = book.host(host);
        if let Some(shared) = found.with_room(self.streams_max) {
            shared.users.fetch_add(1, Ordering::Relaxed);
            return taken(Arc::clone(shared));
        }
        found.lent += 1;
        if let Some(Idle { slot, .. }) = found.idle.pop() {
            slot.users.store(1, Ordering::Relaxed);
            slot.is_usable.store(false, Ordering::Relaxed);
            return taken(slot);
        }
        let (generation, is_http2) = (found.generation, found.is_http2);
        let is_last_of_host = found.lent >= self.per_host_max;
        let n_slots = book.n_slots();
        if n_slots > self.all_max {
            gone.extend(book.oldest());
        }
        // Many will ask for it before it is there.
        let underway = match is_http2 {
            true => Underway::one_by_one(),
            false => Underway::default(),
        };
        if is_last_of_host || n_slots >= self.all_max {
            // What was dropped just now may still be open.
            underway.makes_room();
        }
        drop(book);
        drop(gone);
        let (client, generation) = match build(underway.clone()) {
            Ok(client) => (client, generation),
            Err(client) => (client, NOT_KEPT),
        };
        let slot = Arc::new(Slot {
            client,
            host: Arc::clone(host),
            underway,
            generation,
            users: AtomicUsize::new(1),
            is_shared: AtomicBool::new(false),
            is_kept_open: AtomicBool::new(false),
            is_usable: AtomicBool::new(false),
            has_answered: AtomicBool::new(false),
        });
        if is_http2 {
            drop(self.share(&slot));
        }
        taken(slot)
    }

    /// Shares a slot that is lent, unless another one has room; returns what is not needed any more.
    fn share(&self, slot: &Arc<Slot>) -> Vec<Arc<Slot>> {
        let mut book = self.book();
        let host = book.host(&slot.host);
        if slot.generation != host.generation || host.with_room(self.streams_max).is_some() {
            return Vec::new();
        }
        slot.is_shared.store(true, Ordering::Relaxed);
        host.lent -= 1;
        host.shared.push(Idle {
            slot: Arc::clone(slot),
            since: Instant::now(),
        });
        host.idle.drain(..).map(|idle| idle.slot).collect()
    }

    /// Takes note of the beginning of an answer: what speaks HTTP/2 is shared from now on, and what
    /// does not is not. Returns whether it is.
    pub(super) fn answered(&self, taken: &Taken, version: Version, is_kept_open: bool) -> bool {
        let slot = &taken.slot;
        slot.has_answered.store(true, Ordering::Relaxed);
        slot.is_kept_open.store(is_kept_open, Ordering::Relaxed);
        slot.is_usable.store(false, Ordering::Relaxed);
        let is_http2 = self.is_enabled && version == Version::HTTP_2;
        if slot.is_shared.load(Ordering::Relaxed) == is_http2 {
            return is_http2;
        }
        let mut book = self.book();
        let host = book.host(&slot.host);
        host.is_http2 = is_http2;
        let gone = if is_http2 {
            drop(book);
            self.share(slot)
        } else {
            slot.is_shared.store(false, Ordering::Relaxed);
            host.take_shared(|it| Arc::ptr_eq(it, slot))
        };
        drop(gone);
        is_http2
    }

    /// Drops what is kept to the host of `failed`, which met a dead connection; `false` when it cannot
    /// have been a kept one, and when that has been done.
    pub(super) fn evict(&self, failed: &Slot) -> bool {
        let has_kept = failed.has_answered.load(Ordering::Relaxed);
        has_kept && self.drop_generation(&failed.host, Some(failed.generation))
    }

    /// Drops what is kept to a host; what is in use is not kept any more when it is returned.
    pub(super) fn drop_idle(&self, host: &Arc<str>) {
        self.drop_generation(host, None);
    }

    /// The same for all hosts.
    pub(super) fn drop_all_idle(&self) {
        let hosts: Vec<_> = self.book().hosts.keys().cloned().collect();
        for host in hosts {
            self.drop_idle(&host);
        }
    }

    /// Drops what nobody has used for the idle timeout.
    pub(super) fn drop_expired(&self) {
        let expired = self.book().expired(self.idle_timeout);
        drop(expired);
    }

    fn drop_generation(&self, host: &Arc<str>, only: Option<u64>) -> bool {
        let mut book = self.book();
        let next = book.generations + 1;
        let host = book.host(host);
        if only.is_some_and(|only| only != host.generation) {
            return false;
        }
        host.generation = next;
        let gone = (std::mem::take(&mut host.idle), host.take_shared(|_| true));
        book.generations = next;
        drop(book);
        drop(gone);
        true
    }

    fn give_back(&self, slot: &Arc<Slot>) {
        let mut book = self.book();
        let host = book.host(&slot.host);
        let is_last = slot.users.fetch_sub(1, Ordering::Relaxed) == 1;
        if let Some(shared) = host.shared(slot) {
            shared.since = Instant::now();
            return;
        }
        if !is_last {
            return;
        }
        host.lent -= 1;
        slot.underway.comes_back();
        let is_current = slot.generation == host.generation && host.shared.is_empty();
        // The connection of an answer that was broken off is closed.
        let is_usable = slot.is_usable.load(Ordering::Relaxed);
        if self.is_enabled && is_current && is_usable {
            host.idle.push(Idle {
                slot: Arc::clone(slot),
                since: Instant::now(),
            });
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.slots.give_back(&self.slot);
    }
}

#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
