//! The jitter buffer: packets in as they come, 10 ms of sound out whenever asked.
//!
//! [`JitterBuffer::insert`] sorts packets and learns how unevenly they come (`delay`, `packets`);
//! [`JitterBuffer::pull`] (`playout`) decodes, makes good what is missing (RED, FEC, concealment),
//! and keeps the delay near its target by stretching (`control`, `pcm_queue`). Sound is late rather
//! than dropped: after a stall what was said comes a little faster until the delay is back.
//!
//! **Invariant:** time is an argument; nothing is allocated per packet in steady state; any packet
//! may come in any order and none makes it panic.

mod control;
mod delay;
mod packets;
mod pcm_queue;
mod playout;
mod stats;
#[cfg(test)]
mod tests;

use std::time::Instant;

pub(crate) use stats::JitterStats;

use self::{
    control::WaitFilter,
    delay::DelayEstimator,
    packets::{CAPACITY, PacketRing, Received},
    pcm_queue::PcmQueue,
};
use super::{
    opus_decode::{OpusDecoder, carries_fec, packet_ticks},
    pcm::{PcmFormat, RTP_CLOCK_HZ},
};

/// A sequence number so far from the newest means that the sender started anew (RFC 3550, A.1:
/// `MAX_DROPOUT`).
const SEQUENCE_JUMP: u64 = 3_000;
/// Assumed length of a packet until one has come: 20 ms.
const TICKS_DEFAULT: u32 = RTP_CLOCK_HZ / 50;

/// One Opus packet of a stream.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IncomingAudio<'a> {
    pub(crate) ssrc: u32,
    /// Sequence number with its wraps counted in.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) arrival: Instant,
    /// It came as redundancy within a later packet.
    pub(crate) is_redundant: bool,
    pub(crate) payload: &'a [u8],
}

/// What is played next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    sequence: u64,
    timestamp: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No packet has come.
    Idle,
    /// Waiting until enough is there, then playing from the first packet there is.
    Filling,
    /// Playing from the cursor on.
    Playing,
}

/// Buffer and decoder of one audio stream.
#[derive(Debug)]
pub(crate) struct JitterBuffer {
    format: PcmFormat,
    decoder: OpusDecoder,
    packets: PacketRing,
    received: Received,
    delay: DelayEstimator,
    wait: WaitFilter,
    queue: PcmQueue,
    stats: JitterStats,
    /// Origin of times in ms.
    epoch: Option<Instant>,
    ssrc: Option<u32>,
    /// Last timestamp, without wraps.
    timestamp: Option<i64>,
    phase: Phase,
    cursor: Option<Cursor>,
    /// Length of the last packet.
    packet_ticks: u32,
    /// Sound made up since the packets ran out.
    stalled_ticks: u32,
    /// Sound made up in place of packets lost in a row.
    lost_ticks: u32,
    /// The last packet said that silence goes on.
    after_dtx: bool,
    /// Packets lost before the sender last started anew.
    lost_before: u64,
}

impl JitterBuffer {
    /// A buffer that gives sound in `format`.
    ///
    /// # Errors
    /// libopus could not get memory.
    pub(crate) fn new(format: PcmFormat) -> Result<Self, opus::Error> {
        Ok(Self {
            format,
            decoder: OpusDecoder::new(format)?,
            packets: PacketRing::new(),
            received: Received::default(),
            delay: DelayEstimator::new(),
            wait: WaitFilter::default(),
            queue: PcmQueue::new(format),
            stats: JitterStats::default(),
            epoch: None,
            ssrc: None,
            timestamp: None,
            phase: Phase::Idle,
            cursor: None,
            packet_ticks: TICKS_DEFAULT,
            stalled_ticks: 0,
            lost_ticks: 0,
            after_dtx: false,
            lost_before: 0,
        })
    }

