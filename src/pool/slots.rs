//! The connections of HTTP services: each is lent to one request at a time, or, over HTTP/2, shared.
//!
//! reqwest gives no hand on the connections that it keeps: none can be closed, and there can be more
//! of them than anybody asked for. Here each client keeps one. So there are no more connections to a
//! host than requests were in flight at once, one that is idle can be closed by itself in favour of
//! another host, and what is kept to a host can be dropped without what is in use. Name resolution,
//! TLS sessions and the book of connections are shared by all.
//!
//! For a moment there can be one more: when what was dropped takes longer to close than the next one
//! is made to wait, and when a connection that is shared is lost and many ask for the next.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::Version;
use tokio::time::Instant;

use super::config::Config;
use super::connector::Underway;

/// Hosts remembered before those without a connection are forgotten.
const HOSTS_MAX: usize = 64;

/// The generation of no host.
const NOT_KEPT: u64 = u64::MAX;

/// A client that keeps one connection.
pub(super) struct Slot {
    pub(super) client: reqwest::Client,
    pub(super) host: Arc<str>,
    underway: Underway,
    /// Which of its host's: those of an earlier one are not kept.
    generation: u64,
    /// Requests that have it; written with the book's lock.
    users: AtomicUsize,
    is_shared: AtomicBool,
    /// Whether the connection can be used again once the answer has been read.
    is_kept_open: AtomicBool,
    /// Whether it can be used again now.
    is_usable: AtomicBool,
    /// Whether any answer came over it: before that, no failure can be a stale socket's.
    has_answered: AtomicBool,
}

/// All slots of the process.
pub(super) struct Slots {
    is_enabled: bool,
    all_max: usize,
    per_host_max: usize,
    idle_timeout: Duration,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    hosts: HashMap<Arc<str>, Host>,
    generations: u64,
}

#[derive(Default)]
struct Host {
    generation: u64,
    /// In the order in which they were returned.
    idle: Vec<Idle>,
    /// Those in use, but for the shared one.
    lent: usize,
    /// The one of all requests, where the host speaks HTTP/2.
    shared: Option<Arc<Slot>>,
}

struct Idle {
    slot: Arc<Slot>,
    since: Instant,
}

impl Slot {
    /// Takes note that an answer has been read to its end.
    pub(super) fn note_read(&self) {
        let is_kept_open = self.is_kept_open.load(Ordering::Relaxed);
        self.is_usable.store(is_kept_open, Ordering::Relaxed);
    }
}

impl Host {
    fn n_slots(&self) -> usize {
        self.idle.len() + self.lent + usize::from(self.shared.is_some())
    }

    fn is_shared(&self, slot: &Arc<Slot>) -> bool {
        (self.shared.as_ref()).is_some_and(|shared| Arc::ptr_eq(shared, slot))
    }

    /// Takes out the shared one, which counts as lent while it is in use.
    fn take_shared(&mut self) -> Option<Arc<Slot>> {
        let shared = self.shared.take()?;
        self.lent += usize::from(shared.users.load(Ordering::Relaxed) > 0);
        Some(shared)
    }
}

impl Book {
    fn host(&mut self, host: &Arc<str>) -> &mut Host {
        if self.hosts.len() >= HOSTS_MAX && !self.hosts.contains_key(host) {
            self.hosts.retain(|_, host| host.n_slots() > 0);
        }
        let generation = self.generations;
        let hosts = self.hosts.entry(Arc::clone(host));
        hosts.or_insert_with(|| Host {
            generation,
            ..Host::default()
        })
    }

    /// Takes out what nobody has used for so long.
    fn expired(&mut self, idle_timeout: Duration) -> Vec<Arc<Slot>> {
        let hosts = self.hosts.values_mut();
        let is_old = |it: &mut Idle| it.since.elapsed() >= idle_timeout;
        hosts
            .flat_map(|host| host.idle.extract_if(.., is_old))
            .map(|idle| idle.slot)
            .collect()
    }

    /// Takes out what has been idle for longest, else what could be shared and nobody uses.
    fn oldest(&mut self) -> Option<Arc<Slot>> {
        let hosts = self.hosts.values_mut().filter(|host| !host.idle.is_empty());
        if let Some(host) = hosts.min_by_key(|host| host.idle[0].since) {
            return Some(host.idle.remove(0).slot);
        }
        let is_unused = |slot: &mut Arc<Slot>| slot.users.load(Ordering::Relaxed) == 0;
        (self.hosts.values_mut()).find_map(|host| host.shared.take_if(is_unused))
    }

    fn n_slots(&self) -> usize {
        self.hosts.values().map(Host::n_slots).sum()
    }
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
        if let Some(shared) = &found.shared {
            shared.users.fetch_add(1, Ordering::Relaxed);
            return taken(Arc::clone(shared));
        }
        found.lent += 1;
        if let Some(Idle { slot, .. }) = found.idle.pop() {
            slot.users.store(1, Ordering::Relaxed);
            slot.is_usable.store(false, Ordering::Relaxed);
            return taken(slot);
        }
        let generation = found.generation;
        let is_last_of_host = found.lent >= self.per_host_max;
        let n_slots = book.n_slots();
        if n_slots > self.all_max {
            gone.extend(book.oldest());
        }
        let underway = Underway::default();
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
        taken(Arc::new(Slot {
            client,
            host: Arc::clone(host),
            underway,
            generation,
            users: AtomicUsize::new(1),
            is_shared: AtomicBool::new(false),
            is_kept_open: AtomicBool::new(false),
            is_usable: AtomicBool::new(false),
            has_answered: AtomicBool::new(false),
        }))
    }

    /// Takes note of the beginning of an answer: what speaks HTTP/2 is shared from now on, and what
    /// does not is not.
    pub(super) fn answered(&self, taken: &Taken, version: Version, is_kept_open: bool) {
        let slot = &taken.slot;
        slot.has_answered.store(true, Ordering::Relaxed);
        slot.is_kept_open.store(is_kept_open, Ordering::Relaxed);
        slot.is_usable.store(false, Ordering::Relaxed);
        let is_http2 = self.is_enabled && version == Version::HTTP_2;
        if slot.is_shared.load(Ordering::Relaxed) == is_http2 {
            return;
        }
        let mut gone = Vec::new();
        let mut book = self.book();
        let host = book.host(&slot.host);
        if !is_http2 {
            slot.is_shared.store(false, Ordering::Relaxed);
            if host.is_shared(slot) {
                gone.extend(host.take_shared());
            }
        } else if host.shared.is_none() && slot.generation == host.generation {
            slot.is_shared.store(true, Ordering::Relaxed);
            host.lent -= 1;
            host.shared = Some(Arc::clone(slot));
            gone.extend(host.idle.drain(..).map(|idle| idle.slot));
        }
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
        let gone = (std::mem::take(&mut host.idle), host.take_shared());
        book.generations = next;
        drop(book);
        drop(gone);
        true
    }

    fn give_back(&self, slot: &Arc<Slot>) {
        let mut book = self.book();
        let host = book.host(&slot.host);
        let is_last = slot.users.fetch_sub(1, Ordering::Relaxed) == 1;
        if !is_last || host.is_shared(slot) {
            return;
        }
        host.lent -= 1;
        slot.underway.comes_back();
        let is_current = slot.generation == host.generation && host.shared.is_none();
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
