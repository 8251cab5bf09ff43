//! The sound of a track as a stream of frames.

/// Frames for the program.
pub mod native {
    use std::{
        fmt,
        pin::Pin,
        sync::Arc,
        task::{Context, Poll},
    };

    use tokio_stream::Stream;

    use crate::{
        audio_frame::AudioFrame,
        audio_track::RtcAudioTrack,
        engine::{audio_track::AudioSink, frame_queue::FrameQueue},
    };

    const QUEUE_FRAMES_DEFAULT: usize = 10;

    /// How much sound may wait for a slow reader.
    #[derive(Clone, Debug, Default)]
    pub struct NativeAudioStreamOptions {
        /// Frames of 10 ms that may wait; then the oldest are dropped. `None` means 10. `Some(0)` asks upstream for a
        /// queue without end; here it is 6,000 frames (a minute), because every queue has a bound.
        pub queue_size_frames: Option<usize>,
    }

    /// A track's sound, 10 ms at a time, at the rate and in the channels asked for. *Works.*
    ///
    /// A received track is decoded straight to that rate, and only while a stream is attached.
    pub struct NativeAudioStream {
        track: RtcAudioTrack,
        queue: Arc<FrameQueue>,
    }

    impl fmt::Debug for NativeAudioStream {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NativeAudioStream")
                .field("track", &self.track)
                .finish()
        }
    }

    impl NativeAudioStream {
        /// Attaches a stream with the default queue. *Works.*
        ///
        /// `sample_rate` is held within 8 to 192 kHz and `num_channels` within 1 to 2.
        pub fn new(audio_track: RtcAudioTrack, sample_rate: i32, num_channels: i32) -> Self {
            Self::with_options(
                audio_track,
                sample_rate,
                num_channels,
                NativeAudioStreamOptions::default(),
            )
        }

        /// Attaches a stream. *Works.*
        pub fn with_options(
            audio_track: RtcAudioTrack,
            sample_rate: i32,
            num_channels: i32,
            options: NativeAudioStreamOptions,
        ) -> Self {
            let frames_max = match options.queue_size_frames {
                None => QUEUE_FRAMES_DEFAULT,
                Some(0) => FrameQueue::FRAMES_MAX,
                Some(frames) => frames.min(FrameQueue::FRAMES_MAX),
            };
            let queue = Arc::new(FrameQueue::new(sample_rate, num_channels, frames_max));
            audio_track.inner.add_sink(queue.clone());
            Self {
                track: audio_track,
                queue,
            }
        }

        /// The track being heard. *Works.*
        pub fn track(&self) -> RtcAudioTrack {
            self.track.clone()
        }

        /// Detaches the stream; it then ends. *Works.*
        pub fn close(&mut self) {
            let sink: Arc<dyn AudioSink> = self.queue.clone();
            self.track.inner.remove_sink(&sink);
            self.queue.close();
        }
    }

    impl Drop for NativeAudioStream {
        fn drop(&mut self) {
            self.close();
        }
    }

    impl Stream for NativeAudioStream {
        type Item = AudioFrame<'static>;

        fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.queue.poll_next(cx)
        }
    }
}
