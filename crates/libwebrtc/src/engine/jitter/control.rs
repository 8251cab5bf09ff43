//! Keeps the delay of the jitter buffer near its target, by stretching.
//!
//! What is controlled is the *wait*: how long a packet without relative delay lies here before it
//! sounds. It is the same for late and early packets, so it can be read off every one.

use super::{JitterBuffer, Phase, ms_of_ticks};
use crate::engine::opus_decode::TICKS_MIN;

/// Packets the wait is averaged over.
const SMOOTHING: f64 = 16.0;
/// Packets after a change before the next one.
const PACKETS_BETWEEN: u32 = 4;
/// The wait may lie so far above or below the target without anything being done.
const ABOVE_MS: f64 = 10.0;
const BELOW_MS: f64 = 4.0;
/// Above by so much, catching up matters more than the finest sound.
const FAR_ABOVE_MS: f64 = 100.0;
/// How well sound must repeat itself to be stretched there…
const LIKENESS: f64 = 0.9;
/// …which is relaxed by so much with each pull that found nothing, …
const LIKENESS_STEP: f64 = 0.005;
/// …down to this.
const LIKENESS_MIN: f64 = 0.4;
/// Likeness asked for when far above.
const LIKENESS_FAR: f64 = 0.6;
/// Most that one stretch changes: the longest lag there is.
const STRETCH_MS_MAX: f64 = 15.0;
pub(super) const PULL_MS: f64 = 10.0;

/// Running estimate of the wait.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WaitFilter {
    wait_ms: f64,
    /// Packets measured since the last break.
    measured: u32,
    /// Packets measured since the last stretch.
    since_stretch: u32,
    /// Pulls in a row that wanted to stretch and could not.
    refused: u32,
    pulled_at_ms: f64,
}

impl WaitFilter {
    /// Forgets the estimate: the line from arrival to sound was broken.
    pub(super) fn reset(&mut self) {
        *self = Self {
            pulled_at_ms: self.pulled_at_ms,
            wait_ms: self.wait_ms,
            ..Self::default()
        };
    }

    pub(super) fn pulled(&mut self, now_ms: f64) {
        self.pulled_at_ms = now_ms;
    }

    fn measure(&mut self, wait_ms: f64) {
        let weight = if self.measured == 0 {
            1.0
        } else {
            1.0 / SMOOTHING
        };
        self.wait_ms += (wait_ms - self.wait_ms) * weight;
        self.measured += 1;
        self.since_stretch += 1;
    }

    fn stretched(&mut self, by_ms: f64) {
        self.wait_ms += by_ms;
        (self.since_stretch, self.refused) = (0, 0);
    }

    fn likeness_min(&self) -> f64 {
        (LIKENESS - LIKENESS_STEP * f64::from(self.refused)).max(LIKENESS_MIN)
    }
}

impl JitterBuffer {
    /// Learns from a packet how long sound waits at present.
    pub(super) fn measure_wait(&mut self, arrival_ms: f64, timestamp: i64, delay_ms: f64) {
        let (Some(cursor), Phase::Playing) = (self.cursor, self.phase) else {
            return;
        };
        if self.stalled_ticks > 0 || self.queue.is_concealing() {
            return;
        }
        let queued = i64::from(self.format.ticks_of_samples(self.queue.frames()));
        let next_pull_ms = ms_of_ticks(cursor.timestamp - queued);
        let since_pull_ms = (arrival_ms - self.wait.pulled_at_ms).clamp(0.0, PULL_MS);
        let sounding_ms = next_pull_ms - PULL_MS + since_pull_ms;
        self.wait
            .measure(ms_of_ticks(timestamp) - sounding_ms + delay_ms);
    }

    /// Stretches what is ready if the wait is off its target.
    ///
    /// `frames` is what the pull needs; more is decoded if that is there.
    pub(super) fn adjust_wait(&mut self, frames: usize) {
        if self.phase != Phase::Playing || self.queue.is_concealing() || self.wait.measured == 0 {
            return;
        }
        let excess_ms = self.wait.wait_ms - self.delay.wait_ms(self.packet_ms());
        let is_far = excess_ms > FAR_ABOVE_MS;
        if self.wait.since_stretch < PACKETS_BETWEEN && !is_far {
            return;
        }
        if excess_ms > ABOVE_MS {
            let likeness = self.wait.likeness_min();
            self.decode_ahead(frames * 3);
            let frames_max = self.frames_of_ms(excess_ms.min(STRETCH_MS_MAX));
            let likeness = if is_far {
                likeness.min(LIKENESS_FAR)
            } else {
                likeness
            };
            let removed = self.queue.accelerate(frames_max, likeness);
            self.note_stretch(removed, -1.0);
            self.stats.samples_removed += removed as u64;
        } else if excess_ms < -BELOW_MS {
            let frames_max = self.frames_of_ms((-excess_ms + ABOVE_MS / 2.0).min(STRETCH_MS_MAX));
            self.decode_ahead(frames_max);
            let added = self.queue.expand(frames_max, self.wait.likeness_min());
            self.note_stretch(added, 1.0);
            self.stats.samples_inserted += added as u64;
        }
    }

    /// From arrival of a packet to the end of its sound, as it is now.
    pub(super) fn delay_ms(&self) -> f64 {
        if self.has_delay() {
            return self.wait.wait_ms + self.packet_ms();
        }
        let there = |(first, last): (i64, i64)| ms_of_ticks(last - first);
        let first = self.packets.first().map(|p| p.timestamp);
        first
            .zip(self.packets.last().map(|p| p.end()))
            .map_or(0.0, there)
    }

    /// Whether what is played now lay here for a time that is known.
    pub(super) fn has_delay(&self) -> bool {
        self.phase == Phase::Playing && self.wait.measured > 0
    }

    fn note_stretch(&mut self, frames: usize, sign: f64) {
        match frames {
            0 => self.wait.refused += 1,
            _ => {
                let ms = frames as f64 * 1e3 / f64::from(self.format.sample_rate());
                self.wait.stretched(sign * ms);
            }
        }
    }

    /// Decodes packets that follow without a gap until `frames` are ready.
    fn decode_ahead(&mut self, frames: usize) {
        while self.queue.frames() < frames {
            let (Some(first), Some(cursor)) = (self.packets.first(), self.cursor) else {
                return;
            };
            let gap = first.timestamp - cursor.timestamp;
            if first.sequence != cursor.sequence || gap.unsigned_abs() >= u64::from(TICKS_MIN) {
                return;
            }
            self.play();
        }
    }

    fn frames_of_ms(&self, ms: f64) -> usize {
        (ms * f64::from(self.format.sample_rate()) / 1e3) as usize
    }
}
