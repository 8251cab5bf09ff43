//! Which connections there are: every one is noted by the connector when it opens and by each
//! answer it carries.
//!
//! reqwest does not let anybody wrap its connections, so their end is not seen here; which of them
//! are still open is read from the kernel's table (`socket_table.rs`) when somebody asks, at each
//! look of the health monitor and when too many are remembered.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use hyper_util::client::legacy::connect::HttpInfo;
use serde::Serialize;

use super::socket_table::{Key, established};
use crate::error::Service;

/// Connections remembered before those that are gone are looked for: above what is open at once.
const REMEMBERED_MAX: usize = 4096;

/// Connections of one service or of all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ConnectionStats {
    /// Opened since the process started. A service counts a connection from its first answer on.
    pub opened: u64,
    /// Requests that travelled on a connection which had carried one before.
    pub reused: u64,
    /// Closed again; `None` where the system cannot be asked.
    pub closed: Option<u64>,
    /// Open now; `None` where the system cannot be asked.
    pub open: Option<u64>,
    /// Attempts to connect that failed; counted for all services together.
    pub failed: u64,
}

/// The book of connections; clones share it.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    all: Counts,
    services: HashMap<Service, Counts>,
    live: HashMap<Key, Option<Service>>,
    /// How many of them were open at the last look.
    open: usize,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    opened: u64,
    reused: u64,
    closed: u64,
    failed: u64,
}

impl Ledger {
    /// Notes that `service` got an answer over the connection described by `info`.
    pub(super) fn answered(&self, service: Service, info: &HttpInfo) {
        self.carried(service, (info.local_addr(), info.remote_addr()));
    }

    /// Notes a connection between these addresses, local and remote. Within a Tokio runtime, which
    /// looks for those that are gone when there are too many.
    pub(super) fn opened(&self, key: Key) {
        let mut book = self.lock();
        book.all.opened += 1;
        if let Some(previous) = book.live.remove(&key) {
            // The system gave the same local port again, so the earlier connection is gone.
            book.close(previous);
        }
        book.live.insert(key, None);
        if book.is_full() {
            // Nobody else needs to look meanwhile.
            book.open = book.live.len();
            drop(book);
            self.look();
        }
    }

    /// Has those that are gone counted as closed, in the background. Within a Tokio runtime.
    pub(super) fn look(&self) {
        let ledger = self.clone();
        tokio::task::spawn_blocking(move || ledger.observe());
    }

    /// Notes an attempt to connect that failed.
    pub(super) fn failed(&self) {
        self.lock().all.failed += 1;
    }

    /// Notes that a connection served `service` once (more).
    pub(super) fn carried(&self, service: Service, key: Key) {
        let mut book = self.lock();
        let owner = book.live.entry(key).or_default();
        if owner.is_none() {
            *owner = Some(service);
            book.services.entry(service).or_default().opened += 1;
        } else {
            book.all.reused += 1;
            book.services.entry(service).or_default().reused += 1;
        }
    }

    /// The numbers of all services and of each, after a look at the kernel's table.
    ///
    /// Reads files: not for the async runtime's threads.
    pub(super) fn observe(&self) -> (ConnectionStats, HashMap<Service, ConnectionStats>) {
        // One that opens while the table is read may not be in it.
        let known = self.known();
        self.reconcile(&known, established().as_ref())
    }

    fn known(&self) -> Vec<Key> {
        self.lock().live.keys().copied().collect()
    }

    /// Takes `known` connections that are not `established` as closed.
    fn reconcile(
        &self,
        known: &[Key],
        established: Option<&HashSet<Key>>,
    ) -> (ConnectionStats, HashMap<Service, ConnectionStats>) {
        let mut book = self.lock();
        match established {
            Some(established) => {
                for key in known.iter().filter(|key| !established.contains(key)) {
                    if let Some(owner) = book.live.remove(key) {
                        book.close(owner);
                    }
                }
            }
            // Nobody is told how many are open or closed.
            None if book.live.len() >= REMEMBERED_MAX => book.live.clear(),
            None => {}
        }
        book.open = book.live.len();
        let is_known = established.is_some();
        let open = |service: Option<Service>| {
            let is_of = |owner: &&Option<Service>| service.is_none() || **owner == service;
            book.live.values().filter(is_of).count() as u64
        };
        let all = book.all.stats(is_known.then(|| open(None)));
        let services = book
            .services
            .iter()
            .map(|(service, counts)| {
                (
                    *service,
                    counts.stats(is_known.then(|| open(Some(*service)))),
                )
            })
            .collect();
        (all, services)
    }

