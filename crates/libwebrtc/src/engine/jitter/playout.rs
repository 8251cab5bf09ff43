//! The way out of the jitter buffer: what to play for the next 10 ms.
//!
//! Each turn of the loop decides on one [`Step`] and takes it; the decision looks at the cursor and
//! at the first packet only.

use std::time::Instant;

use super::{
    Cursor, JitterBuffer, Phase,
    control::PULL_MS,
    ms_of_ticks,
    packets::Packet,
    pcm_queue::{JOIN_LATE, JOIN_LOST, Join},
};
use crate::engine::{
    opus_decode::{TICKS_MAX, TICKS_MIN, carries_fec, is_dtx},
    pcm::RTP_CLOCK_HZ,
};

/// Without packets for so long the stream counts as paused: it starts afresh with the next one.
const STALL_TICKS_MAX: u32 = RTP_CLOCK_HZ;
/// A gap in the timestamps beyond this is not filled up even if packets were lost in it.
const GAP_TICKS_MAX: i64 = RTP_CLOCK_HZ as i64;

/// What to do when more sound is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// Set the cursor to the first packet.
    Start,
    /// Decode the first packet.
    Play,
    /// Take the packet before the first out of the first one's FEC.
    Fec { ticks: u32 },
    /// Conceal one lost packet.
    Lose { ticks: u32 },
    /// Pass over lost packets in whose place sound was made up already.
    Skip { packets: u64, ticks: u32 },
    /// The sender is silent (the timestamps say so): so are we, until the first packet's time.
    Pause,
    /// Nothing to play: make sound up.
    Stall,
}

impl JitterBuffer {
    /// Fills `output` with the next 10 ms of sound: [`PcmFormat::samples_10ms`] interleaved
    /// samples.
    ///
    /// To be called every 10 ms. Gives false, and silence, until the first packet has come.
    ///
    /// [`PcmFormat::samples_10ms`]: crate::engine::pcm::PcmFormat::samples_10ms
    pub(crate) fn pull(&mut self, now: Instant, output: &mut [i16]) -> bool {
        debug_assert_eq!(output.len(), self.format.samples_10ms());
        let frames = output.len() / self.format.channels();
        if self.phase == Phase::Idle {
            output.fill(0);
            return false;
        }
        let now_ms = self.ms(now);
        self.fill(now_ms, frames);
        self.adjust_wait(frames);
        self.fill(now_ms, frames);
        self.queue.pop(output);
        self.wait.pulled(now_ms);
        self.count_emitted(frames);
        true
    }

    /// Takes steps until `frames` are ready.
    fn fill(&mut self, now_ms: f64, frames: usize) {
        while self.queue.frames() < frames {
            let missing = frames - self.queue.frames();
            match self.next_step(now_ms) {
                Step::Start => self.start(),
                Step::Play => self.play(),
                Step::Fec { ticks } => self.play_fec(ticks),
                Step::Lose { ticks } => self.lose(ticks),
                Step::Skip { packets, ticks } => self.skip(packets, ticks),
                Step::Pause => self.make_up(missing, false),
                Step::Stall => self.stall(missing),
            }
        }
    }

    fn next_step(&self, now_ms: f64) -> Step {
        let Some(first) = self.packets.first() else {
            return Step::Stall;
        };
        let (Some(cursor), Phase::Playing) = (self.cursor, self.phase) else {
            return if self.is_filled(first, now_ms, 1.0) {
                Step::Start
            } else {
                Step::Stall
            };
        };
        // After a stall half the target is enough: the rest comes back by stretching, unheard.
        if self.stalled_ticks > 0 && !self.is_filled(first, now_ms, 0.5) {
            return Step::Stall;
        }
        let gap = first.timestamp - cursor.timestamp;
        let missing = first.sequence.saturating_sub(cursor.sequence);
        if gap < i64::from(TICKS_MIN) {
            return Step::Play;
        }
        if missing == 0 || gap > GAP_TICKS_MAX {
            let is_due = self.has_waited(first, now_ms, self.delay.wait_ms(self.packet_ms()));
            return if is_due { Step::Play } else { Step::Pause };
        }
        let ticks = self.lost_packet_ticks(gap, missing);
        // The last lost packet is not passed over: it updates the decoder, maybe from FEC.
        let passed = u64::from(self.stalled_ticks / ticks).min(missing - 1);
        if passed > 0 {
            return Step::Skip {
                packets: passed,
                ticks,
            };
        }
        if missing == 1 && gap <= i64::from(first.ticks) && carries_fec(&first.payload) {
            return Step::Fec { ticks };
        }
        Step::Lose { ticks }
    }

    /// Whether enough is there to play from `first` on: `share` of the target delay.
    fn is_filled(&self, first: &Packet, now_ms: f64, share: f64) -> bool {
        let packet_ms = ms_of_ticks(i64::from(first.ticks));
        let there = self
            .packets
            .last()
            .map_or(0, |last| last.end() - first.timestamp);
        ms_of_ticks(there) >= self.delay.target_ms(packet_ms) * share
            || self.has_waited(first, now_ms, self.delay.wait_ms(packet_ms) * share)
    }

    /// Whether a packet that sound begins with will have waited for so long when it sounds, to the nearest
    /// pull: what is ready comes before it. One that was late has waited on its way: counted from its
    /// arrival, all that follows would be as late.
    fn has_waited(&self, first: &Packet, now_ms: f64, wait_ms: f64) -> bool {
        let ready = self.format.ticks_of_samples(self.queue.frames());
        let sounds_at_ms = now_ms + ms_of_ticks(i64::from(ready));
        sounds_at_ms - first.on_time_ms >= wait_ms - PULL_MS / 2.0
    }

