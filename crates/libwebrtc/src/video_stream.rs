//! The receiving end of a video track. No frame arrives in this engine, so a stream only waits.

/// The stream for native targets.
pub mod native {
    use std::{
        fmt,
        pin::Pin,
        task::{Context, Poll},
    };

    use futures_core::Stream;

    use crate::{
        native::packet_trailer::PacketTrailerHandler, video_frame::BoxVideoFrame,
        video_track::RtcVideoTrack,
    };

    /// **Works.** How a [`NativeVideoStream`] queues; without frames it has no effect.
    #[derive(Clone, Debug, Default)]
    pub struct NativeVideoStreamOptions {
        /// Frames kept for a slow reader: `None` means 1, `Some(0)` no limit; the oldest gives way.
        pub queue_size_frames: Option<usize>,
    }

    /// **Never** yields a frame; ends after [`close`](Self::close).
    pub struct NativeVideoStream {
        track: RtcVideoTrack,
        closed: bool,
    }

    impl NativeVideoStream {
        /// **Works.** A stream of the frames of `video_track`, of which there are none.
        pub fn new(video_track: RtcVideoTrack) -> Self {
            Self::with_options(video_track, NativeVideoStreamOptions::default())
        }

        /// **Works.** As [`new`](Self::new); the options have no effect.
        pub fn with_options(
            video_track: RtcVideoTrack,
            _options: NativeVideoStreamOptions,
        ) -> Self {
            Self {
                track: video_track,
                closed: false,
            }
        }

        /// **Never** has an effect: the handler would annotate frames, and none arrives.
        pub fn set_packet_trailer_handler(&self, _handler: PacketTrailerHandler) {}

        /// **Works.** The track given at creation.
        pub fn track(&self) -> RtcVideoTrack {
            self.track.clone()
        }

        /// **Works.** Ends the stream: the next poll gives `None`.
        pub fn close(&mut self) {
            self.closed = true;
        }
    }

    impl Stream for NativeVideoStream {
        type Item = BoxVideoFrame;

        fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            // No waker is kept: only `close` could end the wait, and it needs the same `&mut`.
            if self.closed {
                Poll::Ready(None)
            } else {
                Poll::Pending
            }
        }
    }

    impl fmt::Debug for NativeVideoStream {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("NativeVideoStream")
                .field("track", &self.track)
                .finish()
        }
    }

    #[cfg(test)]
    mod tests {
        use std::task::Waker;

        use super::*;

        #[test]
        fn a_stream_waits_until_closed_and_then_ends() {
            let mut stream = NativeVideoStream::new(RtcVideoTrack::new("v".into()));
            let mut context = Context::from_waker(Waker::noop());
            assert!(Pin::new(&mut stream).poll_next(&mut context).is_pending());
            stream.close();
            assert!(matches!(
                Pin::new(&mut stream).poll_next(&mut context),
                Poll::Ready(None)
            ));
        }
    }
}