    #[cfg(test)]
    pub(super) fn n_remembered(&self) -> usize {
        self.lock().live.len()
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Whether it is time to look: however many are really open, not at each that opens.
    fn is_full(&self) -> bool {
        self.live.len() >= REMEMBERED_MAX.max(2 * self.open)
    }

    fn close(&mut self, owner: Option<Service>) {
        self.all.closed += 1;
        if let Some(service) = owner {
            self.services.entry(service).or_default().closed += 1;
        }
    }
}

impl Counts {
    fn stats(self, open: Option<u64>) -> ConnectionStats {
        ConnectionStats {
            opened: self.opened,
            reused: self.reused,
            closed: open.map(|_| self.closed),
            open,
            failed: self.failed,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    #[cfg(target_os = "linux")]
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    fn key(port: u16) -> Key {
        (
            SocketAddr::from(([127, 0, 0, 1], port)),
            SocketAddr::from(([127, 0, 0, 1], 80)),
        )
    }

    fn reconciled(
        ledger: &Ledger,
        established: Option<&HashSet<Key>>,
    ) -> (ConnectionStats, HashMap<Service, ConnectionStats>) {
        ledger.reconcile(&ledger.known(), established)
    }

    #[test]
    fn a_connection_is_new_once_and_reused_ever_after() {
        let ledger = Ledger::default();
        ledger.opened(key(1));
        for _ in 0..3 {
            ledger.carried(Service::OpenAi, key(1));
        }
        let (all, services) = reconciled(&ledger, Some(&HashSet::from([key(1)])));
        assert_eq!((all.opened, all.reused, all.open), (1, 2, Some(1)));
        assert_eq!(services[&Service::OpenAi].opened, 1);
        assert_eq!(services[&Service::OpenAi].reused, 2);
    }

    #[test]
    fn a_connection_the_kernel_no_longer_has_is_closed() {
        let ledger = Ledger::default();
        ledger.opened(key(1));
        ledger.opened(key(2));
        ledger.carried(Service::OpenAi, key(1));
        let (all, services) = reconciled(&ledger, Some(&HashSet::from([key(2)])));
        assert_eq!((all.open, all.closed), (Some(1), Some(1)));
        assert_eq!(services[&Service::OpenAi].closed, Some(1));
    }

    #[test]
    fn a_port_used_again_means_the_earlier_connection_is_closed() {
        let ledger = Ledger::default();
        ledger.opened(key(1));
        ledger.opened(key(1));
        let (all, _) = reconciled(&ledger, Some(&HashSet::from([key(1)])));
        assert_eq!((all.opened, all.closed, all.open), (2, Some(1), Some(1)));
    }

    #[test]
    fn what_cannot_be_known_is_not_guessed() {
        let ledger = Ledger::default();
        ledger.opened(key(1));
        let (all, _) = reconciled(&ledger, None);
        assert_eq!((all.opened, all.open, all.closed), (1, None, None));
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn too_many_make_those_that_are_gone_count_as_closed_and_no_others() {
        let ledger = Ledger::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        let stream = stream.unwrap();
        let open = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
        ledger.opened(open);
        ledger.carried(Service::OpenAi, open);
        for n in 1..REMEMBERED_MAX {
            ledger.opened(key(u16::try_from(n).unwrap()));
        }
        while ledger.n_remembered() > 1 {
            tokio::task::yield_now().await;
        }
        ledger.carried(Service::OpenAi, open);
        let (all, services) = ledger.observe();
        assert_eq!((all.opened, all.open), (REMEMBERED_MAX as u64, Some(1)));
        assert_eq!(all.closed, Some(REMEMBERED_MAX as u64 - 1));
        let service = services[&Service::OpenAi];
        assert_eq!((service.opened, service.reused), (1, 1));
    }

    #[test]
    fn one_that_opens_during_the_look_is_not_gone() {
        let ledger = Ledger::default();
        ledger.opened(key(1));
        let known = ledger.known();
        ledger.opened(key(2));
        let (all, _) = ledger.reconcile(&known, Some(&HashSet::new()));
        assert_eq!((all.open, all.closed), (Some(1), Some(1)));
    }

    #[test]
    fn where_nothing_is_known_the_book_is_bounded_all_the_same() {
        let ledger = Ledger::default();
        for n in 1..=REMEMBERED_MAX {
            ledger.carried(Service::OpenAi, key(u16::try_from(n).unwrap()));
        }
        reconciled(&ledger, None);
        assert_eq!(ledger.n_remembered(), 0);
    }
}
