//! Which slots there are, by host: those that are idle, lent and shared. Plain code.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::connector::Underway;

/// Hosts remembered before those without a connection are forgotten.
pub(super) const HOSTS_MAX: usize = 64;

/// A client that keeps one connection.
pub(super) struct Slot {
    pub(super) client: reqwest::Client,
    pub(super) host: Arc<str>,
    pub(super) underway: Underway,
    /// Which of its host's: those of an earlier one are not kept.
    pub(super) generation: u64,
    /// Requests that have it; written with the book's lock.
    pub(super) users: AtomicUsize,
    pub(super) is_shared: AtomicBool,
    /// Whether the connection can be used again once the answer has been read.
    pub(super) is_kept_open: AtomicBool,
    /// Whether it can be used again now.
    pub(super) is_usable: AtomicBool,
    /// Whether any answer came over it: before that, no failure can be a stale socket's.
    pub(super) has_answered: AtomicBool,
}

#[derive(Default)]
pub(super) struct Book {
    pub(super) hosts: HashMap<Arc<str>, Host>,
    pub(super) generations: u64,
}

#[derive(Default)]
pub(super) struct Host {
    pub(super) generation: u64,
    /// In the order in which they were returned.
    pub(super) idle: Vec<Idle>,
    /// Those in use, but for the shared ones.
    pub(super) lent: usize,
    /// Those of all requests, where the host speaks HTTP/2; the first that has room is taken.
    pub(super) shared: Vec<Idle>,
    /// Whether it answered over HTTP/2 last.
    pub(super) is_http2: bool,
}

pub(super) struct Idle {
    pub(super) slot: Arc<Slot>,
    pub(super) since: Instant,
}

impl Slot {
    /// Takes note that an answer has been read to its end.
    pub(super) fn note_read(&self) {
        let is_kept_open = self.is_kept_open.load(Ordering::Relaxed);
        self.is_usable.store(is_kept_open, Ordering::Relaxed);
    }
}

impl Host {
    pub(super) fn n_slots(&self) -> usize {
        self.idle.len() + self.lent + self.shared.len()
    }

    pub(super) fn shared(&mut self, slot: &Arc<Slot>) -> Option<&mut Idle> {
        self.shared
            .iter_mut()
            .find(|it| Arc::ptr_eq(&it.slot, slot))
    }

    /// The shared one that has room for one more request.
    pub(super) fn with_room(&self, streams_max: usize) -> Option<&Arc<Slot>> {
        let mut slots = self.shared.iter().map(|it| &it.slot);
        slots.find(|slot| slot.users.load(Ordering::Relaxed) < streams_max)
    }

    /// Takes out shared ones, which count as lent while they are in use.
    pub(super) fn take_shared(&mut self, is_it: impl Fn(&Arc<Slot>) -> bool) -> Vec<Arc<Slot>> {
        let taken: Vec<_> = (self.shared.extract_if(.., |it| is_it(&it.slot)))
            .map(|it| it.slot)
            .collect();
        let in_use = taken
            .iter()
            .filter(|it| it.users.load(Ordering::Relaxed) > 0);
        self.lent += in_use.count();
        taken
    }
}

impl Book {
    pub(super) fn host(&mut self, host: &Arc<str>) -> &mut Host {
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
    pub(super) fn expired(&mut self, idle_timeout: Duration) -> Vec<Arc<Slot>> {
        let is_old = |it: &mut Idle| {
            let is_unused = !it.slot.is_shared.load(Ordering::Relaxed)
                || it.slot.users.load(Ordering::Relaxed) == 0;
            is_unused && it.since.elapsed() >= idle_timeout
        };
        let mut expired = Vec::new();
        for host in self.hosts.values_mut() {
            expired.extend(host.idle.extract_if(.., is_old));
            expired.extend(host.shared.extract_if(.., is_old));
        }
        expired.into_iter().map(|idle| idle.slot).collect()
    }

    /// Takes out what has been idle for longest, else what could be shared and nobody uses.
    pub(super) fn oldest(&mut self) -> Option<Arc<Slot>> {
        let hosts = self.hosts.values_mut().filter(|host| !host.idle.is_empty());
        if let Some(host) = hosts.min_by_key(|host| host.idle[0].since) {
            return Some(host.idle.remove(0).slot);
        }
        let is_unused = |it: &Idle| it.slot.users.load(Ordering::Relaxed) == 0;
        self.hosts.values_mut().find_map(|host| {
            let unused = host.shared.iter().position(is_unused)?;
            Some(host.shared.remove(unused).slot)
        })
    }

    pub(super) fn n_slots(&self) -> usize {
        self.hosts.values().map(Host::n_slots).sum()
    }
}
