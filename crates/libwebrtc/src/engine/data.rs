//! Data channels: their state, what waits to be sent, what waits to be heard.
//!
//! A channel is created in str0m only once SCTP starts, because an id may be given back and taken
//! again before that. Messages wait here until str0m takes them; what it took counts as buffered
//! until the peer acknowledged it. The driver moves the bytes, see `Channels::flush`.
//!
//! Messages of LiveKit's two channels for data packets go through a [`Guard`] before the program
//! gets them: all participants of a room can write there.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering},
    },
    time::Instant,
};

use data_guard::Guard;
use parking_lot::Mutex;
use str0m::{
    Rtc,
    channel::{ChannelConfig, ChannelId, Reliability},
};

use crate::{
    RtcError,
    data_channel::{
        DataBuffer, DataChannelError, DataChannelInit, DataChannelState, OnBufferedAmountChange,
        OnMessage, OnStateChange,
    },
    engine::{
        callbacks::{Notice, Slot},
        connection::Connection,
        stats,
    },
    stats::{RtcStats, dictionaries::DataChannelStats},
};

/// The largest message that this side accepts, and offers to accept.
pub(crate) const MESSAGE_BYTES_MAX: u32 = 262_144;

/// What may wait in one channel.
const QUEUE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What may wait until the program listens.
const EARLY_MESSAGES_MAX: usize = 256;

/// LiveKit's channels for data packets of participants.
///
/// Source: `livekit` 0.10.0, `RELIABLE_DC_LABEL` and `LOSSY_DC_LABEL`.
const GUARDED_LABELS: [&str; 2] = ["_reliable", "_lossy"];

struct Message {
    data: Vec<u8>,
    binary: bool,
}

struct Inner {
    state: DataChannelState,
    /// str0m's handle, once SCTP runs.
    channel: Option<ChannelId>,
    pending: VecDeque<Message>,
    pending_bytes: usize,
    /// Taken by str0m and not acknowledged.
    in_flight_bytes: usize,
    early: VecDeque<Message>,
    /// Messages and bytes.
    sent: (u32, u64),
    received: (u32, u64),
}

/// What a flush did.
struct Flushed {
    /// Messages that str0m took.
    taken: usize,
    /// Bytes acknowledged, or given up, since the last time.
    sent: u64,
}

/// One data channel.
pub(crate) struct Channel {
    connection: Weak<Connection>,
    label: String,
    init: DataChannelInit,
    id: AtomicI32,
    /// The largest message that both sides take, in bytes; shared by all channels.
    message_bytes_max: Arc<AtomicU32>,
    inner: Mutex<Inner>,
    /// Whether the log says that early messages are dropped.
    is_early_full: AtomicBool,
    on_state: Slot<OnStateChange>,
    on_message: Slot<OnMessage>,
    on_sent: Slot<OnBufferedAmountChange>,
}

impl Channel {
    fn new(
        connection: Weak<Connection>,
        label: String,
        init: DataChannelInit,
        message_bytes_max: Arc<AtomicU32>,
    ) -> Arc<Self> {
        let id = if init.negotiated { init.id } else { -1 };
        let inner = Inner {
            state: DataChannelState::Connecting,
            channel: None,
            pending: VecDeque::new(),
            pending_bytes: 0,
            in_flight_bytes: 0,
            early: VecDeque::new(),
            sent: (0, 0),
            received: (0, 0),
        };
        Arc::new(Self {
            connection,
            label,
            init,
            id: AtomicI32::new(id),
            message_bytes_max,
            inner: Mutex::new(inner),
            is_early_full: AtomicBool::new(false),
            on_state: Slot::default(),
            on_message: Slot::default(),
            on_sent: Slot::default(),
        })
    }

    pub(crate) fn label(&self) -> &str {
        &self.label
    }

    pub(crate) fn id(&self) -> i32 {
        self.id.load(Ordering::Relaxed)
    }

    pub(crate) fn state(&self) -> DataChannelState {
        self.inner.lock().state
    }

    pub(crate) fn buffered_amount(&self) -> u64 {
        let inner = self.inner.lock();
        (inner.pending_bytes + inner.in_flight_bytes) as u64
    }

    pub(crate) fn send(&self, data: &[u8], binary: bool) -> Result<(), DataChannelError> {
        {
            let mut inner = self.inner.lock();
            let full = inner.pending_bytes + data.len() > QUEUE_BYTES_MAX;
            if full
                || inner.state != DataChannelState::Open
                || data.len() > self.message_bytes_max.load(Ordering::Relaxed) as usize
            {
                return Err(DataChannelError::Send);
            }
            inner.pending_bytes += data.len();
            inner.pending.push_back(Message {
                data: data.to_vec(),
                binary,
            });
        }
        if let Some(connection) = self.connection.upgrade() {
            connection.wake();
        }
        Ok(())
    }

