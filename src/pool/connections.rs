//! Which connections there are: every one is noted by the connector when it opens and by each
//! answer it carries.
//!
//! reqwest does not let anybody wrap its connections, so their end is not seen here; which of them
//! are still open is read from the kernel's table when somebody asks (Linux; unknown elsewhere).

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use serde::Serialize;

use crate::error::Service;

/// Connections remembered at most: far above what the permits allow to be open at once.
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

/// Local and remote address: one connection.
type Key = (SocketAddr, SocketAddr);

/// The book of connections; clones share it.
#[derive(Clone, Default)]
pub(super) struct Ledger(Arc<Mutex<Book>>);

#[derive(Default)]
struct Book {
    all: Counts,
    services: HashMap<Service, Counts>,
    live: HashMap<Key, Option<Service>>,
}

#[derive(Clone, Copy, Default)]
struct Counts {
    opened: u64,
    reused: u64,
    closed: u64,
    failed: u64,
}

impl Ledger {
    /// The layer that notes every connection as it opens.
    pub(super) fn layer(&self) -> LedgerLayer {
        LedgerLayer(self.clone())
    }

    /// Notes that `service` got an answer over the connection described by `info`.
    pub(super) fn answered(&self, service: Service, info: &HttpInfo) {
        self.carried(service, (info.local_addr(), info.remote_addr()));
    }

    /// Notes a connection between these addresses, local and remote.
    pub(super) fn opened(&self, key: Key) {
        let mut book = self.lock();
        book.all.opened += 1;
        if let Some(previous) = book.live.remove(&key) {
            // The system gave the same local port again, so the earlier connection is gone.
            book.close(previous);
        }
        if book.live.len() >= REMEMBERED_MAX {
            book.live.clear();
        }
        book.live.insert(key, None);
    }

    fn failed(&self) {
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
        self.reconcile(established().as_ref())
    }

    fn reconcile(
        &self,
        established: Option<&HashSet<Key>>,
    ) -> (ConnectionStats, HashMap<Service, ConnectionStats>) {
        let mut book = self.lock();
        if let Some(established) = established {
            let gone: Vec<Key> = book
                .live
                .keys()
                .filter(|key| !established.contains(key))
                .copied()
                .collect();
            for key in gone {
                if let Some(owner) = book.live.remove(&key) {
                    book.close(owner);
                }
            }
        }
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

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
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

/// Wraps reqwest's connector; see [`Ledger::layer`].
#[derive(Clone)]
pub(super) struct LedgerLayer(Ledger);

impl<S> tower::Layer<S> for LedgerLayer {
    type Service = LedgerConnector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        LedgerConnector {
            inner,
            ledger: self.0.clone(),
        }
    }
}

/// A connector that notes what it opened.
#[derive(Clone)]
pub(super) struct LedgerConnector<S> {
    inner: S,
    ledger: Ledger,
}

impl<S, Destination> tower::Service<Destination> for LedgerConnector<S>
where
    S: tower::Service<Destination>,
    S::Response: Connection + Send + 'static,
    S::Error: Send + 'static,
    S::Future: Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<S::Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, destination: Destination) -> Self::Future {
        let connecting = self.inner.call(destination);
        let ledger = self.ledger.clone();
        Box::pin(async move {
            let result = connecting.await;
            match &result {
                Ok(connection) => {
                    let mut extensions = http::Extensions::new();
                    connection.connected().get_extras(&mut extensions);
                    if let Some(info) = extensions.get::<HttpInfo>() {
                        ledger.opened((info.local_addr(), info.remote_addr()));
                    }
                }
                Err(_) => ledger.failed(),
            }
            result
        })
    }
}

/// The established TCP connections of this network namespace; `None` where there is no such table.
fn established() -> Option<HashSet<Key>> {
    let v4 = std::fs::read_to_string("/proc/self/net/tcp").ok()?;
    let v6 = std::fs::read_to_string("/proc/self/net/tcp6").unwrap_or_default();
    Some(parse_table(&v4).chain(parse_table(&v6)).collect())
}

/// Reads the kernel's socket table: one line per socket after a heading, with local address, remote
/// address and state in the second to fourth column.
///
/// Source: Linux `Documentation/networking/proc_net_tcp.rst`; state 01 is ESTABLISHED.
fn parse_table(table: &str) -> impl Iterator<Item = Key> {
    table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(1);
        let (local, remote, state) = (columns.next()?, columns.next()?, columns.next()?);
        (state == "01").then_some(())?;
        Some((parse_address(local)?, parse_address(remote)?))
    })
}

/// `0100007F:1F90`: words of the address in the machine's byte order, then the port as a number.
fn parse_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |index: usize| {
        let digits = address.get(8 * index..8 * (index + 1))?;
        Some(u32::from_str_radix(digits, 16).ok()?.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(word(0)?)),
        32 => {
            let mut bytes = [0; 16];
            for (index, chunk) in bytes.chunks_exact_mut(4).enumerate() {
                chunk.copy_from_slice(&word(index)?);
            }
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    fn key(port: u16) -> Key {
        (
            SocketAddr::from(([127, 0, 0, 1], port)),
            SocketAddr::from(([127, 0, 0, 1], 80)),
        )
    }

    #[test]
    fn a_connection_is_new_once_and_reused_ever_after() {
        let ledger = Ledger::default();
        ledger.opened(key(1));
        for _ in 0..3 {
            ledger.carried(Service::OpenAi, key(1));
        }
        let (all, services) = ledger.reconcile(Some(&HashSet::from([key(1)])));
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
        let (all, services) = ledger.reconcile(Some(&HashSet::from([key(2)])));
        assert_eq!((all.open, all.closed), (Some(1), Some(1)));
        assert_eq!(services[&Service::OpenAi].closed, Some(1));
    }

    #[test]
    fn a_port_used_again_means_the_earlier_connection_is_closed() {
        let ledger = Ledger::default();
        ledger.opened(key(1));
        ledger.opened(key(1));
        let (all, _) = ledger.reconcile(Some(&HashSet::from([key(1)])));
        assert_eq!((all.opened, all.closed, all.open), (2, Some(1), Some(1)));
    }

    #[test]
    fn what_cannot_be_known_is_not_guessed() {
        let ledger = Ledger::default();
        ledger.opened(key(1));
        let (all, _) = ledger.reconcile(None);
        assert_eq!((all.opened, all.open, all.closed), (1, None, None));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_kernels_table_shows_a_real_connection_until_it_is_closed() {
        for host in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(listener) = TcpListener::bind(host) else {
                continue; // no such address family on this machine
            };
            let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let key = (stream.local_addr().unwrap(), stream.peer_addr().unwrap());
            assert!(established().unwrap().contains(&key), "{host} not found");
            drop(stream);
            assert!(!established().unwrap().contains(&key), "{host} still there");
        }
    }

    proptest! {
        #[test]
        fn any_table_is_read_without_panic(table in "(?s).{0,400}") {
            parse_table(&table).for_each(drop);
        }

        #[test]
        fn any_line_of_columns_is_read_without_panic(
            columns in proptest::collection::vec("[0-9A-F:é]{0,40}", 0..6)
        ) {
            parse_table(&format!("heading\n{}", columns.join(" "))).for_each(drop);
        }
    }
}
