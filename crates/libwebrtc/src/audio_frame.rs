//! Frames of 16-bit PCM, the unit in which audio enters and leaves the engine.
//!
//! Plain data only: capture is in `audio_source`, playout in `audio_stream`, and changes of rate
//! or channel count in [`crate::native::audio_resampler`].

use std::borrow::Cow;

/// Samples that [`AudioFrame::new`] allocates at most (512 MB): ten seconds of anything real.
const MAX_SAMPLES: u64 = 1 << 28;

/// **Works.** A stretch of interleaved 16-bit PCM.
///
/// Shape: `data` holds `samples_per_channel × num_channels` samples, channel by channel within
/// each sampling instant (left, right, left, right, …).
#[derive(Debug, Clone)]
pub struct AudioFrame<'a> {
    /// Interleaved samples.
    pub data: Cow<'a, [i16]>,
    /// Sampling instants per second (Hz).
    pub sample_rate: u32,
    /// Channels, 1 = mono.
    pub num_channels: u32,
    /// Sampling instants in this frame.
    pub samples_per_channel: u32,
}

impl AudioFrame<'_> {
    /// **Works.** A frame of silence that owns its samples.
    ///
    /// A size beyond 2²⁸ samples is logged as an error and gives an empty frame.
    pub fn new(sample_rate: u32, num_channels: u32, samples_per_channel: u32) -> Self {
        let samples = u64::from(num_channels) * u64::from(samples_per_channel);
        let (samples, samples_per_channel) = if samples <= MAX_SAMPLES {
            (samples as usize, samples_per_channel)
        } else {
            log::error!("an audio frame of {samples} samples was asked for; giving an empty one");
            (0, 0)
        };
        Self {
            data: Cow::Owned(vec![0; samples]),
            sample_rate,
            num_channels,
            samples_per_channel,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_frame_is_silent_and_holds_every_channel() {
        let frame = AudioFrame::new(48_000, 2, 480);
        assert_eq!(frame.data.len(), 960);
        assert!(frame.data.iter().all(|&sample| sample == 0));
    }

    #[test]
    fn an_absurd_size_gives_an_empty_frame() {
        let frame = AudioFrame::new(48_000, u32::MAX, u32::MAX);
        assert_eq!((frame.data.len(), frame.samples_per_channel), (0, 0));
    }
}