    pub(crate) fn close(self: &Arc<Self>) {
        if let Some(connection) = self.connection.upgrade() {
            connection.close_channel(self);
        } else {
            self.inner.lock().state = DataChannelState::Closed;
        }
    }

    pub(crate) fn on_state_change(&self, callback: Option<OnStateChange>) {
        self.on_state.set(callback);
    }

    pub(crate) fn on_buffered_amount_change(&self, callback: Option<OnBufferedAmountChange>) {
        self.on_sent.set(callback);
    }

    /// The driver delivers what came before, so that the order is kept.
    pub(crate) fn on_message(self: &Arc<Self>, callback: Option<OnMessage>) {
        self.on_message.set(callback);
        if self.inner.lock().early.is_empty() {
            return;
        }
        if let Some(connection) = self.connection.upgrade() {
            connection.notify(Notice::EarlyMessages(self.clone()));
        }
    }

    pub(crate) fn tell_state(&self, state: DataChannelState) {
        self.on_state.call(|f| f(state));
    }

    pub(crate) fn tell_sent(&self, bytes: u64) {
        self.on_sent.call(|f| f(bytes));
    }

    pub(crate) fn tell_message(&self, data: Vec<u8>, binary: bool) {
        if self.on_message.is_set() {
            self.tell_early();
            self.on_message.call(|f| {
                f(DataBuffer {
                    data: &data,
                    binary,
                })
            });
            return;
        }
        let mut inner = self.inner.lock();
        if self.on_message.is_set() {
            // It was set meanwhile, and its setter saw no early message to ask for.
            drop(inner);
            return self.tell_message(data, binary);
        }
        if inner.early.len() < EARLY_MESSAGES_MAX {
            inner.early.push_back(Message { data, binary });
        } else if !self.is_early_full.swap(true, Ordering::Relaxed) {
            log::warn!(
                "data channel {}: no callback takes its messages; more than {EARLY_MESSAGES_MAX} \
                 are dropped",
                self.label
            );
        }
    }

    pub(crate) fn tell_early(&self) {
        while self.on_message.is_set() {
            let Some(message) = self.inner.lock().early.pop_front() else {
                return;
            };
            let Message { data, binary } = message;
            self.on_message.call(|f| {
                f(DataBuffer {
                    data: &data,
                    binary,
                })
            });
        }
    }

    fn config(&self) -> ChannelConfig {
        let number = |value: i32| u16::try_from(value).unwrap_or(u16::MAX);
        ChannelConfig {
            label: self.label.clone(),
            ordered: self.init.ordered,
            reliability: match (self.init.max_retransmits, self.init.max_retransmit_time) {
                (Some(retransmits), _) => Reliability::MaxRetransmits {
                    retransmits: number(retransmits),
                },
                (None, Some(time_ms)) => Reliability::MaxPacketLifetime {
                    lifetime: number(time_ms),
                },
                (None, None) => Reliability::Reliable,
            },
            negotiated: self.init.negotiated.then(|| number(self.init.id)),
            protocol: self.init.protocol.clone(),
        }
    }

    /// Returns whether that changed anything.
    fn set_state(&self, state: DataChannelState) -> bool {
        let mut inner = self.inner.lock();
        if state == DataChannelState::Closed {
            inner.pending.clear();
            inner.pending_bytes = 0;
        }
        std::mem::replace(&mut inner.state, state) != state
    }

    /// Hands str0m what it takes.
    fn flush(&self, rtc: &mut Rtc) -> Flushed {
        let nothing = Flushed { taken: 0, sent: 0 };
        let mut inner = self.inner.lock();
        let Some(id) = inner.channel else {
            return nothing;
        };
        if inner.state != DataChannelState::Open
            || (inner.pending.is_empty() && inner.in_flight_bytes == 0)
        {
            return nothing;
        }
        let Some(mut channel) = rtc.channel(id) else {
            return nothing;
        };
        let (mut taken, mut dropped) = (0, 0);
        while let Some(message) = inner.pending.front() {
            match channel.write(message.binary, &message.data) {
                Ok(true) => {
                    let bytes = message.data.len();
                    inner.pending.pop_front();
                    inner.pending_bytes -= bytes;
                    inner.in_flight_bytes += bytes;
                    inner.sent.0 += 1;
                    inner.sent.1 += bytes as u64;
                    taken += 1;
                }
                Ok(false) => break,
                Err(error) => {
                    log::warn!("data channel {}: {error}", self.label);
                    let bytes = inner.pending.pop_front().map_or(0, |m| m.data.len());
                    inner.pending_bytes -= bytes;
                    // The program waits for its bytes to leave, in whatever way.
                    dropped += bytes;
                }
            }
        }
        let buffered = channel.buffered_amount();
        let sent = inner.in_flight_bytes.saturating_sub(buffered);
        inner.in_flight_bytes -= sent;
        Flushed {
            taken,
            sent: (sent + dropped) as u64,
        }
    }
}

