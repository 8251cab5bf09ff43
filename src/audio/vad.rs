//! Voice activity: how likely it is that somebody speaks in a window of sound.
//!
//! Who tells is [`super::detector`]; what to make of the likelihoods (where speech begins and ends) is
//! [`super::speech`]'s business.

use std::time::Duration;

/// Samples per second that a [`Vad`] takes.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// Samples of one window: 16 ms.
pub const WINDOW_SAMPLES: usize = 256;

/// What a [`Vad`] makes of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Judged {
    /// The likelihood that it holds a voice: 0 to 1.
    pub probability: f32,
    /// How long before its end the voice in it fell silent. It may go on in the next one.
    pub silent_tail: Duration,
}

impl Judged {
    /// The same likelihood for all of a window.
    pub const fn throughout(probability: f32) -> Self {
        Self {
            probability,
            silent_tail: Duration::ZERO,
        }
    }
}

/// Judges windows of sound, in order.
pub trait Vad: Send {
    /// Whether the window holds a voice. Windows are 16 kHz mono.
    fn judge(&mut self, window: &[i16; WINDOW_SAMPLES]) -> Judged;

    /// Forgets what was heard: the next window belongs to another source.
    fn reset(&mut self);
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
}
