//! The driver of one connection: packets, timers, str0m's events, and all callbacks.
//!
//! One task per connection on the engine's own runtime. Each turn drains str0m and moves waiting
//! messages under the lock, then sends packets and calls the program without it, and waits for
//! whatever comes first: a wake-up from the API, a timer, a packet. What a turn does is plain code
//! on a given time (`turn`, `receive`, `timeout`); only `drive` reads a clock and touches sockets.

use std::{
    future::poll_fn,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use str0m::{
    Event, Input, Output, Rtc,
    net::{Protocol, Receive, Transmit},
};

use super::{
    RUNTIME,
    callbacks::Notice,
    connection::Connection,
    ice::{HostSocket, Incoming},
    media,
    state::State,
    transceiver::Transceiver,
};
use crate::peer_connection::PeerConnectionState;

/// How long telling the peer of the end may take.
const CLOSE_MAX: Duration = Duration::from_millis(500);

const GOODBYE_REPEATED_AFTER: Duration = Duration::from_millis(1);

/// Packets read from one socket before timers and other sockets get their turn.
const PACKETS_PER_TURN: usize = 64;

/// str0m sends and expects less than 1,500 bytes.
const PACKET_BYTES_MAX: usize = 2000;

/// While there is nothing to wait for.
const IDLE: Duration = Duration::from_secs(3600);

/// Drives `connection` until it is closed.
pub(crate) fn spawn(connection: Arc<Connection>, incoming: Incoming) {
    let driver = RUNTIME.spawn(drive(connection.clone(), incoming));
    RUNTIME.spawn(async move {
        if driver.await.is_err() {
            log::error!("the driver of a peer connection panicked; the connection has failed");
            connection.fail();
        }
    });
}

async fn drive(connection: Arc<Connection>, mut incoming: Incoming) {
    let mut buffer = vec![0; PACKET_BYTES_MAX];
    let mut outbox = vec![];
    loop {
        let turn = connection.turn(Instant::now(), &mut outbox);
        let links = connection.links();
        links.until_writable(&outbox).await;
        for packet in outbox.drain(..) {
            if let Some(packet) = links.send(packet) {
                connection.open_way(packet);
            }
        }
        connection.callbacks.tell(turn.notices);
        if turn.is_last {
            break;
        }
        // Until str0m is there, packets wait in the sockets.
        let sockets: &[Arc<HostSocket>] = if turn.is_reading { links.hosts() } else { &[] };
        tokio::select! {
            () = connection.driver.notified() => {}
            () = tokio::time::sleep_until(turn.deadline.into()) => {}
            () = readable(sockets) => {}
            Some(packet) = incoming.recv() => {
                let at = (packet.proto, packet.destination);
                connection.receive(Instant::now(), at, packet.source, &packet.bytes);
            }
        }
        for socket in sockets {
            for _ in 0..PACKETS_PER_TURN {
                let Ok((bytes, source)) = socket.udp.try_recv_from(&mut buffer) else {
                    break;
                };
                let at = (Protocol::Udp, socket.local);
                connection.receive(Instant::now(), at, source, &buffer[..bytes]);
            }
        }
        connection.timeout(Instant::now());
    }
    // Once more, for the case that the first was lost; a peer ignores repeated packets.
    tokio::time::sleep(GOODBYE_REPEATED_AFTER).await;
    let (links, goodbye) = (connection.links(), connection.take_goodbye());
    for packet in goodbye {
        links.send(packet);
    }
    drop(links);
    connection.release();
    connection.callbacks.clear();
}

/// Waits until one of the sockets has a packet.
async fn readable(sockets: &[Arc<HostSocket>]) {
    poll_fn(|cx| {
        // All are asked, so that each can wake this task.
        let ready = sockets
            .iter()
            .filter(|s| s.udp.poll_recv_ready(cx).is_ready())
            .count();
        if ready > 0 {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// What one turn found.
pub(crate) struct Turn {
    pub(crate) notices: Vec<Notice>,
    pub(crate) deadline: Instant,
    is_reading: bool,
    is_last: bool,
}

impl Connection {
    /// Takes out everything that is to be sent, told and waited for.
    pub(crate) fn turn(&self, now: Instant, outbox: &mut Vec<Transmit>) -> Turn {
        let mut state = self.state.lock();
        let mut deadline = self.drain(&mut state, now);
        let State {
            rtc,
            channels,
            notices,
            ..
        } = &mut *state;
        if let Some(rtc) = rtc
            && channels.flush(rtc, notices)
        {
            deadline = now; // what was written leaves with the next timeout
        }
        let idle = channels.end_idle_streams(now, notices);
        let soonest = [idle, state.check_path(now), self.probe(&mut state, now)];
        for at in soonest.into_iter().flatten() {
            deadline = deadline.min(at);
        }
        let is_alive = state.rtc.as_ref().is_some_and(Rtc::is_alive);
        let is_last = match state.closed_at {
            None => false,
            Some(at) => {
                deadline = deadline.min(at + CLOSE_MAX);
                !is_alive || now >= at + CLOSE_MAX
            }
        };
        if is_last {
            state.rtc = None;
        }
        outbox.append(&mut state.outbox);
        let is_reading = is_alive || state.gathering.is_probing();
        Turn {
            notices: std::mem::take(&mut state.notices),
            deadline,
            is_reading,
            is_last,
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
                Ok(Output::Transmit(packet)) => state.outbox.push(packet),
                Ok(Output::Event(event)) => self.on_event(state, event, now),
                Err(error) => {
                    log::warn!("the transport failed: {error}");
                    rtc.disconnect();
                    state.set_connection(PeerConnectionState::Failed);
                    return now + IDLE;
                }
            }
        }
    }

    /// Takes a packet that came `at` an own address.
    pub(crate) fn receive(
        &self,
        now: Instant,
        at: (Protocol, std::net::SocketAddr),
        source: std::net::SocketAddr,
        bytes: &[u8],
    ) {
        let mut state = self.state.lock();
        if state.gathering.is_probing() && self.probed(&mut state, at.1, bytes) {
            return;
        }
        let Ok(contents) = bytes.try_into() else {
            return;
        };
        let (proto, destination) = at;
        let receive = Receive {
            proto,
            source,
            destination,
            contents,
        };
        if let Some(rtc) = &mut state.rtc
            && let Err(error) = rtc.handle_input(Input::Receive(now, receive))
        {
            log::debug!("a packet was refused: {error}");
        }
        self.drain(&mut state, now);
    }

    /// Takes out what tells the peer of the end, without waiting for the driver.
    pub(crate) fn say_goodbye(&self, state: &mut State, now: Instant) {
        self.drain(state, now);
        if let Some(rtc) = &mut state.rtc {
            rtc.handle_input(Input::Timeout(now)).ok();
        }
        self.drain(state, now);
    }

    /// The driver is gone: says so, and lets go of everything.
    fn fail(&self) {
        let notices = {
            let mut state = self.state.lock();
            state.rtc = None;
            state.set_connection(PeerConnectionState::Failed);
            std::mem::take(&mut state.notices)
        };
        self.callbacks.tell(notices);
        self.release();
    }

    fn take_goodbye(&self) -> Vec<Transmit> {
        std::mem::take(&mut self.state.lock().goodbye)
    }

    /// Time has passed.
    pub(crate) fn timeout(&self, now: Instant) {
        let mut state = self.state.lock();
        if let Some(rtc) = &mut state.rtc
            && let Err(error) = rtc.handle_input(Input::Timeout(now))
        {
            log::debug!("a timer was refused: {error}");
        }
    }

    fn on_event(&self, state: &mut State, event: Event, now: Instant) {
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
                notices.extend(channels.message(now, data.id, data.data, data.binary));
            }
            Event::ChannelOpen(id, label) => {
                notices.push(channels.opened(&self.weak(), rtc, id, label));
            }
            Event::ChannelClose(id) => notices.extend(channels.closed(id)),
            Event::Connected => state.on_dtls_up(),
            Event::IceConnectionStateChange(ice) => state.on_ice(ice, now),
            Event::PeerStats(stats) => state.path = Some(Box::new(stats)),
            Event::MediaEgressStats(stats) => {
                let in_section = |t: &&Arc<Transceiver>| t.mid().as_deref() == Some(&*stats.mid);
                if let Some(transceiver) = transceivers.iter().find(in_section) {
                    transceiver.sender.set_reported(stats);
                }
            }
            Event::Closed => {
                log::debug!("the peer closed the connection");
                state.on_closed_by_peer(now);
            }
            _ => {}
        }
    }
}