/// All channels of one connection.
pub(crate) struct Channels {
    all: Vec<Arc<Channel>>,
    /// Made with the first message, because time is an argument.
    guard: Option<Guard>,
    /// The channel that the guard's last message came by.
    guarded: Weak<Channel>,
    started: bool,
    message_bytes_max: Arc<AtomicU32>,
}

impl Default for Channels {
    fn default() -> Self {
        let message_bytes_max = Arc::new(AtomicU32::new(MESSAGE_BYTES_MAX));
        Self {
            all: vec![],
            guard: None,
            guarded: Weak::new(),
            started: false,
            message_bytes_max,
        }
    }
}

impl Channels {
    pub(crate) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    pub(crate) fn stats(&self) -> Vec<RtcStats> {
        let report = |channel: &Arc<Channel>| {
            let inner = channel.inner.lock();
            stats::data_channel(DataChannelStats {
                label: channel.label.clone(),
                protocol: channel.init.protocol.clone(),
                data_channel_identifier: channel.id(),
                state: Some(inner.state),
                messages_sent: inner.sent.0,
                bytes_sent: inner.sent.1,
                messages_received: inner.received.0,
                bytes_received: inner.received.1,
            })
        };
        self.all.iter().map(report).collect()
    }

    /// Adds a channel that this side creates.
    pub(crate) fn create(
        &mut self,
        connection: Weak<Connection>,
        rtc: Option<&mut Rtc>,
        label: &str,
        init: DataChannelInit,
    ) -> Result<Arc<Channel>, RtcError> {
        let in_range = |value: Option<i32>| value.is_none_or(|v| u16::try_from(v).is_ok());
        if !in_range(init.max_retransmits) || !in_range(init.max_retransmit_time) {
            return Err(RtcError::internal(
                "a data channel's limits must be 0 to 65535",
            ));
        }
        if init.negotiated {
            if !(0..65_535).contains(&init.id) {
                return Err(RtcError::internal(
                    "a negotiated channel's id must be 0 to 65534",
                ));
            }
            let taken = self.all.iter().any(|other| other.id() == init.id);
            if taken {
                return Err(RtcError::invalid_state(format!(
                    "channel id {} in use",
                    init.id
                )));
            }
        }
        let channel = Channel::new(
            connection,
            label.to_owned(),
            init,
            self.message_bytes_max.clone(),
        );
        self.all.push(channel.clone());
        if let (true, Some(rtc)) = (self.started, rtc) {
            Self::open(&channel, rtc);
        }
        Ok(channel)
    }

    /// SCTP starts: the waiting channels exist from here on. The peer takes messages of so many
    /// bytes, 0 meaning any.
    pub(crate) fn start(&mut self, rtc: &mut Rtc, peer_bytes_max: u64) {
        self.started = true;
        let peer = u32::try_from(peer_bytes_max)
            .ok()
            .filter(|bytes| *bytes > 0);
        let both = MESSAGE_BYTES_MAX.min(peer.unwrap_or(MESSAGE_BYTES_MAX));
        self.message_bytes_max.store(both, Ordering::Relaxed);
        for channel in &self.all {
            Self::open(channel, rtc);
        }
    }

    fn open(channel: &Channel, rtc: &mut Rtc) {
        let mut inner = channel.inner.lock();
        if inner.state == DataChannelState::Connecting && inner.channel.is_none() {
            inner.channel = Some(rtc.direct_api().create_data_channel(channel.config()));
        }
    }

    fn find(&self, id: ChannelId) -> Option<&Arc<Channel>> {
        self.all
            .iter()
            .find(|channel| channel.inner.lock().channel == Some(id))
    }

