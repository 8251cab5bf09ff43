//! The connections of the HTTP port, and which of them gives way when there are too many. Plain code.
//!
//! **Invariant:** an address with few connections never gives way to one with many, so a flood from
//! some addresses cannot shut out a probe from another.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Bits of an IPv6 address that a site has for itself: it may use as many addresses as it likes.
const SITE_BITS: u32 = 64;

/// Where a connection comes from: an IPv4 address or an IPv6 network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source(IpAddr);

impl From<IpAddr> for Source {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => {
                let network = v6.to_bits() & (u128::MAX << SITE_BITS);
                Ipv6Addr::from_bits(network).into()
            }
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// How far a connection is; the first gives way first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// No request has arrived yet.
    New,
    /// The last request was answered.
    Idle,
    /// A request is being answered.
    Serving,
}

#[derive(Debug)]
struct Connection {
    source: Source,
    phase: Phase,
    since: Instant,
    displaced: CancellationToken,
}

/// What becomes of a new connection.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// It is in under this number; one that gave way ends.
    Open { id: u64, has_displaced: bool },
    /// There is no connection that should give way to it.
    Refused,
}

/// The open connections.
#[derive(Debug)]
pub(super) struct Connections {
    connections_max: usize,
    open: HashMap<u64, Connection>,
    next_id: u64,
}

impl Connections {
    pub(super) fn new(connections_max: usize) -> Self {
        Self {
            connections_max,
            open: HashMap::new(),
            next_id: 0,
        }
    }

    /// How many are open.
    pub(super) fn len(&self) -> usize {
        self.open.len()
    }

    /// Takes a new connection in; `displaced` is cancelled when it has to give way.
    pub(super) fn open(
        &mut self,
        source: Source,
        displaced: CancellationToken,
        now: Instant,
    ) -> Entry {
        let is_full = self.open.len() >= self.connections_max;
        if is_full {
            let Some(victim) = self.gives_way_to(source) else {
                return Entry::Refused;
            };
            if let Some(victim) = self.open.remove(&victim) {
                victim.displaced.cancel();
            }
        }
        let id = self.next_id;
        self.next_id += 1;
        let connection = Connection {
            source,
            phase: Phase::New,
            since: now,
            displaced,
        };
        self.open.insert(id, connection);
        Entry::Open {
            id,
            has_displaced: is_full,
        }
    }

    /// Records that a connection has come so far.
    pub(super) fn set_phase(&mut self, id: u64, phase: Phase, now: Instant) {
        if let Some(connection) = self.open.get_mut(&id) {
            (connection.phase, connection.since) = (phase, now);
        }
    }

    /// Since when a connection is as far as it is; `None` when it is closed.
    pub(super) fn since(&self, id: u64) -> Option<Instant> {
        self.open.get(&id).map(|connection| connection.since)
    }

    /// How far a connection is; `None` when it is closed.
    pub(super) fn phase(&self, id: u64) -> Option<Phase> {
        self.open.get(&id).map(|connection| connection.phase)
    }

    /// Forgets a connection that has ended.
    pub(super) fn close(&mut self, id: u64) {
        self.open.remove(&id);
    }

