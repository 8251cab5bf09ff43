//! The only place that knows the `livekit` crate: what comes from a room and what goes into it.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::audio::AudioFrame;

/// Where the agent's voice goes.
pub trait AudioOutput: Send + Sync {
    /// Plays a frame after all earlier ones; returns once at most 200 ms are waiting to be heard.
    ///
    /// Cancel safety: a dropped call may have queued part of the frame.
    fn play(&self, frame: AudioFrame) -> BoxFuture<'_, ()>;

    /// Drops what has not been heard yet; silence follows within one 10 ms frame.
    fn clear(&self);

    /// How much sound has left the queue since the output was made, in time of playing.
    fn position(&self) -> Duration;

    /// How much is queued and not yet heard.
    fn queued(&self) -> Duration;
}