    /// Takes a packet. One that is no Opus, came before or comes too late is counted and dropped.
    pub(crate) fn insert(&mut self, packet: IncomingAudio<'_>) {
        let Some(ticks) = packet_ticks(packet.payload) else {
            self.stats.packets_discarded += u64::from(!packet.is_redundant);
            return;
        };
        // Nothing real is near the end of 64 bits; leaving room there keeps sums from overflowing.
        if packet.sequence > u64::MAX / 2 || self.is_known_copy(&packet) {
            return;
        }
        self.restart_if_new(&packet);
        let is_newest = self
            .received
            .highest()
            .is_none_or(|highest| packet.sequence > highest);
        if !packet.is_redundant {
            if !self.received.note(packet.sequence) {
                self.stats.packets_discarded += 1;
                return;
            }
            self.stats.packets_received += 1;
        }
        let arrival_ms = self.ms(packet.arrival);
        let timestamp = self.unwrap_timestamp(packet.timestamp, is_newest);
        let delay_ms = self
            .delay
            .observe(arrival_ms, ms_of_ticks(timestamp), is_newest);
        if self
            .cursor
            .is_some_and(|cursor| packet.sequence < cursor.sequence)
        {
            self.stats.packets_discarded += u64::from(!packet.is_redundant);
            return;
        }
        if is_newest && !packet.is_redundant {
            self.expect_fec(&packet, delay_ms, ticks);
            self.measure_wait(arrival_ms, timestamp, delay_ms);
        }
        self.make_room(packet.sequence);
        let slot = self.packets.insert(packet.sequence);
        (slot.timestamp, slot.ticks) = (timestamp, ticks);
        slot.on_time_ms = arrival_ms - delay_ms;
        slot.is_redundant = packet.is_redundant;
        slot.payload.clear();
        slot.payload.extend_from_slice(packet.payload);
        if self.phase == Phase::Idle {
            self.phase = Phase::Filling;
        }
    }

    /// Counters up to now.
    pub(crate) fn stats(&self) -> JitterStats {
        let packet_ms = ms_of_ticks(i64::from(self.packet_ticks));
        JitterStats {
            packets_lost: self.lost_before + self.received.missing(),
            jitter_ms: self.delay.jitter_ms(),
            delay_ms: self.delay_ms(),
            target_delay_ms: self.delay.target_ms(packet_ms),
            ..self.stats
        }
    }

    /// Whether a redundant copy is of no use: the packet is there or was played.
    fn is_known_copy(&self, packet: &IncomingAudio<'_>) -> bool {
        packet.is_redundant
            && self.ssrc == Some(packet.ssrc)
            && (self.packets.get(packet.sequence).is_some() || self.received.has(packet.sequence))
    }

    /// Begins anew, keeping what is decoded, when the sender did.
    fn restart_if_new(&mut self, packet: &IncomingAudio<'_>) {
        let is_far = |highest: u64| highest.abs_diff(packet.sequence) > SEQUENCE_JUMP;
        let is_new = self.ssrc != Some(packet.ssrc) || self.received.highest().is_some_and(is_far);
        if !is_new {
            return;
        }
        self.lost_before += self.received.missing();
        self.ssrc = Some(packet.ssrc);
        self.packets.clear();
        self.received = Received::default();
        self.delay.restart_clock();
        self.timestamp = None;
        self.cursor = None;
        self.phase = Phase::Filling;
    }

    fn unwrap_timestamp(&mut self, timestamp: u32, is_newest: bool) -> i64 {
        let last = self.timestamp.unwrap_or(i64::from(timestamp));
        let step = timestamp.wrapping_sub(last as u32) as i32;
        let unwrapped = last + i64::from(step);
        if is_newest || self.timestamp.is_none() {
            self.timestamp = Some(unwrapped);
        }
        unwrapped
    }

    /// A lost packet whose FEC came with the next is like one that came a packet later: waiting for
    /// that long lets FEC help every time.
    fn expect_fec(&mut self, packet: &IncomingAudio<'_>, delay_ms: f64, ticks: u32) {
        let Some(previous) = packet.sequence.checked_sub(1) else {
            return;
        };
        let is_missing = self
            .cursor
            .is_some_and(|cursor| previous >= cursor.sequence)
            && self.packets.get(previous).is_none();
        if is_missing && carries_fec(packet.payload) {
            self.delay.note(delay_ms + ms_of_ticks(i64::from(ticks)));
        }
    }

    /// Drops the oldest packets if `sequence` would not fit behind them.
    fn make_room(&mut self, sequence: u64) {
        let oldest = (sequence + 1).saturating_sub(CAPACITY);
        while let Some(first) = self.packets.first().map(|p| p.sequence)
            && first < oldest
        {
            self.packets.remove(first);
            self.stats.packets_discarded += 1;
        }
    }

    fn ms(&mut self, at: Instant) -> f64 {
        let epoch = *self.epoch.get_or_insert(at);
        at.saturating_duration_since(epoch).as_secs_f64() * 1e3
    }
}

fn ms_of_ticks(ticks: i64) -> f64 {
    ticks as f64 * 1e3 / f64::from(RTP_CLOCK_HZ)
}
