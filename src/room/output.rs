//! The agent's voice: a published track and how much of what it was given has been played.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use livekit::options::TrackPublishOptions;
use livekit::prelude::{LocalAudioTrack, LocalTrack, TrackSid, TrackSource};
use livekit::webrtc::audio_frame::AudioFrame as RtcAudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use tokio::sync::{Semaphore, SetOnce};
use tokio::time::Instant;

use super::{AudioOutput, JoinError, PlayoutClock};
use crate::arrival::{Arrival, Step};
use crate::audio::AudioFrame;

/// The track's name.
///
/// Source: livekit-agents 1.8.9, `room_io/_output.py`.
const TRACK_NAME: &str = "roomio_audio";

/// What the engine queues before [`AudioOutput::play`] waits. With the longest frame a reply plays
/// at a time (40 ms) that makes 200 ms, the most a user may hear after an interruption.
const QUEUE_MS: u32 = 160;

/// How long the voice waits for somebody to subscribe before it speaks anyway: a participant who
/// does not listen still reads.
const SUBSCRIBED_WITHIN: Duration = Duration::from_secs(5);

/// The agent's voice. Made before the room is joined, so that what it will say can be prepared.
pub struct Voice {
    source: NativeAudioSource,
    started: Instant,
    clock: Mutex<PlayoutClock>,
    is_heard: SetOnce<()>,
    arrival: Arrival,
    /// Whether silence is sent in place of the voice; its time passes all the same.
    is_muted: AtomicBool,
    /// One frame at a time; the engine refuses a second one.
    turn: Semaphore,
}

impl Voice {
    /// A voice without a room, for mono sound of this rate; Opus takes 8, 12, 16, 24 and 48 kHz as
    /// they are. Needs a Tokio runtime.
    pub fn new(sample_rate_hz: u32, arrival: Arrival) -> Self {
        let options = AudioSourceOptions::default();
        Self {
            source: NativeAudioSource::new(options, sample_rate_hz, 1, QUEUE_MS),
            started: Instant::now(),
            clock: Mutex::default(),
            is_heard: SetOnce::new(),
            arrival,
            is_muted: AtomicBool::new(false),
            turn: Semaphore::new(1),
        }
    }

    /// Publishes the voice as the agent's microphone.
    pub(super) async fn publish(&self, room: &livekit::Room) -> Result<TrackSid, JoinError> {
        let source = RtcAudioSource::Native(self.source.clone());
        let track = LocalAudioTrack::create_audio_track(TRACK_NAME, source);
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..TrackPublishOptions::default()
        };
        let publication = room
            .local_participant()
            .publish_track(LocalTrack::Audio(track), options)
            .await
            .map_err(JoinError::Publish)?;
        self.arrival.reach(Step::Published, Instant::now());
        Ok(publication.sid())
    }

    /// How it came into the room.
    pub(super) fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// Somebody subscribed: what is played from now on is heard.
    pub(super) fn set_subscribed(&self) {
        self.arrival.reach(Step::Subscribed, Instant::now());
        self.set_heard();
    }

    fn set_heard(&self) {
        // Only the first one matters.
        self.is_heard.set(()).ok();
    }

    /// Sends silence in place of the voice, or the voice again.
    pub(super) fn mute(&self, is_muted: bool) {
        self.is_muted.store(is_muted, Ordering::Relaxed);
    }

    fn clock(&self) -> (MutexGuard<'_, PlayoutClock>, Duration) {
        let clock = self.clock.lock().unwrap_or_else(PoisonError::into_inner);
        (clock, self.started.elapsed())
    }

    async fn capture(&self, mut frame: AudioFrame) {
        if self.is_muted.load(Ordering::Relaxed) {
            frame.samples.fill(0);
        }
        if self.is_heard.get().is_none() {
            tokio::time::timeout(SUBSCRIBED_WITHIN, self.is_heard.wait())
                .await
                .ok();
            self.set_heard();
        }
        let Ok(_turn) = self.turn.acquire().await else {
            return; // Never closed.
        };
        {
            let (mut clock, now) = self.clock();
            clock.push(now, frame.duration());
        }
        let n_samples = u32::try_from(frame.samples.len()).unwrap_or(u32::MAX);
        let frame = RtcAudioFrame {
            data: Cow::Owned(frame.samples),
            sample_rate: frame.sample_rate_hz,
            num_channels: 1,
            samples_per_channel: n_samples,
        };
        match self.source.capture_frame(&frame).await {
            Ok(()) => self.arrival.reach(Step::FirstSound, Instant::now()),
            Err(error) => tracing::debug!(%error, "a frame of the agent's voice was not sent"),
        }
    }
}

impl AudioOutput for Voice {
    fn play(&self, frame: AudioFrame) -> BoxFuture<'_, ()> {
        debug_assert_eq!(frame.sample_rate_hz, self.source.sample_rate());
        self.capture(frame).boxed()
    }

    fn clear(&self) {
        let (mut clock, now) = self.clock();
        clock.clear(now);
        self.source.clear_buffer();
    }

    fn position(&self) -> Duration {
        let (mut clock, now) = self.clock();
        clock.position(now)
    }

    fn queued(&self) -> Duration {
        let (mut clock, now) = self.clock();
        clock.queued(now)
    }
}
