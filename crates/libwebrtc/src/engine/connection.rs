//! One peer connection: its state under one lock, and what the public API asks of it.
//!
//! Calls change the state, note what the program should hear of, and wake the driver (`transport`),
//! which does all I/O and calls all callbacks. No call waits for the network.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Notify;

use super::{
    callbacks::{Callbacks, Notice},
    data::Channel,
    ice::{self, Incoming, Links},
    media::{self, OutgoingPacket},
    negotiation::Action,
    sender::Sender,
    session,
    state::State,
    stats,
    transceiver::Transceiver,
    transport,
};
use crate::{
    MediaType, RtcError,
    data_channel::DataChannelInit,
    media_stream_track::MediaStreamTrack,
    peer_connection::{IceConnectionState, IceGatheringState, PeerConnectionState, SignalingState},
    peer_connection_factory::RtcConfiguration,
    rtp_transceiver::{RtpTransceiverDirection, RtpTransceiverInit},
    session_description::SessionDescription,
    stats::RtcStats,
};

/// How long a caller of `close` is held up at most.
const RELEASE_MAX: Duration = Duration::from_millis(10);

/// One peer connection.
pub(crate) struct Connection {
    own: Weak<Connection>,
    pub(crate) state: Mutex<State>,
    links: Mutex<Links>,
    released: (Mutex<bool>, Condvar),
    pub(crate) driver: Notify,
    pub(crate) callbacks: Callbacks,
}

/// Closes the connection when the last `PeerConnection` is gone.
pub(crate) struct Handle(Arc<Connection>);

impl Handle {
    pub(crate) fn new(config: RtcConfiguration) -> Result<Self, RtcError> {
        let (connection, incoming) = Connection::new(config)?;
        transport::spawn(connection.clone(), incoming);
        Ok(Self(connection))
    }

