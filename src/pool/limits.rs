//! Places for HTTP requests in flight: so many to all hosts together, so many to one host.
//!
//! Work in the background has few of them: not more than `background_max`, and no more than half of
//! what there is (but for a limit of one), so that callers find the rest. Outside of all are
//! WebSockets once they are open, which each set limits for itself (`sockets.rs`); what the MCP library
//! sends by itself; and backends (databases, Redis), which have pools of their own.
//!
//! A request in flight has one connection at most (`slots.rs`), so limiting requests limits those.
//! (Over HTTP/2 many requests share one, and the limit is stricter than it needs to be.)

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::config::Config;
use super::spec::Priority;
use super::stats::PermitStats;

/// Hosts with a limit of their own; they come from the configuration, so there are few.
const HOSTS_MAX: usize = 64;

/// The places of the whole process.
pub(super) struct Limits {
    all: Places,
    per_host: Size,
    hosts: Mutex<HashMap<Arc<str>, Arc<Places>>>,
}

/// How many places there are.
#[derive(Clone, Copy)]
struct Size {
    all: usize,
    background: usize,
}

impl Size {
    fn new(all: usize, background_max: usize) -> Self {
        Self {
            all,
            background: background_max.min((all / 2).max(1)),
        }
    }
}

/// Places that callers and work in the background share.
struct Places {
    size: Size,
    all: Arc<Semaphore>,
    background: Arc<Semaphore>,
}

impl Places {
    fn new(size: Size) -> Self {
        Self {
            size,
            all: Arc::new(Semaphore::new(size.all)),
            background: Arc::new(Semaphore::new(size.background)),
        }
    }

    fn is_idle(&self) -> bool {
        self.all.available_permits() == self.size.all
    }
}

/// One place; free again when dropped.
pub(super) struct Permit {
    _places: [OwnedSemaphorePermit; 2],
    _background: Option<[OwnedSemaphorePermit; 2]>,
}

impl Limits {
    pub(super) fn new(config: &Config) -> Self {
        let size = |all| Size::new(all, config.background_max);
        Self {
            all: Places::new(size(config.connections_max)),
            per_host: size(config.connections_per_host_max),
            hosts: Mutex::default(),
        }
    }

    /// Waits for a place, first come first served.
    ///
    /// The host's place comes first: who waits for a busy host keeps none from those who ask others.
    /// (Work in the background does keep its places from other such work, which has time.)
    ///
    /// Cancel safety: a dropped wait leaves the queue and takes nothing.
    pub(super) async fn acquire(&self, host: &Arc<str>, priority: Priority) -> Permit {
        let host = self.host(host);
        let background = match priority {
            Priority::Caller => None,
            Priority::Background => Some([
                acquire(&host.background).await,
                acquire(&self.all.background).await,
            ]),
        };
        let places = [acquire(&host.all).await, acquire(&self.all.all).await];
        Permit {
            _places: places,
            _background: background,
        }
    }

    pub(super) fn stats(&self) -> PermitStats {
        let in_use =
            |places: &Semaphore, max: usize| max.saturating_sub(places.available_permits());
        let Places {
            size,
            all,
            background,
        } = &self.all;
        PermitStats {
            max: size.all,
            in_use: in_use(all, size.all),
            background_max: size.background,
            background_in_use: in_use(background, size.background),
        }
    }

    fn host(&self, host: &Arc<str>) -> Arc<Places> {
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if hosts.len() >= HOSTS_MAX && !hosts.contains_key(host) {
            let is_needed =
                |places: &Arc<Places>| Arc::strong_count(places) > 1 || !places.is_idle();
            hosts.retain(|_, places| is_needed(places));
        }
        let places = hosts
            .entry(Arc::clone(host))
            .or_insert_with(|| Arc::new(Places::new(self.per_host)));
        Arc::clone(places)
    }
}

async fn acquire(places: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    Arc::clone(places)
        .acquire_owned()
        .await
        .expect("the pool never closes its semaphores")
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn limits(all: usize, per_host: usize, background: usize) -> Limits {
        Limits::new(&Config {
            connections_max: all,
            connections_per_host_max: per_host,
            background_max: background,
            ..Config::default()
        })
    }

    fn try_acquire(limits: &Limits, host: &str) -> Option<Permit> {
        let host = Arc::from(host);
        limits.acquire(&host, Priority::Caller).now_or_never()
    }

    fn try_acquire_behind(limits: &Limits, host: &str) -> Option<Permit> {
        let host = Arc::from(host);
        limits.acquire(&host, Priority::Background).now_or_never()
    }

    #[test]
    fn work_in_the_background_has_few_places_within_the_limits() {
        let limits = limits(9, 4, 3);
        let held: Vec<_> = (0..2)
            .map(|_| try_acquire_behind(&limits, "a").unwrap())
            .collect();
        assert!(try_acquire_behind(&limits, "a").is_none(), "half of a's");
        let other = try_acquire_behind(&limits, "b").unwrap();
        assert!(
            try_acquire_behind(&limits, "b").is_none(),
            "all that it has"
        );
        let callers: Vec<_> = (0..2).map(|_| try_acquire(&limits, "a").unwrap()).collect();
        assert!(try_acquire(&limits, "a").is_none(), "a has four places");
        let stats = limits.stats();
        assert_eq!((stats.in_use, stats.background_in_use), (5, 3));
        drop((held, other));
        let stats = limits.stats();
        assert_eq!((stats.in_use, stats.background_in_use), (2, 0));
        drop(callers);
    }

    #[test]
    fn where_there_is_one_place_work_in_the_background_may_have_it() {
        let limits = limits(1, 1, 8);
        assert!(try_acquire_behind(&limits, "a").is_some());
    }

    #[test]
    fn one_host_cannot_take_all_places() {
        let limits = limits(3, 2, 1);
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
        let limits = limits(1, 1, 1);
        let held = try_acquire(&limits, "a").unwrap();
        assert!(try_acquire(&limits, "b").is_none());
        assert!(try_acquire(&limits, "a").is_none());
        drop(held);
        assert_eq!(limits.stats().in_use, 0);
        assert!(try_acquire(&limits, "a").is_some());
    }

    #[test]
    fn the_number_of_hosts_is_bounded() {
        let limits = limits(10, 2, 1);
        for n in 0..3 * HOSTS_MAX {
            drop(try_acquire(&limits, &format!("host-{n}")));
        }
        assert!(limits.hosts.lock().unwrap().len() <= HOSTS_MAX);
    }
}
