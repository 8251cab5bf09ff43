//! PCM as the program passes it around, and what can be told from it without I/O or clocks.
//!
//! A user's frames go through [`detector`] (a [`vad`]: how likely is a voice?) and [`speech`] (where does speech
//! begin, pause and end?) while [`utterance`] keeps the sound. [`earcon`] makes the sounds that are
//! our own, [`resample`] changes the rate of a recording, and [`recording`] reads those of browsers. The
//! codecs of a call live in the engine, tracks in `room`.

pub mod detector;
pub mod earcon;
pub mod recording;
pub mod resample;
pub mod speech;
pub mod utterance;
pub mod vad;

/// A stretch of mono PCM.
#[derive(Clone, PartialEq, Eq)]
pub struct AudioFrame {
    /// Signed 16-bit samples, mono.
    pub samples: Vec<i16>,
    /// Samples per second.
    pub sample_rate_hz: u32,
}

impl AudioFrame {
    /// How long the frame lasts when it is played.
    pub fn duration(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(
            self.samples.len() as f64 / f64::from(self.sample_rate_hz.max(1)),
        )
    }
}

impl std::fmt::Debug for AudioFrame {
    /// Shape only: what callers say never reaches a log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "AudioFrame({} samples at {} Hz)",
            self.samples.len(),
            self.sample_rate_hz
        )
    }
}
