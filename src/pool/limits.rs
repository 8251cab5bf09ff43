//! Places for requests in flight: so many in all, so many to one host.
//!
//! reqwest opens as many connections as there are requests at once, so limiting requests limits
//! connections. (Over HTTP/2 many requests share one, and the limit is stricter than it needs to be.)

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::stats::PermitStats;

/// Hosts with a limit of their own; they come from the configuration, so there are few.
const HOSTS_MAX: usize = 64;

/// The places of the whole process.
pub(super) struct Limits {
    all: Arc<Semaphore>,
    all_max: usize,
    hosts: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
    per_host_max: usize,
}

/// One place; free again when dropped.
pub(super) struct Permit {
    _host: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

impl Limits {
    pub(super) fn new(all_max: usize, per_host_max: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all_max)),
            all_max,
            hosts: Mutex::default(),
            per_host_max,
        }
    }

    /// Waits for a place, first come first served.
    ///
    /// The host's place comes first: who waits for a busy host keeps no place from the others.
    ///
    /// Cancel safety: a dropped wait leaves the queue and takes nothing.
    pub(super) async fn acquire(&self, host: &Arc<str>) -> Permit {
        Permit {
            _host: acquire(self.host(host)).await,
            _all: acquire(Arc::clone(&self.all)).await,
        }
    }

    pub(super) fn stats(&self) -> PermitStats {
        PermitStats {
            max: self.all_max,
            in_use: self.all_max - self.all.available_permits().min(self.all_max),
        }
    }

    fn host(&self, host: &Arc<str>) -> Arc<Semaphore> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(host) {
            let is_busy = |_: &Arc<str>, places: &mut Arc<Semaphore>| {
                places.available_permits() < self.per_host_max
            };
            hosts.retain(is_busy);
        }
        let places = hosts
            .entry(Arc::clone(host))
            .or_insert_with(|| Arc::new(Semaphore::new(self.per_host_max)));
        Arc::clone(places)
    }
}

async fn acquire(places: Arc<Semaphore>) -> OwnedSemaphorePermit {
    places
        .acquire_owned()
        .await
        .expect("the pool never closes its semaphores")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn try_acquire(limits: &Limits, host: &str) -> Option<Permit> {
        limits.acquire(&Arc::from(host)).now_or_never()
    }

    #[test]
    fn one_host_cannot_take_all_places() {
        let limits = Limits::new(3, 2);
        let held: Vec<_> = (0..2).map(|_| try_acquire(&limits, "a").unwrap()).collect();
        assert!(
            try_acquire(&limits, "a").is_none(),
            "third place at one host"
        );
        let other = try_acquire(&limits, "b");
        assert!(other.is_some(), "the other host has a place");
        assert!(try_acquire(&limits, "c").is_none(), "fourth place in all");
        drop(held);
        assert!(try_acquire(&limits, "c").is_some());
    }

    #[test]
    fn who_gives_up_waiting_takes_nothing() {
        let limits = Limits::new(1, 1);
        let held = try_acquire(&limits, "a").unwrap();
        assert!(try_acquire(&limits, "b").is_none());
        assert!(try_acquire(&limits, "a").is_none());
        drop(held);
        assert_eq!(limits.stats().in_use, 0);
        assert!(try_acquire(&limits, "a").is_some());
    }

    #[test]
    fn the_number_of_hosts_is_bounded() {
        let limits = Limits::new(10, 2);
        for n in 0..3 * HOSTS_MAX {
            drop(try_acquire(&limits, &format!("host-{n}")));
        }
        assert!(limits.hosts.lock().unwrap().len() <= HOSTS_MAX);
    }
}
