//! Finds stretches of sound in received PCM. Plain code: time is an argument.
//!
//! A synthetic voice over a clean line needs no voice-activity model: what is louder than the
//! codec's own noise is speech.

use std::time::Duration;

use crate::FRAME_SAMPLES;

/// Root mean square, in sample units, above which a 10 ms frame counts as sound (-44 dBFS).
/// Comfort noise of the codec stays under 20; flite's quietest vowels are above 400.
pub const SOUND_RMS_MIN: f64 = 200.0;

/// Silence that ends a stretch; longer than the pause between two sentences of one reply.
pub const SILENCE_MAX: Duration = Duration::from_millis(1_200);

/// Frames kept from before the first loud one, so that soft onsets are not cut off.
const LEAD_IN_FRAMES: usize = 15;

/// What [`Hearing::frame`] noticed.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// Sound began with this frame.
    Onset,
    /// Sound ended as long ago as silence must last.
    Speech {
        /// 16 kHz mono, from a little before the onset to the last loud frame.
        samples: Vec<i16>,
    },
}

/// Splits 10 ms frames into stretches of sound.
pub struct Hearing {
    samples: Vec<i16>,
    silence_max: Duration,
    quiet_frames: usize,
    is_sounding: bool,
}

impl Default for Hearing {
    fn default() -> Self {
        Self::new(SILENCE_MAX)
    }
}

impl Hearing {
    /// Hears silence of `silence_max` as the end of a stretch.
    pub fn new(silence_max: Duration) -> Self {
        Self {
            samples: Vec::new(),
            silence_max,
            quiet_frames: 0,
            is_sounding: false,
        }
    }

    /// Takes the next frame: [`FRAME_SAMPLES`] samples of 16 kHz mono.
    pub fn frame(&mut self, frame: &[i16]) -> Option<Heard> {
        let is_loud = rms(frame) >= SOUND_RMS_MIN;
        self.samples.extend_from_slice(frame);
        if is_loud {
            self.quiet_frames = 0;
            if !self.is_sounding {
                self.is_sounding = true;
                return Some(Heard::Onset);
            }
            return None;
        }
        self.quiet_frames += 1;
        if !self.is_sounding {
            let excess = self
                .samples
                .len()
                .saturating_sub(LEAD_IN_FRAMES * FRAME_SAMPLES);
            self.samples.drain(..excess);
        } else if self.quiet_frames as u128 * 10 >= self.silence_max.as_millis() {
            self.is_sounding = false;
            let mut samples = std::mem::take(&mut self.samples);
            // Recognition wants a little silence at the end, not all of it.
            let silence = self.quiet_frames.saturating_sub(LEAD_IN_FRAMES) * FRAME_SAMPLES;
            samples.truncate(samples.len() - silence.min(samples.len()));
            return Some(Heard::Speech { samples });
        }
        None
    }
}

/// Index after the last sample that belongs to a loud 10 ms frame; zero when all is quiet.
pub fn speech_end(samples: &[i16]) -> usize {
    samples
        .chunks(FRAME_SAMPLES)
        .enumerate()
        .rfind(|(_, frame)| rms(frame) >= SOUND_RMS_MIN)
        .map_or(0, |(index, frame)| index * FRAME_SAMPLES + frame.len())
}

/// Index of the first sample of a loud 10 ms frame; the end when all is quiet.
pub fn speech_start(samples: &[i16]) -> usize {
    samples
        .chunks(FRAME_SAMPLES)
        .position(|frame| rms(frame) >= SOUND_RMS_MIN)
        .map_or(samples.len(), |index| index * FRAME_SAMPLES)
}

/// Root mean square of a frame in sample units.
pub fn rms(frame: &[i16]) -> f64 {
    let energy: f64 = frame.iter().map(|&sample| f64::from(sample).powi(2)).sum();
    (energy / frame.len().max(1) as f64).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: [i16; FRAME_SAMPLES] = [3_000; FRAME_SAMPLES];
    const QUIET: [i16; FRAME_SAMPLES] = [3; FRAME_SAMPLES];

    fn feed(hearing: &mut Hearing, frame: &[i16], count: usize) -> Vec<Heard> {
        (0..count).filter_map(|_| hearing.frame(frame)).collect()
    }

    #[test]
    fn a_pause_between_sentences_does_not_end_the_speech() {
        let mut hearing = Hearing::default();
        assert!(feed(&mut hearing, &QUIET, 300).is_empty());
        assert_eq!(feed(&mut hearing, &LOUD, 50), [Heard::Onset]);
        assert!(feed(&mut hearing, &QUIET, 100).is_empty());
        assert!(feed(&mut hearing, &LOUD, 50).is_empty());
        let heard = feed(&mut hearing, &QUIET, 300);
        let [Heard::Speech { samples }] = heard.as_slice() else {
            panic!("{heard:?}")
        };
        let loud = samples.iter().filter(|&&sample| sample == 3_000).count();
        assert_eq!(loud, 100 * FRAME_SAMPLES);
        assert!(samples.len() <= (100 + 100 + 2 * LEAD_IN_FRAMES) * FRAME_SAMPLES);
    }

    #[test]
    fn a_second_reply_is_a_second_onset() {
        let mut hearing = Hearing::default();
        for _ in 0..2 {
            assert_eq!(feed(&mut hearing, &LOUD, 20), [Heard::Onset]);
            assert_eq!(feed(&mut hearing, &QUIET, 200).len(), 1);
        }
    }

    #[test]
    fn the_start_of_speech_is_the_first_loud_frame() {
        let samples = [QUIET, QUIET, LOUD, QUIET, LOUD].concat();
        assert_eq!(speech_start(&samples), FRAME_SAMPLES * 2);
        assert_eq!(speech_start(&QUIET), FRAME_SAMPLES);
    }

    #[test]
    fn the_end_of_speech_is_the_last_loud_frame() {
        let mut samples = vec![0; FRAME_SAMPLES * 3];
        samples.extend(LOUD);
        samples.extend(QUIET);
        assert_eq!(speech_end(&samples), FRAME_SAMPLES * 4);
        assert_eq!(speech_end(&QUIET), 0);
    }
}