    pub(crate) fn connection(&self) -> &Arc<Connection> {
        &self.0
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Connection {
    /// A connection without a driver, and what the driver reads.
    pub(crate) fn new(config: RtcConfiguration) -> Result<(Arc<Self>, Incoming), RtcError> {
        let state = State::new(config)?;
        let (links, incoming) = Links::new();
        let connection = Arc::new_cyclic(|own| Self {
            own: own.clone(),
            state: Mutex::new(state),
            links: Mutex::new(links),
            released: (Mutex::new(false), Condvar::new()),
            driver: Notify::new(),
            callbacks: Callbacks::default(),
        });
        Ok((connection, incoming))
    }

    /// The ways for packets in and out, as they are now.
    pub(crate) fn links(&self) -> Links {
        self.links.lock().clone()
    }

    pub(crate) fn with_links(&self, change: impl FnOnce(&mut Links)) {
        change(&mut self.links.lock());
    }

    pub(crate) fn weak(&self) -> Weak<Self> {
        self.own.clone()
    }

    /// The driver looks at everything again.
    pub(crate) fn wake(&self) {
        self.driver.notify_one();
    }

    pub(crate) fn notify(&self, notice: Notice) {
        self.state.lock().notices.push(notice);
        self.wake();
    }

    pub(crate) fn check_open(&self) -> Result<(), RtcError> {
        self.state.lock().check_open()
    }

    pub(crate) fn set_configuration(&self, config: RtcConfiguration) -> Result<(), RtcError> {
        let mut state = self.state.lock();
        state.check_open()?;
        state.config = config;
        Ok(())
    }

    // ---- Descriptions

    pub(crate) fn create_offer(&self, ice_restart: bool) -> Result<SessionDescription, RtcError> {
        let mut state = self.state.lock();
        state.check_open()?;
        let media = state.media();
        let wants_data = !state.channels.is_empty();
        let negotiation = &mut state.negotiation;
        Ok(negotiation.create_offer(&media, wants_data, ice_restart, session::new_credentials))
    }

    pub(crate) fn create_answer(&self) -> Result<SessionDescription, RtcError> {
        let mut state = self.state.lock();
        state.check_open()?;
        let media = state.media();
        state.negotiation.create_answer(&media)
    }

    pub(crate) fn set_local_description(
        &self,
        description: SessionDescription,
    ) -> Result<(), RtcError> {
        let mut state = self.state.lock();
        state.check_open()?;
        let media = state.media();
        let actions = state.negotiation.set_local(description, &media)?;
        let done = self.apply(&mut state, actions);
        drop(state);
        self.wake();
        done
    }

    pub(crate) fn set_remote_description(
        &self,
        description: SessionDescription,
    ) -> Result<(), RtcError> {
        let mut state = self.state.lock();
        state.check_open()?;
        let media = state.media();
        let negotiation = &mut state.negotiation;
        let actions = negotiation.set_remote(description, &media, session::new_credentials)?;
        let done = self.apply(&mut state, actions);
        drop(state);
        self.wake();
        done
    }

    fn apply(&self, state: &mut State, actions: Vec<Action>) -> Result<(), RtcError> {
        let now = Instant::now();
        for action in actions {
            match action {
                Action::Signaling(signaling) => state.notices.push(Notice::Signaling(signaling)),
                Action::Name { transceiver, mid } => {
                    if let Some(transceiver) = state.transceivers.get(transceiver) {
                        transceiver.set_mid(mid);
                    }
                }
                Action::Add { kind, track_id } => {
                    let init = RtpTransceiverInit {
                        direction: RtpTransceiverDirection::RecvOnly,
                        stream_ids: vec![],
                        send_encodings: vec![],
                    };
                    let new = Transceiver::new(self.weak(), kind, init, false, track_id);
                    state.transceivers.push(new);
                }
                Action::Gather => self.gather(state),
                Action::Start(start) => state.start(start, now)?,
                Action::RestartIce { local, remote } => state.restart_ice(&local, &remote),
                Action::Candidate(line) => state.add_remote_candidate(&line),
                Action::StartData { message_bytes_max } => {
                    state.start_data(message_bytes_max);
                }
                Action::Media(plan) => {
                    let State {
                        rtc,
                        routes,
                        transceivers,
                        negotiation,
                        ..
                    } = &mut *state;
                    if let (Some(rtc), Some(t)) = (rtc, transceivers.get(plan.transceiver)) {
                        media::apply(rtc, routes, t, negotiation.own.numbers, plan);
                    }
                }
                Action::Show {
                    transceiver,
                    receiving,
                    stream,
                } => {
                    let Some(transceiver) = state.transceivers.get(transceiver) else {
                        continue;
                    };
                    if let Some(event) = transceiver.show(receiving, stream) {
                        state.notices.push(Notice::Track(Box::new(event)));
                    }
                }
            }
        }
        Ok(())
    }

    pub(crate) fn current_local_description(&self) -> Option<SessionDescription> {
        self.state.lock().negotiation.current_local().cloned()
    }

    pub(crate) fn current_remote_description(&self) -> Option<SessionDescription> {
        self.state.lock().negotiation.current_remote().cloned()
    }

    pub(crate) fn restart_ice(&self) {
        let mut state = self.state.lock();
        if state.closed_at.is_none() {
            state.negotiation.want_restart();
            state.notices.push(Notice::NegotiationNeeded);
            drop(state);
            self.wake();
        }
    }

    pub(crate) fn add_ice_candidate(&self, line: &str) -> Result<(), RtcError> {
        let mut state = self.state.lock();
        state.check_open()?;
        if !line.trim().is_empty() {
            state.add_remote_candidate(line);
        }
        drop(state);
        self.wake();
        Ok(())
    }

    // ---- Tracks and transceivers

    pub(crate) fn add_track(
        &self,
        track: MediaStreamTrack,
        init: RtpTransceiverInit,
    ) -> Result<Arc<Transceiver>, RtcError> {
        self.add(kind_of(&track), Some(track), init, true)
    }

    pub(crate) fn add_transceiver(
        &self,
        track: MediaStreamTrack,
        init: RtpTransceiverInit,
    ) -> Result<Arc<Transceiver>, RtcError> {
        self.add(kind_of(&track), Some(track), init, false)
    }

    pub(crate) fn add_transceiver_for_media(
        &self,
        kind: MediaType,
        init: RtpTransceiverInit,
    ) -> Result<Arc<Transceiver>, RtcError> {
        if !matches!(kind, MediaType::Audio | MediaType::Video) {
            return Err(RtcError::internal("a transceiver carries audio or video"));
        }
        self.add(kind, None, init, false)
    }

    fn add(
        &self,
        kind: MediaType,
        track: Option<MediaStreamTrack>,
        init: RtpTransceiverInit,
        by_track: bool,
    ) -> Result<Arc<Transceiver>, RtcError> {
        self.check_open()?;
        let transceiver = Transceiver::new(self.weak(), kind, init, by_track, None);
        if let Some(track) = track {
            transceiver.sender.attach(track);
        }
        let mut state = self.state.lock();
        state.check_open()?;
        state.transceivers.push(transceiver.clone());
        state.notices.push(Notice::NegotiationNeeded);
        drop(state);
        self.wake();
        Ok(transceiver)
    }

    pub(crate) fn remove_track(&self, sender: &Arc<Sender>) -> Result<(), RtcError> {
        let mut state = self.state.lock();
        state.check_open()?;
        let of_sender = |t: &&Arc<Transceiver>| Arc::ptr_eq(&t.sender, sender);
        let transceiver = state.transceivers.iter().find(of_sender).cloned();
        if transceiver.is_some() {
            state.notices.push(Notice::NegotiationNeeded);
        }
        drop(state);
        if let Some(transceiver) = transceiver {
            transceiver.sender.detach();
            transceiver.stop_sending();
        }
        self.wake();
        Ok(())
    }

    pub(crate) fn transceivers(&self) -> Vec<Arc<Transceiver>> {
        self.state.lock().transceivers.clone()
    }

    /// Sends an encoded packet.
    pub(crate) fn send_packet(&self, packet: OutgoingPacket, now: Instant) -> bool {
        let sent = match &mut self.state.lock().rtc {
            Some(rtc) => media::send(rtc, packet, now),
            None => false,
        };
        if sent {
            self.wake(); // str0m sends it with its next timeout
        }
        sent
    }

    // ---- Data channels

    pub(crate) fn create_data_channel(
        &self,
        label: &str,
        init: DataChannelInit,
    ) -> Result<Arc<Channel>, RtcError> {
        let mut state = self.state.lock();
        state.check_open()?;
        let is_first = state.channels.is_empty();
        let State {
            channels,
            rtc,
            notices,
            ..
        } = &mut *state;
        let channel = channels.create(self.weak(), rtc.as_mut(), label, init)?;
        if is_first {
            notices.push(Notice::NegotiationNeeded);
        }
        drop(state);
        self.wake();
        Ok(channel)
    }

    pub(crate) fn close_channel(&self, channel: &Arc<Channel>) {
        let mut state = self.state.lock();
        let State {
            channels,
            rtc,
            notices,
            ..
        } = &mut *state;
        notices.extend(channels.close(channel, rtc.as_mut()));
        drop(state);
        self.wake();
    }

    // ---- States, figures, the end

    pub(crate) fn connection_state(&self) -> PeerConnectionState {
        self.state.lock().connection
    }

    pub(crate) fn ice_connection_state(&self) -> IceConnectionState {
        self.state.lock().ice
    }

    pub(crate) fn ice_gathering_state(&self) -> IceGatheringState {
        self.state.lock().gathering.state
    }

    pub(crate) fn signaling_state(&self) -> SignalingState {
        self.state.lock().negotiation.signaling()
    }

    pub(crate) fn stats(&self) -> Vec<RtcStats> {
        let (transceivers, mut reports) = {
            let state = self.state.lock();
            let path = state.path.as_ref().map_or(vec![], |path| stats::path(path));
            (
                state.transceivers.clone(),
                [path, state.channels.stats()].concat(),
            )
        };
        for transceiver in transceivers {
            reports.extend(transceiver.sender.stats());
            reports.extend(transceiver.receiver.stats());
        }
        reports
    }

    /// Ends everything at once and tells the peer; the driver only clears up.
    pub(crate) fn close(&self) {
        let now = Instant::now();
        let mut goodbye = vec![];
        let transceivers = {
            let mut state = self.state.lock();
            if state.closed_at.is_some() {
                return;
            }
            state.close(now);
            self.say_goodbye(&mut state, now);
            goodbye.append(&mut state.outbox);
            state.goodbye = goodbye.iter().map(ice::copy).collect();
            state.transceivers.clone()
        };
        let links = self.links();
        for packet in goodbye {
            links.send(packet);
        }
        for transceiver in transceivers {
            transceiver.end();
        }
        self.wake();
    }

    /// Waits until the sockets are released, as upstream's `close` does. That takes the driver one
    /// to two milliseconds; a callback, which the driver itself runs, does not wait at all.
    pub(crate) fn wait_until_released(&self) {
        let mut is_released = self.released.0.lock();
        if !*is_released && !self.callbacks.are_running() {
            self.released.1.wait_for(&mut is_released, RELEASE_MAX);
        }
    }

    /// The driver has ended: nothing is sent or received any more.
    pub(crate) fn release(&self) {
        self.with_links(Links::clear);
        *self.released.0.lock() = true;
        self.released.1.notify_all();
    }
}

fn kind_of(track: &MediaStreamTrack) -> MediaType {
    match track {
        MediaStreamTrack::Audio(_) => MediaType::Audio,
        MediaStreamTrack::Video(_) => MediaType::Video,
    }
}
