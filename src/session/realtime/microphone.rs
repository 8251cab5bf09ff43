//! The user's sound on its way to the service: at its rate, in pieces, kept while there is no
//! connection.

use super::protocol::{ClientEvent, RATE_HZ};
use crate::audio::resample::Resampler;
use crate::audio::vad::SAMPLE_RATE_HZ;

/// What is sent at a time: 50 ms.
const PIECE_SAMPLES: usize = RATE_HZ as usize / 20;
/// What is kept while there is no connection: the last 5 s.
const KEPT_SAMPLES_MAX: usize = RATE_HZ as usize * 5;

/// See the module.
pub(super) struct Microphone {
    resampler: Resampler,
    waiting: Vec<i16>,
}

impl Microphone {
    pub(super) fn new() -> Self {
        Self {
            resampler: Resampler::new(SAMPLE_RATE_HZ, RATE_HZ),
            waiting: Vec::new(),
        }
    }

    /// Takes the next sound, 16 kHz mono.
    pub(super) fn push(&mut self, samples: &[i16]) {
        self.waiting.extend(self.resampler.push(samples));
        let n_surplus = self.waiting.len().saturating_sub(KEPT_SAMPLES_MAX);
        self.waiting.drain(..n_surplus);
    }

    /// The pieces that are ready to be sent.
    pub(super) fn pieces(&mut self) -> Vec<ClientEvent> {
        let n_ready = self.waiting.len() / PIECE_SAMPLES * PIECE_SAMPLES;
        let ready: Vec<i16> = self.waiting.drain(..n_ready).collect();
        ready
            .chunks(PIECE_SAMPLES)
            .map(ClientEvent::append)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_leaves_in_pieces_and_the_last_seconds_are_kept() {
        let mut microphone = Microphone::new();
        microphone.push(&[0; 800]);
        assert!(microphone.pieces().is_empty(), "the filter holds some back");
        microphone.push(&[0; 160]);
        assert_eq!(microphone.pieces().len(), 1);
        microphone.push(&[0; 16_000 * 9]);
        assert_eq!(microphone.pieces().len(), 100);
    }
}
