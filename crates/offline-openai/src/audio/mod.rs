//! Sound as numbers: reading and writing WAV, changing the sample rate, making a tone.
//!
//! Everything here is plain code on slices: no files, no processes, no clock. Samples are mono `i16`
//! at the edges and `f32` in -1.0..1.0 only inside the resampler.

pub mod resample;
pub mod tone;
pub mod wav;

/// The rate speech is sent at: 24 kHz, mono, signed 16 bit little endian.
///
/// Source: OpenAI API reference, "Create speech", response format `pcm`.
pub const SPEECH_RATE_HZ: u32 = 24_000;

/// The rate the recogniser listens at.
///
/// Source: `feat.params` of the pocketsphinx en-us model (its filters reach to 6.8 kHz).
pub const RECOGNISER_RATE_HZ: u32 = 16_000;

/// Turns samples into little-endian bytes, two for each.
pub fn bytes_of(samples: &[i16]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|sample| sample.to_le_bytes())
        .collect()
}
