//! Where the sound of a sent track comes from.

/// The rate of WebRTC's own audio path, 48 kHz.
pub const DEFAULT_SAMPLE_RATE: u32 = 48000;

/// Mono.
pub const DEFAULT_NUM_CHANNELS: u32 = 1;

/// Wishes for the processing of a microphone's sound. Kept and returned; *never* applied: sound is sent as given.
#[derive(Default, Debug)]
pub struct AudioSourceOptions {
    /// Remove what the loudspeaker plays.
    pub echo_cancellation: bool,
    /// Remove steady noise.
    pub noise_suppression: bool,
    /// Even out loudness.
    pub auto_gain_control: bool,
}

/// The source of a sent track.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum RtcAudioSource {
    /// The program gives the sound. *Works.*
    Native(native::NativeAudioSource),
    /// A microphone. *Error*: this engine opens no sound card; such a track stays silent.
    Device,
}

impl RtcAudioSource {
    /// Keeps the wishes. *Works* for `Native`; nothing happens for `Device`.
    pub fn set_audio_options(&self, options: AudioSourceOptions) {
        if let Self::Native(source) = self {
            source.set_audio_options(options);
        }
    }

    /// The wishes kept; the default for `Device`. *Works.*
    pub fn audio_options(&self) -> AudioSourceOptions {
        match self {
            Self::Native(source) => source.audio_options(),
            Self::Device => AudioSourceOptions::default(),
        }
    }

    /// Samples per second and channel. *Works.*
    pub fn sample_rate(&self) -> u32 {
        match self {
            Self::Native(source) => source.sample_rate(),
            Self::Device => DEFAULT_SAMPLE_RATE,
        }
    }

    /// Channels, interleaved. *Works.*
    pub fn num_channels(&self) -> u32 {
        match self {
            Self::Native(source) => source.num_channels(),
            Self::Device => DEFAULT_NUM_CHANNELS,
        }
    }
}

/// Sound given by the program.
pub mod native {
    use std::{fmt, sync::Arc};

    use super::AudioSourceOptions;
    use crate::{RtcError, audio_frame::AudioFrame, engine::audio_queue::AudioQueue};

    /// Takes 16-bit PCM from the program. Clones are the same source. *Works.*
    #[derive(Clone)]
    pub struct NativeAudioSource {
        pub(crate) queue: Arc<AudioQueue>,
    }

    impl fmt::Debug for NativeAudioSource {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NativeAudioSource").finish_non_exhaustive()
        }
    }

    impl NativeAudioSource {
        /// A source of `sample_rate` samples per second and channel. *Works.*
        ///
        /// With a `queue_size_ms` of 0 each frame must be 10 ms long and is sent at once, on the calling thread. With
        /// a queue a clock takes 10 ms at a time, and silence when there is none: the program may then give sound
        /// faster than it is played.
        ///
        /// # Panics
        /// If `queue_size_ms` is not a multiple of 10, as upstream does.
        pub fn new(
            options: AudioSourceOptions,
            sample_rate: u32,
            num_channels: u32,
            queue_size_ms: u32,
        ) -> NativeAudioSource {
            assert!(
                queue_size_ms.is_multiple_of(10),
                "queue_size_ms must be a multiple of 10, not {queue_size_ms}"
            );
            Self {
                queue: AudioQueue::new(options, sample_rate, num_channels, queue_size_ms),
            }
        }

        /// Throws away what is queued; a waiting [`capture_frame`](Self::capture_frame) returns. *Works.*
        pub fn clear_buffer(&self) {
            self.queue.clear();
        }

        /// Sends a frame of any length (10 ms if there is no queue). *Works.*
        ///
        /// Returns at once while less than the queue's size is waiting, and otherwise when the clock has taken enough.
        /// Cancel safe in this sense: what was queued stays queued, what was not is lost.
        ///
        /// # Errors
        /// The frame's rate or channels are not the source's, its length is wrong, or another call is waiting.
        pub async fn capture_frame(&self, frame: &AudioFrame<'_>) -> Result<(), RtcError> {
            self.queue.capture(frame).await
        }

        /// Keeps the wishes. *Never* applied.
        pub fn set_audio_options(&self, options: AudioSourceOptions) {
            self.queue.set_options(options);
        }

        /// The wishes kept. *Works.*
        pub fn audio_options(&self) -> AudioSourceOptions {
            self.queue.options()
        }

        /// Samples per second and channel. *Works.*
        pub fn sample_rate(&self) -> u32 {
            self.queue.sample_rate()
        }

        /// Channels, interleaved. *Works.*
        pub fn num_channels(&self) -> u32 {
            self.queue.num_channels()
        }
    }
}
