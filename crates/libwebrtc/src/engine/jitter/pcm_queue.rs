//! Decoded sound on its way out: some that was played already, kept to look back at, and some that
//! was not.
//!
//! Makes sound up when there is none ([`conceal`](PcmQueue::conceal)), and joins it to what comes
//! after. When to do so is decided by the buffer.

use std::time::Duration;

use crate::engine::{pcm::PcmFormat, stretch::Shape};

/// Made-up sound is at full level for so long, then fades…
const CONCEAL_FULL: Duration = Duration::from_millis(30);
/// …to silence here.
const CONCEAL_END: Duration = Duration::from_millis(130);
/// How made-up sound and what comes after are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Join {
    /// The made-up sound goes on for so long beside the new, in microseconds, …
    hold_us: usize,
    /// …then one fades into the other.
    fade_us: usize,
}

/// The packet was late: the decoder missed nothing.
pub(super) const JOIN_LATE: Join = Join {
    hold_us: 0,
    fade_us: 5_000,
};
/// A packet was lost: the decoder's prediction is off for the first part of the next one.
pub(super) const JOIN_LOST: Join = Join {
    hold_us: 6_000,
    fade_us: 10_000,
};

/// Sound that was decoded, in frames of all channels.
#[derive(Debug)]
pub(super) struct PcmQueue {
    shape: Shape,
    /// Interleaved: history, then what is still to be played.
    pcm: Vec<i16>,
    /// First frame that was not played.
    read: usize,
    /// Set while sound is being made up.
    concealment: Option<Concealment>,
    /// Buffers that go round.
    period: Vec<i16>,
    tail: Vec<i16>,
}

/// The last period of the sound before it broke off lives in `period`.
#[derive(Debug, Clone, Copy)]
struct Concealment {
    frames_made: usize,
}

impl PcmQueue {
    pub(super) fn new(format: PcmFormat) -> Self {
        let shape = Shape {
            sample_rate: format.sample_rate(),
            channels: format.channels(),
        };
        // Room for the history, a packet of 120 ms and what stretching wants in advance.
        let room = (shape.history_frames() + shape.frames(300_000)) * shape.channels;
        let (period, tail) = (Vec::new(), Vec::new());
        Self {
            shape,
            pcm: Vec::with_capacity(room),
            read: 0,
            concealment: None,
            period,
            tail,
        }
    }

    /// Frames that are ready to be played.
    pub(super) fn frames(&self) -> usize {
        self.pcm.len() / self.shape.channels - self.read
    }

    pub(super) fn is_concealing(&self) -> bool {
        self.concealment.is_some()
    }

    /// Appends decoded sound; after made-up sound the two are joined. Gives the frames that the
    /// joint added.
    pub(super) fn push(&mut self, pcm: &[i16], join: Join) -> usize {
        let Some(concealment) = self.concealment.take() else {
            self.pcm.extend_from_slice(pcm);
            return 0;
        };
        let frames = pcm.len() / self.shape.channels;
        let is_audible = self.gain(concealment.frames_made) > 0.0;
        let hold = if is_audible {
            self.shape.frames(join.hold_us)
        } else {
            0
        };
        let hold = hold.min(frames / 2);
        let fade = self.shape.frames(join.fade_us).min(frames - hold);
        let added = self.append_tail(concealment, pcm, hold + fade);
        let start = self.pcm.len();
        self.pcm.extend_from_slice(pcm);
        let channels = self.shape.channels;
        for k in 0..(hold + fade) * channels {
            let old = self.tail[added * channels + k];
            let step = (k / channels).checked_sub(hold);
            let new = self.pcm[start + k];
            self.pcm[start + k] = step.map_or(old, |step| self.shape.mix(old, new, step, fade));
        }
        added
    }

    /// Appends `frames` of made-up sound that goes on as the sound before did, fading.
    ///
    /// Gives whether it is still to be heard.
    pub(super) fn conceal(&mut self, frames: usize) -> bool {
        let mut concealment = match self.concealment {
            Some(concealment) => concealment,
            None => self.begin_concealment(),
        };
        let mut is_audible = false;
        for _ in 0..frames {
            let gain = self.gain(concealment.frames_made);
            is_audible |= gain > 0.0;
            push_period(
                &mut self.pcm,
                &self.period,
                self.shape,
                concealment.frames_made,
                gain,
            );
            concealment.frames_made += 1;
        }
        self.concealment = Some(concealment);
        is_audible
    }