    /// The connection that gives way to a new one: of the source with the most, the new one's own if it
    /// is among these, the one that has done nothing for the longest time. A request that is being
    /// answered is only broken off for a source that has far fewer connections.
    fn gives_way_to(&self, newcomer: Source) -> Option<u64> {
        let mut counts: HashMap<Source, usize> = HashMap::new();
        for connection in self.open.values() {
            *counts.entry(connection.source).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or(0);
        let own = counts.get(&newcomer).copied().unwrap_or(0);
        let may_break_off = most > own + 1;
        let gives_way = |connection: &Connection| {
            let is_of_the_most = match own == most {
                true => connection.source == newcomer,
                false => counts.get(&connection.source) == Some(&most),
            };
            is_of_the_most && (may_break_off || connection.phase != Phase::Serving)
        };
        let open = self.open.iter().filter(|(_, it)| gives_way(it));
        let (id, _) = open.min_by_key(|(id, it)| (it.phase, it.since, **id))?;
        Some(*id)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// A port with two connections at most, and its clock.
    struct Port {
        connections: Connections,
        now: Instant,
        displaced: HashMap<u64, CancellationToken>,
    }

    impl Port {
        fn new(connections_max: usize) -> Self {
            Self {
                connections: Connections::new(connections_max),
                now: Instant::now(),
                displaced: HashMap::new(),
            }
        }

        fn open(&mut self, address: &str) -> Option<u64> {
            self.now += Duration::from_millis(1);
            let displaced = CancellationToken::new();
            let source = Source::from(address.parse::<IpAddr>().unwrap());
            match self.connections.open(source, displaced.clone(), self.now) {
                Entry::Open { id, .. } => {
                    self.displaced.insert(id, displaced);
                    Some(id)
                }
                Entry::Refused => None,
            }
        }

        fn phase(&mut self, id: u64, phase: Phase) {
            self.now += Duration::from_millis(1);
            self.connections.set_phase(id, phase, self.now);
        }

        fn gave_way(&self) -> Vec<u64> {
            let mut ids: Vec<u64> = self
                .displaced
                .iter()
                .filter(|(_, displaced)| displaced.is_cancelled())
                .map(|(id, _)| *id)
                .collect();
            ids.sort_unstable();
            ids
        }
    }

    #[test]
    fn a_flood_makes_way_for_others_and_for_itself() {
        let mut port = Port::new(4);
        let operator = port.open("10.0.0.1").unwrap();
        port.phase(operator, Phase::Idle);
        for _ in 0..50 {
            port.open("10.0.0.2").unwrap();
        }
        assert_eq!(port.connections.len(), 4);
        let probe = port.open("10.0.0.3").unwrap();
        for _ in 0..50 {
            port.open("10.0.0.2").unwrap();
        }
        let gave_way = port.gave_way();
        assert!(!gave_way.contains(&operator) && !gave_way.contains(&probe));
        assert_eq!(gave_way.len(), 98, "102 connections, of which 4 are open");
    }

    #[test]
    fn of_one_address_the_connection_without_a_request_gives_way_then_the_idle_one() {
        let mut port = Port::new(3);
        let serving = port.open("10.0.0.1").unwrap();
        let idle = port.open("10.0.0.1").unwrap();
        let new = port.open("10.0.0.1").unwrap();
        port.phase(serving, Phase::Serving);
        port.phase(idle, Phase::Idle);
        let next = port.open("10.0.0.1").unwrap();
        assert_eq!(port.gave_way(), [new]);
        port.phase(next, Phase::Serving);
        let last = port.open("10.0.0.1").unwrap();
        assert_eq!(port.gave_way(), [idle, new]);
        port.phase(last, Phase::Serving);
        assert_eq!(port.open("10.0.0.1"), None, "each is being answered");
    }

    #[test]
    fn requests_of_one_address_do_not_shut_out_another() {
        let mut port = Port::new(3);
        for _ in 0..3 {
            let held = port.open("10.0.0.1").unwrap();
            port.phase(held, Phase::Serving);
        }
        assert!(port.open("10.0.0.2").is_some());
        assert_eq!(port.gave_way(), [0], "the oldest");
        assert_eq!(
            port.open("10.0.0.2"),
            None,
            "no request is broken off for a draw"
        );
    }

    #[test]
    fn a_network_counts_as_one_address() {
        let mut port = Port::new(3);
        let other = port.open("2001:db8:1::1").unwrap();
        for host in 1..20 {
            port.open(&format!("2001:db8:2::{host}")).unwrap();
        }
        port.open("::ffff:10.0.0.1").unwrap();
        port.open("10.0.0.1").unwrap();
        assert!(!port.gave_way().contains(&other));
        assert_eq!(
            Source::from("::ffff:10.0.0.1".parse::<IpAddr>().unwrap())
                .0
                .to_string(),
            "10.0.0.1"
        );
    }

    #[test]
    fn a_closed_connection_leaves_its_place() {
        let mut port = Port::new(1);
        let first = port.open("10.0.0.1").unwrap();
        port.connections.close(first);
        assert_eq!(port.connections.since(first), None);
        port.open("10.0.0.2").unwrap();
        assert_eq!(port.gave_way(), Vec::<u64>::new());
    }
}