    /// str0m says that a channel is open: one of ours, or one that the peer created.
    pub(crate) fn opened(
        &mut self,
        connection: &Weak<Connection>,
        rtc: &mut Rtc,
        id: ChannelId,
        label: String,
    ) -> Notice {
        let stream = rtc.direct_api().sctp_stream_id_by_channel_id(id);
        let known = self.find(id).cloned();
        let channel = known
            .clone()
            .unwrap_or_else(|| self.incoming(connection, label));
        if let Some(stream) = stream {
            channel.id.store(i32::from(stream), Ordering::Relaxed);
        }
        channel.set_state(DataChannelState::Open);
        if known.is_some() {
            return Notice::ChannelState(channel, DataChannelState::Open);
        }
        channel.inner.lock().channel = Some(id);
        self.all.push(channel.clone());
        Notice::RemoteChannel(channel)
    }

    fn incoming(&self, connection: &Weak<Connection>, label: String) -> Arc<Channel> {
        let (init, limit) = (DataChannelInit::default(), self.message_bytes_max.clone());
        Channel::new(connection.clone(), label, init, limit)
    }

    /// str0m says that a message came. The program gets what the guard makes of it.
    pub(crate) fn message(
        &mut self,
        now: Instant,
        id: ChannelId,
        data: Vec<u8>,
        binary: bool,
    ) -> Vec<Notice> {
        let Some(channel) = self.find(id).cloned() else {
            return vec![];
        };
        {
            let mut inner = channel.inner.lock();
            inner.received.0 += 1;
            inner.received.1 += data.len() as u64;
        }
        if !GUARDED_LABELS.contains(&channel.label()) {
            return vec![Notice::Message {
                channel,
                data,
                binary,
            }];
        }
        let guard = self.guard.get_or_insert_with(|| Guard::new(now));
        let passed = guard.receive(now, data, binary);
        self.guarded = Arc::downgrade(&channel);
        passed
            .into_iter()
            .map(|data| guarded(&channel, data))
            .collect()
    }

    /// Ends data streams that were silent for too long. Returns when to look again, if at all.
    pub(crate) fn end_idle_streams(
        &mut self,
        now: Instant,
        notices: &mut Vec<Notice>,
    ) -> Option<Instant> {
        let guard = self.guard.as_mut()?;
        if guard.deadline().is_some_and(|at| at <= now) {
            let ended = guard.end_idle_streams(now);
            if let Some(channel) = self.guarded.upgrade() {
                notices.extend(ended.into_iter().map(|data| guarded(&channel, data)));
            }
        }
        guard.deadline()
    }

    /// str0m says that a channel is gone.
    pub(crate) fn closed(&mut self, id: ChannelId) -> Option<Notice> {
        let channel = self.find(id)?.clone();
        self.remove(&channel)
    }

    /// The program closes a channel.
    pub(crate) fn close(
        &mut self,
        channel: &Arc<Channel>,
        rtc: Option<&mut Rtc>,
    ) -> Option<Notice> {
        let id = channel.inner.lock().channel;
        match (id, rtc) {
            (Some(id), Some(rtc)) if channel.state() != DataChannelState::Closed => {
                if !channel.set_state(DataChannelState::Closing) {
                    return None;
                }
                rtc.direct_api().close_data_channel(id);
                Some(Notice::ChannelState(
                    channel.clone(),
                    DataChannelState::Closing,
                ))
            }
            _ => self.remove(channel),
        }
    }

    fn remove(&mut self, channel: &Arc<Channel>) -> Option<Notice> {
        self.all.retain(|other| !Arc::ptr_eq(other, channel));
        let changed = channel.set_state(DataChannelState::Closed);
        changed.then(|| Notice::ChannelState(channel.clone(), DataChannelState::Closed))
    }

    /// The connection is closed: so are all channels.
    pub(crate) fn close_all(&mut self) -> Vec<Notice> {
        let all = std::mem::take(&mut self.all);
        all.iter()
            .filter_map(|channel| self.remove(channel))
            .collect()
    }

    /// Moves waiting messages into str0m and notes what was acknowledged. Returns whether str0m
    /// got something to send.
    pub(crate) fn flush(&self, rtc: &mut Rtc, notices: &mut Vec<Notice>) -> bool {
        let mut wrote = false;
        for channel in &self.all {
            let Flushed { taken, sent } = channel.flush(rtc);
            wrote |= taken > 0;
            if sent > 0 {
                notices.push(Notice::Sent {
                    channel: channel.clone(),
                    bytes: sent,
                });
            }
        }
        wrote
    }
}

/// A message that the guard hands on.
fn guarded(channel: &Arc<Channel>, data: Vec<u8>) -> Notice {
    Notice::Message {
        channel: channel.clone(),
        data,
        binary: true,
    }
}