    /// Cuts one lag of at most `frames_max` out of what is ready, if the sound repeats itself well
    /// enough. Gives the frames removed.
    pub(super) fn accelerate(&mut self, frames_max: usize, likeness_min: f64) -> usize {
        let found = self.shape.lag_after(&self.pcm, self.read, frames_max);
        match found.filter(|lag| lag.likeness >= likeness_min) {
            Some(lag) => {
                self.shape.cut(&mut self.pcm, self.read, lag.frames);
                lag.frames
            }
            None => 0,
        }
    }

    /// Repeats one lag of at most `frames_max`, if the sound repeats itself well enough. Gives the
    /// frames added.
    pub(super) fn expand(&mut self, frames_max: usize, likeness_min: f64) -> usize {
        let frames_max = frames_max.min(self.frames()).min(self.read);
        let found = self.shape.lag_before(&self.pcm, self.read, frames_max);
        match found.filter(|lag| lag.likeness >= likeness_min) {
            Some(lag) => {
                self.shape.repeat(&mut self.pcm, self.read, lag.frames);
                lag.frames
            }
            None => 0,
        }
    }

    /// Plays `output.len()` samples; the caller has made sure that they are there.
    pub(super) fn pop(&mut self, output: &mut [i16]) {
        let from = self.read * self.shape.channels;
        output.copy_from_slice(&self.pcm[from..from + output.len()]);
        self.read += output.len() / self.shape.channels;
        let history = self.shape.history_frames();
        // Moving the rest to the front now and then is cheaper than doing it every time.
        if self.read > 4 * history {
            self.pcm
                .drain(..(self.read - history) * self.shape.channels);
            self.read = history;
        }
    }

    fn begin_concealment(&mut self) -> Concealment {
        let end = self.pcm.len() / self.shape.channels;
        let lag = self.shape.lag_before(&self.pcm, end, self.shape.lag_max());
        self.period.clear();
        match lag {
            Some(lag) => {
                let width = lag.frames * self.shape.channels;
                self.period
                    .extend_from_slice(&self.pcm[self.pcm.len() - width..]);
                self.close_period(width);
            }
            // Nothing has sounded yet.
            None => self.period.resize(self.shape.channels, 0),
        }
        Concealment { frames_made: 0 }
    }

    /// Bends the period so that its start continues its end: a lag is a whole number of frames,
    /// the sound's own period is not.
    fn close_period(&mut self, width: usize) {
        for channel in 0..self.shape.channels {
            let at = |from_end: usize| self.pcm.len().checked_sub(from_end + self.shape.channels);
            let (Some(last), Some(before)) = (at(0), at(width)) else {
                return;
            };
            let miss = self.pcm[last + channel].saturating_sub(self.pcm[before + channel]);
            for at in (channel..width).step_by(self.shape.channels) {
                let bent = self
                    .shape
                    .mix(miss, 0, at, width)
                    .saturating_add(self.period[at]);
                self.period[at] = bent;
            }
        }
    }

    /// Continues made-up sound up to where `next` fits on best. Gives the frames appended; `tail`
    /// holds them and the `overlap` that would have come after.
    fn append_tail(&mut self, made: Concealment, next: &[i16], overlap: usize) -> usize {
        let gain = self.gain(made.frames_made);
        self.tail.clear();
        for k in 0..self.shape.lag_max() + overlap {
            push_period(
                &mut self.tail,
                &self.period,
                self.shape,
                made.frames_made + k,
                gain,
            );
        }
        if gain == 0.0 {
            return 0;
        }
        let added = self.shape.alignment(&self.tail, next, overlap);
        self.pcm
            .extend_from_slice(&self.tail[..added * self.shape.channels]);
        added
    }

    /// Level of made-up sound after so many frames of it.
    fn gain(&self, frames_made: usize) -> f64 {
        let frames = |d: Duration| self.shape.frames(d.as_micros() as usize) as f64;
        let (full, end) = (frames(CONCEAL_FULL), frames(CONCEAL_END));
        ((end - frames_made as f64) / (end - full)).clamp(0.0, 1.0)
    }
}