    /// Length of each of `missing` packets that leave a gap.
    fn lost_packet_ticks(&self, gap: i64, missing: u64) -> u32 {
        let each = gap / missing as i64;
        let ticks = match each <= i64::from(TICKS_MAX) {
            true => each as u32,
            // A pause is part of the gap.
            false => self.packet_ticks,
        };
        ticks.max(TICKS_MIN) / TICKS_MIN * TICKS_MIN
    }

    fn start(&mut self) {
        if let Some(first) = self.packets.first() {
            let (sequence, timestamp) = (first.sequence, first.timestamp);
            self.cursor = Some(Cursor {
                sequence,
                timestamp,
            });
            self.phase = Phase::Playing;
            self.stalled_ticks = 0;
            self.wait.reset();
        }
    }

    pub(super) fn play(&mut self) {
        let Some(first) = self.packets.first() else {
            return;
        };
        let sequence = first.sequence;
        self.cursor = Some(Cursor {
            sequence: sequence + 1,
            timestamp: first.end(),
        });
        self.packet_ticks = first.ticks;
        self.after_dtx = is_dtx(&first.payload);
        self.stats.packets_recovered_by_red += u64::from(first.is_redundant);
        if self.queue.is_concealing() {
            self.wait.reset();
        }
        let join = join(self.lost_ticks);
        match self.decoder.decode(&first.payload) {
            Ok(pcm) => {
                let added = self.queue.push(pcm, join);
                self.stats.samples_inserted += added as u64;
            }
            Err(_) => {
                self.stats.packets_discarded += 1;
                self.conceal_lost(self.packet_ticks);
            }
        }
        self.packets.remove(sequence);
        (self.stalled_ticks, self.lost_ticks) = (0, 0);
    }

    fn play_fec(&mut self, ticks: u32) {
        let (Some(first), Some(cursor)) = (self.packets.first(), &mut self.cursor) else {
            return;
        };
        *cursor = Cursor {
            sequence: first.sequence,
            timestamp: first.timestamp,
        };
        let join = join(self.lost_ticks);
        match self.decoder.decode_fec(&first.payload, ticks) {
            Ok(pcm) => {
                self.queue.push(pcm, join);
                self.stats.packets_recovered_by_fec += 1;
            }
            Err(_) => self.conceal_lost(ticks),
        }
        self.stalled_ticks = 0;
    }

    fn lose(&mut self, ticks: u32) {
        if let Some(cursor) = &mut self.cursor {
            cursor.sequence += 1;
            cursor.timestamp += i64::from(ticks);
        }
        self.conceal_lost(ticks);
        self.stalled_ticks = 0;
    }

    /// Plays something in place of a packet that is lost or cannot be decoded.
    ///
    /// The decoder's own concealment is not used: what sounded before, repeated, bridges such short
    /// breaks better than its extrapolation, and can be joined to what comes after.
    fn conceal_lost(&mut self, ticks: u32) {
        self.stats.concealment_events += u64::from(!self.queue.is_concealing());
        self.lost_ticks = self.lost_ticks.saturating_add(ticks);
        let frames = self.format.samples_of_ticks(ticks);
        let is_audible = self.queue.conceal(frames);
        self.count_concealed(frames, is_audible);
    }

    fn skip(&mut self, packets: u64, ticks: u32) {
        if let Some(cursor) = &mut self.cursor {
            cursor.sequence += packets;
            cursor.timestamp += packets as i64 * i64::from(ticks);
        }
        self.stalled_ticks = self.stalled_ticks.saturating_sub(packets as u32 * ticks);
    }

    fn stall(&mut self, frames: usize) {
        let is_break = self.phase == Phase::Playing && !self.after_dtx;
        self.make_up(frames, is_break);
        self.stalled_ticks = self
            .stalled_ticks
            .saturating_add(self.format.ticks_of_samples(frames));
        if self.stalled_ticks >= STALL_TICKS_MAX {
            self.phase = Phase::Filling;
            self.after_dtx = false;
        }
    }

    /// Plays something while there is no packet: comfort noise if the sender is silent (DTX), else
    /// what sounded before, fading. `is_break` = it counts as concealment.
    fn make_up(&mut self, frames: usize, is_break: bool) {
        self.wait.reset();
        if self.after_dtx
            && let Ok(pcm) = self.decoder.conceal(RTP_CLOCK_HZ / 100)
        {
            self.queue.push(pcm, JOIN_LATE);
            return;
        }
        let is_new = !self.queue.is_concealing();
        let is_audible = self.queue.conceal(frames);
        if is_break {
            self.stats.concealment_events += u64::from(is_new);
            self.count_concealed(frames, is_audible);
        }
    }

    fn count_concealed(&mut self, frames: usize, is_audible: bool) {
        self.stats.samples_concealed += frames as u64;
        self.stats.samples_concealed_silent += if is_audible { 0 } else { frames as u64 };
    }

    fn count_emitted(&mut self, frames: usize) {
        let seconds = frames as f64 / 1e3;
        self.stats.samples_emitted += frames as u64;
        // Neither silence nor made-up sound has waited.
        if !self.has_delay() {
            return;
        }
        self.stats.samples_delayed += frames as u64;
        self.stats.delay_sum_s += self.delay_ms() * seconds;
        self.stats.target_delay_sum_s += self.delay.target_ms(self.packet_ms()) * seconds;
    }

    pub(super) fn packet_ms(&self) -> f64 {
        ms_of_ticks(i64::from(self.packet_ticks))
    }
}

/// How the next sound is joined on after so much was lost.
fn join(lost_ticks: u32) -> Join {
    if lost_ticks > 0 { JOIN_LOST } else { JOIN_LATE }
}
