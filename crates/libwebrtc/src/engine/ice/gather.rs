//! Collects own addresses: which, in what order, and when that is done.

use std::{net::SocketAddr, sync::Weak, time::Instant};

use str0m::{
    Candidate,
    net::{Protocol, TcpType, Transmit},
};

use super::{
    Link, host,
    probe::Probe,
    relay,
    server::{Kind, Server},
    tcp,
};
use crate::{
    engine::{RUNTIME, callbacks::Notice, connection::Connection, state::State},
    peer_connection::{IceCandidateError, IceGatheringState},
    peer_connection_factory::IceTransportsType,
};

/// How the collection of own addresses stands.
pub(crate) struct Gathering {
    pub(crate) state: IceGatheringState,
    /// Questions to STUN servers that are open.
    probes: Vec<Probe>,
    /// Servers that are being looked up or asked for a relay.
    servers_open: usize,
}

impl Default for Gathering {
    fn default() -> Self {
        Self {
            state: IceGatheringState::New,
            probes: vec![],
            servers_open: 0,
        }
    }
}

impl Gathering {
    pub(crate) fn is_probing(&self) -> bool {
        !self.probes.is_empty()
    }
}

/// STUN's own code for "the server was not reached" (W3C webrtc-pc,
/// RTCPeerConnectionIceErrorEvent).
const NOT_REACHED: i32 = 701;

/// The addresses that TCP is tried from, the likeliest: each is a socket for each of the peer's.
const TCP_ADDRESSES_MAX: usize = 4;

impl Connection {
    /// Begins to collect own addresses, once.
    pub(crate) fn gather(&self, state: &mut State) {
        if state.gathering.state != IceGatheringState::New {
            return;
        }
        state.set_gathering(IceGatheringState::Gathering);
        let policy = state.config.ice_transport_type;
        let runtime = RUNTIME.enter();
        for (nth, socket) in host::open_sockets().into_iter().enumerate() {
            if policy == IceTransportsType::All {
                add(state, Candidate::host(socket.local, "udp"));
            }
            if policy == IceTransportsType::All && nth < TCP_ADDRESSES_MAX {
                let active = tcp::active_address(socket.local);
                let builder = Candidate::builder()
                    .tcp()
                    .host(active)
                    .tcptype(TcpType::Active);
                add(state, builder.build());
            }
            self.with_links(|links| links.add_host(socket));
        }
        drop(runtime);
        for url in state.config.ice_servers.clone() {
            for server in Server::read_all(&url) {
                match server.kind {
                    Kind::Stun if policy == IceTransportsType::Relay => {}
                    Kind::Stun => {
                        state.gathering.servers_open += 1;
                        RUNTIME.spawn(look_up(self.weak(), server));
                    }
                    Kind::Turn { .. } => {
                        state.gathering.servers_open += 1;
                        RUNTIME.spawn(relay::run(self.weak(), server));
                    }
                }
            }
        }
        finish(state);
    }

    /// Goes on asking STUN servers. Returns when to look again, if at all.
    pub(crate) fn probe(&self, state: &mut State, now: Instant) -> Option<Instant> {
        if state.gathering.probes.is_empty() {
            return None;
        }
        let State {
            gathering,
            outbox,
            notices,
            ..
        } = &mut *state;
        gathering.probes.retain_mut(|probe| {
            if probe.is_over(now) {
                notices.push(Notice::CandidateError(probe.error(NOT_REACHED)));
                return false;
            }
            if let Some(request) = probe.poll(now) {
                outbox.push(Transmit {
                    proto: Protocol::Udp,
                    source: probe.local,
                    destination: probe.server,
                    contents: request.into(),
                });
            }
            true
        });
        finish(state);
        state.gathering.probes.iter().map(Probe::next_at).min()
    }

    /// Takes the answer of a STUN server; false if the packet is something else.
    pub(crate) fn probed(&self, state: &mut State, local: SocketAddr, bytes: &[u8]) -> bool {
        let answered = |probe: &Probe| probe.local == local && probe.is_answer(bytes);
        let Some(index) = state.gathering.probes.iter().position(answered) else {
            return false;
        };
        let probe = state.gathering.probes.swap_remove(index);
        match probe.read(bytes) {
            // Without a NAT in between the address is the host's own.
            Some(mapped) if mapped != local => {
                add(state, Candidate::server_reflexive(mapped, local, "udp"));
            }
            Some(_) => {}
            None => state
                .notices
                .push(Notice::CandidateError(probe.error(NOT_REACHED))),
        }
        finish(state);
        true
    }

    /// A relay has an address for us.
    pub(super) fn relay_opened(&self, link: Link, via: SocketAddr) {
        let candidate = Candidate::relayed(link.local, via, "udp");
        self.with_links(|links| links.add(link));
        let mut state = self.state.lock();
        state.gathering.servers_open = state.gathering.servers_open.saturating_sub(1);
        add(&mut state, candidate);
        finish(&mut state);
        drop(state);
        self.wake();
    }

    /// A server did not help.
    pub(super) fn server_failed(&self, error: IceCandidateError) {
        log::debug!("ICE server {}: {}", error.url, error.error_text);
        let mut state = self.state.lock();
        state.gathering.servers_open = state.gathering.servers_open.saturating_sub(1);
        state.notices.push(Notice::CandidateError(error));
        finish(&mut state);
        drop(state);
        self.wake();
    }

    /// There is no way yet for a packet: opens one, if it is of a kind that is opened late.
    pub(crate) fn open_way(&self, packet: Transmit) {
        if packet.proto != Protocol::Tcp {
            return;
        }
        let Some(wait) = self.state.lock().tcp_after() else {
            return;
        };
        let link = tcp::open(self.weak(), packet.source, packet.destination, wait);
        self.with_links(|links| links.add(link));
        self.links().send(packet);
    }

    /// Begins to ask a STUN server, from each socket of its kind.
    fn ask(&self, server: &Server, address: SocketAddr) {
        let links = self.links();
        let mut state = self.state.lock();
        state.gathering.servers_open = state.gathering.servers_open.saturating_sub(1);
        let now = Instant::now();
        for socket in links
            .hosts()
            .iter()
            .filter(|s| s.local.is_ipv4() == address.is_ipv4())
        {
            state
                .gathering
                .probes
                .push(Probe::new(socket.local, address, &server.url, now));
        }
        finish(&mut state);
        drop(state);
        self.wake();
    }
}

/// Uses an own address, unless it is of a kind that cannot be offered.
fn add<E: std::fmt::Display>(state: &mut State, candidate: Result<Candidate, E>) {
    match candidate {
        Ok(candidate) => state.add_local_candidate(candidate),
        Err(error) => log::debug!("an own address is not offered: {error}"),
    }
}

fn finish(state: &mut State) {
    let Gathering {
        probes,
        servers_open,
        ..
    } = &state.gathering;
    if probes.is_empty() && *servers_open == 0 {
        state.set_gathering(IceGatheringState::Complete);
    }
}

async fn look_up(connection: Weak<Connection>, server: Server) {
    let found = server.look_up().await;
    let Some(connection) = connection.upgrade() else {
        return;
    };
    match found {
        Ok(address) => connection.ask(&server, address),
        Err(error) => connection.server_failed(server.error(NOT_REACHED, error)),
    }
}
