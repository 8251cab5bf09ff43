//! Places for the HTTP requests in flight that callers wait for: so many to all hosts together, so
//! many to one host.
//!
//! Outside of them are a few places for work in the background, which therefore never makes a caller
//! wait; WebSockets once they are open, which each set limits for itself (`sockets.rs`); and backends
//! (databases, Redis), which have pools of their own.
//!
//! reqwest opens as many connections as there are requests at once, so limiting requests limits
//! connections. (Over HTTP/2 many requests share one, and the limit is stricter than it needs to be.)

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::spec::Priority;
use super::stats::PermitStats;

/// Hosts with a limit of their own; they come from the configuration, so there are few.
const HOSTS_MAX: usize = 64;

/// The places of the whole process.
pub(super) struct Limits {
    all: Arc<Semaphore>,
    all_max: usize,
    hosts: Mutex<HashMap<Arc<str>, Arc<Semaphore>>>,
    per_host_max: usize,
    background: Arc<Semaphore>,
    background_max: usize,
}

/// One place; free again when dropped.
pub(super) struct Permit {
    _host: Option<OwnedSemaphorePermit>,
    _all: OwnedSemaphorePermit,
}

impl Limits {
    pub(super) fn new(all_max: usize, per_host_max: usize, background_max: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all_max)),
            all_max,
            hosts: Mutex::default(),
            per_host_max,
            background: Arc::new(Semaphore::new(background_max)),
            background_max,
        }
    }

    /// Waits for a place, first come first served.
    ///
    /// The host's place comes first: who waits for a busy host keeps no place from the others.
    ///
    /// Cancel safety: a dropped wait leaves the queue and takes nothing.
    pub(super) async fn acquire(&self, host: &Arc<str>, priority: Priority) -> Permit {
        match priority {
            Priority::Caller => Permit {
                _host: Some(acquire(self.host(host)).await),
                _all: acquire(Arc::clone(&self.all)).await,
            },
            Priority::Background => Permit {
                _host: None,
                _all: acquire(Arc::clone(&self.background)).await,
            },
        }
    }

    pub(super) fn stats(&self) -> PermitStats {
        let in_use =
            |places: &Semaphore, max: usize| max.saturating_sub(places.available_permits());
        PermitStats {
            max: self.all_max,
            in_use: in_use(&self.all, self.all_max),
            background_max: self.background_max,
            background_in_use: in_use(&self.background, self.background_max),
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
        let host = Arc::from(host);
        limits.acquire(&host, Priority::Caller).now_or_never()
    }

    #[test]
    fn work_in_the_background_has_few_places_and_takes_none_of_the_callers() {
        let limits = Limits::new(3, 2, 1);
        let host = Arc::from("a");
        let background = || limits.acquire(&host, Priority::Background).now_or_never();
        let held = background().unwrap();
        assert!(background().is_none(), "its only place is taken");
        let callers: Vec<_> = (0..2).map(|_| try_acquire(&limits, "a").unwrap()).collect();
        let stats = limits.stats();
        assert_eq!((stats.in_use, stats.background_in_use), (2, 1));
        drop(held);
        assert!(background().is_some(), "however many callers there are");
        drop(callers);
    }

    #[test]
    fn one_host_cannot_take_all_places() {
        let limits = Limits::new(3, 2, 1);
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
        let limits = Limits::new(1, 1, 1);
        let held = try_acquire(&limits, "a").unwrap();
        assert!(try_acquire(&limits, "b").is_none());
        assert!(try_acquire(&limits, "a").is_none());
        drop(held);
        assert_eq!(limits.stats().in_use, 0);
        assert!(try_acquire(&limits, "a").is_some());
    }

    #[test]
    fn the_number_of_hosts_is_bounded() {
        let limits = Limits::new(10, 2, 1);
        for n in 0..3 * HOSTS_MAX {
            drop(try_acquire(&limits, &format!("host-{n}")));
        }
        assert!(limits.hosts.lock().unwrap().len() <= HOSTS_MAX);
    }
}