/// Appends one frame of the repeated period.
fn push_period(out: &mut Vec<i16>, period: &[i16], shape: Shape, frame: usize, gain: f64) {
    let frames = period.len() / shape.channels;
    let from = frame % frames * shape.channels;
    let samples = &period[from..from + shape.channels];
    out.extend(
        samples
            .iter()
            .map(|s| (f64::from(*s) * gain).round() as i16),
    );
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn sine(from: usize, frames: usize, rate: u32, hz: f64) -> Vec<i16> {
        let sample = |n: usize| (8000.0 * (TAU * hz * n as f64 / f64::from(rate)).sin()) as i16;
        (from..from + frames).map(sample).collect()
    }

    /// Largest step between neighbours: a click is a step beyond what the tone itself has.
    fn step_max(pcm: &[i16]) -> i32 {
        let steps = pcm
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs());
        steps.max().unwrap_or(0)
    }

    fn drain(queue: &mut PcmQueue) -> Vec<i16> {
        let mut out = vec![0; queue.frames()];
        queue.pop(&mut out);
        out
    }

    #[test]
    fn a_tone_is_cut_and_repeated_without_a_click() {
        for rate in [8_000, 16_000, 48_000] {
            for hz in [100.0, 220.0, 440.0, 1000.0] {
                let format = PcmFormat::exactly(rate, 1).unwrap();
                let mut queue = PcmQueue::new(format);
                let n = rate as usize / 10;
                queue.push(&sine(0, n, rate, hz), JOIN_LATE);
                let mut out = vec![0; n / 2];
                queue.pop(&mut out);
                let removed = queue.accelerate(usize::MAX, 0.9);
                assert!(removed > 0, "{hz} Hz at {rate}: nothing to cut");
                let added = queue.expand(usize::MAX, 0.9);
                assert!(added > 0, "{hz} Hz at {rate}: nothing to repeat");
                out.extend(drain(&mut queue));
                assert_eq!(out.len(), n - removed + added);
                let limit = step_max(&sine(0, n, rate, hz)) * 11 / 10 + 10;
                assert!(
                    step_max(&out) <= limit,
                    "{hz} Hz at {rate}: a step of {}",
                    step_max(&out)
                );
            }
        }
    }

    #[test]
    fn a_break_in_a_tone_is_bridged_and_joined_without_a_click() {
        let (rate, n) = (48_000, 4800);
        let mut queue = PcmQueue::new(PcmFormat::exactly(rate, 1).unwrap());
        queue.push(&sine(0, n, rate, 440.0), JOIN_LATE);
        assert!(queue.conceal(960));
        // The sound goes on where it broke off: the packet was late, not lost.
        let added = queue.push(&sine(n, n, rate, 440.0), JOIN_LATE);
        assert!(!queue.is_concealing());
        let out = drain(&mut queue);
        assert_eq!(out.len(), 2 * n + 960 + added);
        assert!(
            step_max(&out) <= 8000 * 6 / 100 + 20,
            "a step of {}",
            step_max(&out)
        );
        let loudest = |w: &[i16]| w.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!(
            out.chunks_exact(480).all(|w| loudest(w) > 7000),
            "a quiet window"
        );
    }

    #[test]
    fn a_long_break_fades_to_silence_and_sound_fades_in() {
        let rate = 16_000;
        let mut queue = PcmQueue::new(PcmFormat::exactly(rate, 1).unwrap());
        queue.push(&sine(0, 3200, rate, 300.0), JOIN_LATE);
        assert!(queue.conceal(1600));
        queue.conceal(1600);
        assert!(!queue.conceal(160), "silent after 130 ms");
        let before = queue.frames();
        assert_eq!(queue.push(&sine(0, 3200, rate, 300.0), JOIN_LATE), 0);
        let out = drain(&mut queue);
        assert!(out[before - 160..before].iter().all(|s| *s == 0));
        assert!(step_max(&out) <= 1000, "a step of {}", step_max(&out));
    }

    #[test]
    fn nothing_sounded_yet_is_silence() {
        let mut queue = PcmQueue::new(PcmFormat::exactly(48_000, 2).unwrap());
        queue.conceal(480);
        assert_eq!(queue.frames(), 480);
        assert_eq!((queue.accelerate(0, 0.9), queue.expand(0, 0.9)), (0, 0));
        assert!(drain_stereo(&mut queue).iter().all(|s| *s == 0));
    }

    fn drain_stereo(queue: &mut PcmQueue) -> Vec<i16> {
        let mut out = vec![0; queue.frames() * 2];
        queue.pop(&mut out);
        out
    }

    #[test]
    fn both_channels_are_stretched_alike() {
        let rate = 48_000;
        let mut queue = PcmQueue::new(PcmFormat::exactly(rate, 2).unwrap());
        let tone = sine(0, 9600, rate, 440.0);
        queue.push(
            &tone.iter().flat_map(|s| [*s, s / 2]).collect::<Vec<_>>(),
            JOIN_LATE,
        );
        assert!(queue.accelerate(usize::MAX, 0.9) > 0);
        queue.conceal(480);
        for frame in drain_stereo(&mut queue).chunks_exact(2) {
            assert!((frame[0] / 2 - frame[1]).abs() <= 2, "{frame:?}");
        }
    }
}
