//! Voice activity: how likely it is that somebody speaks in a window of sound.
//!
//! What to make of the likelihoods (where speech begins and ends) is [`super::speech`]'s business.

use earshot::Detector;

/// Samples per second that a [`Vad`] takes.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// Samples of one window: 16 ms.
///
/// Source: earshot 1.2.2, `Detector::predict_i16`.
pub const WINDOW_SAMPLES: usize = 256;

/// Judges windows of sound, in order.
pub trait Vad: Send {
    /// The likelihood, 0 to 1, that the window holds a voice. Windows are 16 kHz mono.
    fn probability(&mut self, window: &[i16; WINDOW_SAMPLES]) -> f32;

    /// Forgets what was heard: the next window belongs to another source.
    fn reset(&mut self);
}

/// The neural detector of the `earshot` crate: about 8 KiB of state, weights built in.
pub struct EarshotVad(Box<Detector>);

impl EarshotVad {
    /// A detector that has heard nothing yet.
    pub fn new() -> Self {
        Self(Detector::default_boxed())
    }
}

impl Default for EarshotVad {
    fn default() -> Self {
        Self::new()
    }
}

impl Vad for EarshotVad {
    fn probability(&mut self, window: &[i16; WINDOW_SAMPLES]) -> f32 {
        self.0.predict_i16(window)
    }

    fn reset(&mut self) {
        self.0.reset();
    }
}

/// Cuts frames of any length into windows; what is left over waits for the next frame.
#[derive(Default)]
pub struct Windows {
    rest: Vec<i16>,
}

impl Windows {
    /// Calls `each` for every window that `samples` completes.
    pub fn push(&mut self, samples: &[i16], mut each: impl FnMut(&[i16; WINDOW_SAMPLES])) {
        self.rest.extend_from_slice(samples);
        let (windows, rest) = self.rest.as_chunks::<WINDOW_SAMPLES>();
        let n_rest = rest.len();
        windows.iter().for_each(&mut each);
        self.rest.drain(..self.rest.len() - n_rest);
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    #[test]
    fn windows_lose_and_repeat_no_sample() {
        let samples: Vec<i16> = (0..5000).collect();
        for frame_length in [1, 160, 256, 300, 5000] {
            let mut windows = Windows::default();
            let mut seen = Vec::new();
            for frame in samples.chunks(frame_length) {
                windows.push(frame, |window| seen.extend_from_slice(window));
            }
            assert_eq!(seen, samples[..5000 / WINDOW_SAMPLES * WINDOW_SAMPLES]);
        }
    }

    /// The share of windows in the second half of `samples` that are judged to be voice.
    fn voiced_share(samples: &[i16]) -> f32 {
        let mut vad = EarshotVad::new();
        let (windows, _) = samples.as_chunks::<WINDOW_SAMPLES>();
        let judged: Vec<bool> = windows
            .iter()
            .map(|window| vad.probability(window) > 0.5)
            .collect();
        let half = &judged[judged.len() / 2..];
        half.iter().filter(|is_voice| **is_voice).count() as f32 / half.len() as f32
    }

    /// Two seconds of a vowel: a 120 Hz buzz through three formants, in syllables of 250 ms.
    fn vowels() -> Vec<i16> {
        let rate = SAMPLE_RATE_HZ as f32;
        (0..32_000)
            .map(|n| {
                let t = n as f32 / rate;
                let syllable = (TAU * 2.0 * t).sin().abs();
                let pitch = 120.0 + 10.0 * (TAU * 3.0 * t).sin();
                let voice: f32 = (1..30)
                    .map(|harmonic| {
                        let hz = pitch * harmonic as f32;
                        let gain: f32 = [700.0, 1200.0, 2600.0]
                            .iter()
                            .map(|formant| 1.0 / (1.0 + ((hz - formant) / 120.0_f32).powi(2)))
                            .sum();
                        gain * (TAU * hz * t).sin()
                    })
                    .sum();
                (voice * syllable * 4000.0) as i16
            })
            .collect()
    }

    #[test]
    fn silence_is_no_voice() {
        assert_eq!(voiced_share(&[0; 32_000]), 0.0);
    }

    #[test]
    fn a_voice_like_buzz_is_voice_and_a_steady_tone_is_not() {
        let tone: Vec<i16> = (0..32_000)
            .map(|n| (6000.0 * (TAU * 1000.0 * n as f32 / SAMPLE_RATE_HZ as f32).sin()) as i16)
            .collect();
        assert!(voiced_share(&vowels()) > 0.5, "{}", voiced_share(&vowels()));
        assert!(voiced_share(&tone) < 0.1, "{}", voiced_share(&tone));
    }
}
