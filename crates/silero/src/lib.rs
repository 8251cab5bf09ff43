//! The network of the Silero team that tells voices from other sound, computed here: no runtime for
//! neural networks, no C++, nothing to download.
//!
//! - [`network`]: the layers and what they remember.
//! - [`matrix`]: products in an order that processors are quick at.
//! - [`spectrum`]: which pitches a stretch of sound is made of.
//!
//! `weights.bin` is what the network has learned (MIT, see `LICENSE-weights`). It is unpacked once for the
//! process, into 1 MB; each source costs 1.3 KB. On one core of the machine where it was measured a second
//! of sound takes 1 ms.

mod matrix;
mod network;
mod spectrum;

pub use network::CHUNK;
use network::{Memory, Network};

/// Judges the sound of one source.
#[derive(Clone, Default)]
pub struct Silero {
    memory: Memory,
}

impl Silero {
    /// The likelihood, 0 to 1, that somebody speaks in the next chunk: 32 ms of 16 kHz mono sound between
    /// -1 and 1.
    pub fn judge(&mut self, chunk: &[f32; CHUNK]) -> f32 {
        Network::shared().judge(chunk, &mut self.memory)
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// Two seconds of a vowel: a 120 Hz buzz through three formants, in syllables of 250 ms.
    fn vowels() -> Vec<f32> {
        let sample = |n: usize| {
            let t = n as f64 / 16_000.0;
            let pitch = 120.0 + 10.0 * (TAU * 3.0 * t).sin();
            let voice: f64 = (1..30)
                .map(|harmonic| {
                    let hz = pitch * f64::from(harmonic);
                    let formants = [700.0, 1200.0, 2600.0].iter();
                    let gain: f64 = formants
                        .map(|formant| 1.0 / (1.0 + ((hz - formant) / 120.0).powi(2)))
                        .sum();
                    gain * (TAU * hz * t).sin()
                })
                .sum();
            let syllable = (TAU * 2.0 * t).sin().abs();
            f32::from((voice * syllable * 4_000.0) as i16) / 32_768.0
        };
        (0..32_000).map(sample).collect()
    }

    /// Source of the expected likelihoods: `silero_vad.onnx` of livekit-plugins-silero 1.8.9 in
    /// onnxruntime 1.32, on the same sound.
    #[test]
    fn the_likelihoods_are_those_of_the_original() {
        const EXPECTED: [f32; 62] = [
            0.0324, 0.4228, 0.5156, 0.3836, 0.3371, 0.1822, 0.2526, 0.3387, 0.6799, 0.6901, 0.6751,
            0.6015, 0.5993, 0.8056, 0.9443, 0.9678, 0.9531, 0.9852, 0.9779, 0.9817, 0.9847, 0.9742,
            0.9602, 0.9502, 0.9654, 0.9441, 0.8438, 0.6711, 0.5512, 0.847, 0.901, 0.792, 0.8472,
            0.6869, 0.5221, 0.4709, 0.5288, 0.4847, 0.5452, 0.5868, 0.9398, 0.8569, 0.6474, 0.7235,
            0.6809, 0.6535, 0.4029, 0.3363, 0.4143, 0.3085, 0.8556, 0.9034, 0.8013, 0.6406, 0.5096,
            0.5773, 0.4136, 0.6151, 0.5275, 0.5214, 0.3628, 0.3172,
        ];
        let sound = vowels();
        let mut silero = Silero::default();
        for (chunk, expected) in sound.as_chunks::<CHUNK>().0.iter().zip(EXPECTED) {
            let likelihood = silero.judge(chunk);
            assert!(
                (likelihood - expected).abs() < 0.01,
                "{likelihood} is not {expected}"
            );
        }
    }

    #[test]
    fn sources_do_not_disturb_each_other() {
        let sound = vowels();
        let chunks = sound.as_chunks::<CHUNK>().0;
        let (mut alone, mut beside, mut other) =
            (Silero::default(), Silero::default(), Silero::default());
        for chunk in chunks {
            other.judge(&[0.0; CHUNK]);
            assert_eq!(alone.judge(chunk), beside.judge(chunk));
        }
    }
}
