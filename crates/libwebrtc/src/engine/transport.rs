//! The driver of one connection: sockets, timers, str0m's events, and all callbacks.
//!
//! One task per connection on the engine's own runtime. Each turn drains str0m, sends, moves
//! waiting messages, calls the program without any lock, and then waits for whatever comes first:
//! a wake-up from the API, str0m's timer, a packet.

use std::{
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use str0m::{
    Event, IceConnectionState as Ice, Input, Output, Rtc,
    net::{Protocol, Receive, Transmit},
};

use super::{
    RUNTIME,
    callbacks::Notice,
    connection::{Connection, State},
    ice::{self, Socket},
    media,
};
use crate::{
    ice_candidate::IceCandidate,
    peer_connection::{IceConnectionState, IceGatheringState, PeerConnectionState},
};

/// A path that is lost for so long has failed.
const PATH_LOST_MAX: Duration = Duration::from_secs(12);

/// How long telling the peer of the end may take.
const CLOSE_MAX: Duration = Duration::from_millis(500);

/// Packets read from one socket before timers and other sockets get their turn.
const PACKETS_PER_TURN: usize = 64;

const PACKET_BYTES_MAX: usize = 2000;

/// While there is nothing to wait for.
const IDLE: Duration = Duration::from_secs(3600);

/// Drives `connection` until it is closed.
pub(crate) fn spawn(connection: Arc<Connection>) {
    RUNTIME.spawn(drive(connection));
}

/// Opens the sockets, once.
pub(crate) fn gather(state: &mut State) {
    if state.gathering != IceGatheringState::New {
        return;
    }
    let runtime = RUNTIME.enter();
    state.gathering = IceGatheringState::Gathering;
    state
        .notices
        .push(Notice::IceGathering(IceGatheringState::Gathering));
    for socket in ice::open_host_sockets() {
        match str0m::Candidate::host(socket.local, "udp") {
            Ok(candidate) => {
                state.add_local_candidate(candidate);
                state.sockets.push(Arc::new(socket));
            }
            Err(error) => log::warn!("{} is not offered: {error}", socket.local),
        }
    }
    drop(runtime);
    state.gathering = IceGatheringState::Complete;
    state
        .notices
        .push(Notice::IceGathering(IceGatheringState::Complete));
}

async fn drive(connection: Arc<Connection>) {
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    loop {
        let turn = connection.turn();
        connection.callbacks.tell(turn.notices);
        if turn.done {
            break;
        }
        tokio::select! {
            () = connection.driver.notified() => {}
            () = tokio::time::sleep_until(turn.deadline.into()) => {}
            () = readable(&turn.sockets) => {}
        }
        for socket in &turn.sockets {
            connection.receive(socket, &mut buffer);
        }
        connection.timeout();
    }
    connection.callbacks.clear();
}

/// What one turn of the driver found.
struct Turn {
    notices: Vec<Notice>,
    sockets: Vec<Arc<Socket>>,
    deadline: Instant,
    done: bool,
}

impl Connection {
    fn turn(&self) -> Turn {
        let mut state = self.state.lock();
        let now = Instant::now();
        let mut deadline = self.drain(&mut state, now);
        let State {
            rtc,
            channels,
            notices,
            ..
        } = &mut *state;
        if let Some(rtc) = rtc {
            let before = notices.len();
            channels.flush(rtc, notices);
            if notices.len() > before {
                deadline = now; // what was written leaves with the next timeout
            }
        }
        deadline = deadline.min(state.check_path(now));
        let alive = state.rtc.as_ref().is_some_and(Rtc::is_alive);
        let done = match state.closed_at {
            None => false,
            Some(at) => {
                deadline = deadline.min(at + CLOSE_MAX);
                !alive || now >= at + CLOSE_MAX
            }
        };
        if done {
            state.rtc = None;
            state.sockets.clear();
        }
        // Until str0m is there, packets wait in the sockets.
        let sockets = if alive { state.sockets.clone() } else { vec![] };
        Turn {
            notices: std::mem::take(&mut state.notices),
            sockets,
            deadline,
            done,
        }
    }

    /// Takes everything out of str0m, and returns when it wants to be asked again.
    fn drain(&self, state: &mut State, now: Instant) -> Instant {
        loop {
            let Some(rtc) = &mut state.rtc else {
                return now + IDLE;
            };
            match rtc.poll_output() {
                Ok(Output::Timeout(at)) => return at.min(now + IDLE),
                Ok(Output::Transmit(packet)) => state.transmit(&packet),
                Ok(Output::Event(event)) => self.on_event(state, event),
                Err(error) => {
                    log::warn!("the transport failed: {error}");
                    rtc.disconnect();
                    state.set_connection(PeerConnectionState::Failed);
                    return now + IDLE;
                }
            }
        }
    }

    fn receive(&self, socket: &Socket, buffer: &mut [u8]) {
        for _ in 0..PACKETS_PER_TURN {
            let Ok((bytes, source)) = socket.udp.try_recv_from(buffer) else {
                return;
            };
            let now = Instant::now();
            let Ok(contents) = buffer[..bytes].try_into() else {
                continue;
            };
            let destination = socket.local;
            let receive = Receive {
                proto: Protocol::Udp,
                source,
                destination,
                contents,
            };
            let mut state = self.state.lock();
            if let Some(rtc) = &mut state.rtc
                && let Err(error) = rtc.handle_input(Input::Receive(now, receive))
            {
                log::debug!("a packet was refused: {error}");
            }
            self.drain(&mut state, now);
        }
    }

    fn timeout(&self) {
        let mut state = self.state.lock();
        if let Some(rtc) = &mut state.rtc
            && let Err(error) = rtc.handle_input(Input::Timeout(Instant::now()))
        {
            log::debug!("a timer was refused: {error}");
        }
    }

    fn on_event(&self, state: &mut State, event: Event) {
        let State {
            rtc,
            channels,
            routes,
            transceivers,
            notices,
            negotiation,
            ..
        } = &mut *state;
        let Some(rtc) = rtc else { return };
        match event {
            Event::RtpPacket(packet) => {
                media::receive(rtc, routes, transceivers, negotiation.own.numbers, &packet);
            }
            Event::ChannelData(data) => {
                notices.extend(channels.message(data.id, data.data, data.binary));
            }
            Event::ChannelOpen(id, label) => {
                notices.push(channels.opened(&self.weak(), rtc, id, label));
            }
            Event::ChannelClose(id) => notices.extend(channels.closed(id)),
            Event::Connected => {
                state.dtls_up = true;
                if matches!(
                    state.ice,
                    IceConnectionState::Connected | IceConnectionState::Completed
                ) {
                    state.set_connection(PeerConnectionState::Connected);
                }
            }
            Event::IceConnectionStateChange(ice) => state.on_ice(ice, Instant::now()),
            Event::Closed => {
                log::debug!("the peer closed the connection");
                state.set_connection(PeerConnectionState::Failed);
            }
            _ => {}
        }
    }
}

impl State {
    fn transmit(&self, packet: &Transmit) {
        let socket = self
            .sockets
            .iter()
            .find(|socket| socket.local == packet.source);
        let Some(socket) = socket else { return };
        if let Err(error) = socket.udp.try_send_to(&packet.contents, packet.destination) {
            log::trace!("a packet to {} is lost: {error}", packet.destination);
        }
    }

    fn add_local_candidate(&mut self, candidate: str0m::Candidate) {
        let line = candidate.to_sdp_string();
        self.negotiation.own.candidates.push(line.clone());
        if let Some(rtc) = &mut self.rtc {
            rtc.add_local_candidate(candidate.clone());
        }
        self.local_candidates.push(candidate);
        let mid = self
            .negotiation
            .lines()
            .first()
            .map(|line| line.mid().to_owned());
        self.notices.push(Notice::Candidate(IceCandidate {
            sdp_mid: mid.unwrap_or_default(),
            sdp_mline_index: 0,
            candidate: line,
        }));
    }

    fn on_ice(&mut self, ice: Ice, now: Instant) {
        self.path_lost_at = None;
        match ice {
            Ice::New => {}
            Ice::Checking => {
                self.set_ice(IceConnectionState::Checking);
                self.set_connection(PeerConnectionState::Connecting);
            }
            Ice::Connected | Ice::Completed => {
                self.set_ice(match ice {
                    Ice::Connected => IceConnectionState::Connected,
                    _ => IceConnectionState::Completed,
                });
                if self.dtls_up {
                    self.set_connection(PeerConnectionState::Connected);
                }
            }
            Ice::Disconnected => {
                self.path_lost_at = Some(now);
                // str0m says this as soon as every known pair failed; before the first connection
                // more candidates are likely on their way, and the W3C knows no such step.
                if self.dtls_up {
                    self.set_ice(IceConnectionState::Disconnected);
                    self.set_connection(PeerConnectionState::Disconnected);
                }
            }
        }
    }

    /// Gives a lost path up after a while; returns when to look again.
    fn check_path(&mut self, now: Instant) -> Instant {
        let Some(lost_at) = self.path_lost_at else {
            return now + IDLE;
        };
        let fails_at = lost_at + PATH_LOST_MAX;
        if now < fails_at {
            return fails_at;
        }
        self.path_lost_at = None;
        self.set_ice(IceConnectionState::Failed);
        self.set_connection(PeerConnectionState::Failed);
        now + IDLE
    }
}

/// Waits until one of the sockets has a packet.
async fn readable(sockets: &[Arc<Socket>]) {
    poll_fn(|cx| {
        let ready = |socket: &Arc<Socket>| socket.udp.poll_recv_ready(cx).is_ready();
        if sockets.iter().any(ready) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}
