//! What an audio track is inside: where its sound comes from and who takes it.
//!
//! The sound of a local track comes from an `AudioQueue`, that of a remote one from the packets of
//! a receiver; both are handed to the track's sinks 10 ms at a time, on the audio clock (or on the
//! caller's thread, for a source without a queue). Sinks are senders and audio streams.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::{audio_queue::AudioQueue, receiver::RemoteAudio};

/// Takes 10 ms of interleaved sound at a time, or 20 ms where it begins, captured or played at `now`.
/// Must not block.
pub(crate) trait AudioSink: Send + Sync {
    fn on_frame(&self, now: Instant, pcm: &[i16], sample_rate: u32, channels: u32);

    /// There was nothing for so long, and there will be no sound in its place.
    fn on_gap(&self, _length: Duration) {}

    /// The rate and the channels that spare this sink a conversion, if it cares.
    fn preferred_format(&self) -> Option<(u32, u32)> {
        None
    }
}

/// The sinks of one origin. Reading it costs one reference count per frame.
#[derive(Default)]
pub(crate) struct Sinks(Mutex<Arc<Vec<Arc<dyn AudioSink>>>>);

impl Sinks {
    pub(crate) fn add(&self, sink: Arc<dyn AudioSink>) {
        let mut all = self.0.lock();
        Arc::make_mut(&mut all).push(sink);
    }

    pub(crate) fn remove(&self, sink: &Arc<dyn AudioSink>) {
        let mut all = self.0.lock();
        Arc::make_mut(&mut all).retain(|other| !Arc::ptr_eq(other, sink));
    }

    pub(crate) fn all(&self) -> Arc<Vec<Arc<dyn AudioSink>>> {
        self.0.lock().clone()
    }

    pub(crate) fn deliver(&self, now: Instant, pcm: &[i16], sample_rate: u32, channels: u32) {
        for sink in self.all().iter() {
            sink.on_frame(now, pcm, sample_rate, channels);
        }
    }

    pub(crate) fn leave_out(&self, length: Duration) {
        for sink in self.all().iter() {
            sink.on_gap(length);
        }
    }
}

/// Where a track's sound comes from.
pub(crate) enum Origin {
    Local(Arc<AudioQueue>),
    Remote(Arc<RemoteAudio>),
    /// A microphone that this engine does not open.
    Silent,
}

/// The state behind all clones of an `RtcAudioTrack`.
pub(crate) struct AudioTrack {
    id: String,
    enabled: AtomicBool,
    ended: AtomicBool,
    origin: Origin,
}

impl AudioTrack {
    pub(crate) fn new(id: String, origin: Origin) -> Arc<Self> {
        let (enabled, ended) = (AtomicBool::new(true), AtomicBool::new(false));
        Arc::new(Self {
            id,
            enabled,
            ended,
            origin,
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    pub(crate) fn enabled(&self) -> bool {
        self.enabled.load(Ordering::Relaxed)
    }

    /// Returns whether that changed anything.
    pub(crate) fn set_enabled(&self, enabled: bool) -> bool {
        self.enabled.swap(enabled, Ordering::Relaxed) != enabled
    }

    pub(crate) fn ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    pub(crate) fn remote(&self) -> Option<&Arc<RemoteAudio>> {
        match &self.origin {
            Origin::Remote(remote) => Some(remote),
            Origin::Local(_) | Origin::Silent => None,
        }
    }

    pub(crate) fn add_sink(&self, sink: Arc<dyn AudioSink>) {
        match &self.origin {
            Origin::Local(queue) => queue.sinks.add(sink),
            Origin::Remote(remote) => remote.add_sink(sink),
            Origin::Silent => {}
        }
    }

    pub(crate) fn remove_sink(&self, sink: &Arc<dyn AudioSink>) {
        match &self.origin {
            Origin::Local(queue) => queue.sinks.remove(sink),
            Origin::Remote(remote) => remote.remove_sink(sink),
            Origin::Silent => {}
        }
    }
}
