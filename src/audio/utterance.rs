//! The sound of what a user is saying, kept until it is transcribed.

use std::time::Duration;

use super::AudioFrame;
use super::vad::SAMPLE_RATE_HZ;

/// Keeps the last moments while nobody speaks and everything from there on while somebody does.
///
/// While nobody speaks it moves what it keeps only once in a while, and so holds up to twice as much.
pub struct UtteranceBuffer {
    samples: Vec<i16>,
    prefix_samples: usize,
    max_samples: usize,
    is_open: bool,
}

impl UtteranceBuffer {
    /// A buffer that keeps `prefix` of sound from before speech and holds `max` at most.
    pub fn new(prefix: Duration, max: Duration) -> Self {
        Self {
            samples: Vec::new(),
            prefix_samples: samples_in(prefix),
            max_samples: samples_in(max).max(1),
            is_open: false,
        }
    }

    /// Adds 16 kHz mono sound. A full buffer loses its oldest sound; see [`Self::is_full`].
    pub fn push(&mut self, samples: &[i16]) {
        self.samples.extend_from_slice(samples);
        if self.is_open {
            self.keep_last(self.max_samples);
        } else if self.samples.len() > 2 * self.prefix_samples {
            self.keep_last(self.prefix_samples);
        }
    }

    /// Speech began: keep everything from here on, and the prefix before it.
    pub fn open(&mut self) {
        if !self.is_open {
            self.keep_last(self.prefix_samples);
        }
        self.is_open = true;
    }

    /// Whether the next frame would push out the oldest sound of an utterance.
    pub fn is_full(&self) -> bool {
        // One frame of slack (10 ms), as frames are added before anybody asks.
        self.is_open && self.samples.len() + samples_in(FRAME) > self.max_samples
    }

    /// The utterance so far; the buffer keeps it, as more may be said.
    pub fn so_far(&self) -> AudioFrame {
        AudioFrame {
            samples: self.samples.clone(),
            sample_rate_hz: SAMPLE_RATE_HZ,
        }
    }

    /// The utterance so far; the buffer starts again behind it.
    pub fn cut(&mut self) -> AudioFrame {
        AudioFrame {
            samples: std::mem::take(&mut self.samples),
            sample_rate_hz: SAMPLE_RATE_HZ,
        }
    }

    /// The utterance is over: forget it but for the prefix of the next one.
    pub fn close(&mut self) {
        self.is_open = false;
        self.keep_last(self.prefix_samples);
        self.samples.shrink_to(self.prefix_samples * 2);
    }

    fn keep_last(&mut self, n_samples: usize) {
        let n_surplus = self.samples.len().saturating_sub(n_samples);
        self.samples.drain(..n_surplus);
    }
}

/// The length of the frames that a room delivers.
const FRAME: Duration = Duration::from_millis(10);

fn samples_in(duration: Duration) -> usize {
    (duration.as_millis() as usize) * (SAMPLE_RATE_HZ as usize) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer() -> UtteranceBuffer {
        UtteranceBuffer::new(Duration::from_millis(500), Duration::from_secs(60))
    }

    #[test]
    fn half_a_second_before_the_onset_is_kept() {
        let mut buffer = buffer();
        buffer.push(&[1; 16_000]);
        buffer.push(&[2; 8_000]);
        buffer.open();
        buffer.push(&[3; 100]);
        let sound = buffer.so_far();
        assert_eq!(sound.samples.len(), 8_100);
        assert_eq!(sound.samples[0], 2);
        assert_eq!(sound.samples[8_099], 3);
    }

    #[test]
    fn whenever_speech_begins_exactly_the_prefix_comes_before_it() {
        for n_frames in [49, 50, 51, 99, 100, 101, 175] {
            let mut buffer = buffer();
            let samples: Vec<i16> = (0..n_frames * 160).collect();
            samples.chunks(160).for_each(|frame| buffer.push(frame));
            buffer.open();
            let kept = &samples[samples.len().saturating_sub(8_000)..];
            assert_eq!(buffer.so_far().samples, kept, "{n_frames} frames");
        }
    }

    #[test]
    fn nothing_is_lost_while_the_utterance_lasts_and_it_can_be_asked_for_twice() {
        let mut buffer = buffer();
        buffer.open();
        buffer.push(&[1; 16_000]);
        assert_eq!(buffer.so_far().samples.len(), 16_000);
        buffer.push(&[2; 16_000]);
        assert_eq!(buffer.so_far().duration(), Duration::from_secs(2));
    }

    #[test]
    fn a_minute_fills_the_buffer_and_a_cut_empties_it() {
        let mut buffer = buffer();
        buffer.open();
        for _ in 0..5_998 {
            buffer.push(&[1; 160]);
        }
        assert!(!buffer.is_full());
        buffer.push(&[1; 160]);
        buffer.push(&[1; 160]);
        assert!(buffer.is_full());
        assert_eq!(buffer.cut().duration(), Duration::from_secs(60));
        buffer.push(&[2; 160]);
        assert_eq!(buffer.so_far().samples, vec![2; 160]);
    }

    #[test]
    fn a_closed_buffer_keeps_only_the_prefix_of_the_next_utterance() {
        let mut buffer = buffer();
        buffer.open();
        buffer.push(&[1; 160_000]);
        buffer.close();
        assert_eq!(buffer.so_far().samples.len(), 8_000);
    }
}
