//! The receiving half of a transceiver: packets in, sound out on the audio clock.
//!
//! Nothing is buffered or decoded until a sink (an audio stream) is attached; then packets are
//! decoded straight at the rate that the first sink prefers, and the buffer goes when the last
//! sink goes.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use parking_lot::Mutex;
use str0m::rtp::RtpPacket;

use super::{
    audio_receive::{AudioReceive, ReceiveFormat, RtpAudio},
    audio_track::{AudioSink, AudioTrack, Origin, Sinks},
    clock::{self, Tick},
    describe::Numbers,
    pcm::PcmFormat,
    stats,
};
use crate::{
    MediaType, audio_track::RtcAudioTrack, media_stream::MediaStream,
    media_stream_track::MediaStreamTrack, stats::RtcStats, video_track::RtcVideoTrack,
};

#[derive(Default)]
struct State {
    streams: Vec<MediaStream>,
    receiving: bool,
    /// Announced sources, each with that of its retransmissions.
    sources: Vec<(u32, Option<u32>)>,
}

/// The receiving half of one section. Its track lives as long as it does.
pub(crate) struct Receiver {
    track: MediaStreamTrack,
    state: Mutex<State>,
}

impl Receiver {
    pub(crate) fn new(kind: MediaType, track_id: String) -> Arc<Self> {
        let track = if kind == MediaType::Audio {
            let origin = Origin::Remote(Arc::new(RemoteAudio::default()));
            RtcAudioTrack {
                inner: AudioTrack::new(track_id, origin),
            }
            .into()
        } else {
            RtcVideoTrack::new(track_id).into()
        };
        Arc::new(Self {
            track,
            state: Mutex::default(),
        })
    }

    pub(crate) fn track(&self) -> &MediaStreamTrack {
        &self.track
    }

    pub(crate) fn streams(&self) -> Vec<MediaStream> {
        self.state.lock().streams.clone()
    }

    pub(crate) fn remote_audio(&self) -> Option<&Arc<RemoteAudio>> {
        match &self.track {
            MediaStreamTrack::Audio(audio) => audio.inner.remote(),
            MediaStreamTrack::Video(_) => None,
        }
    }

    /// Sets the sources and returns the old ones.
    pub(crate) fn replace_sources(
        &self,
        sources: Vec<(u32, Option<u32>)>,
    ) -> Vec<(u32, Option<u32>)> {
        std::mem::replace(&mut self.state.lock().sources, sources)
    }

    /// Keeps the streams in step with the peer; true if receiving begins.
    pub(crate) fn show(&self, receiving: bool, stream: Option<String>) -> bool {
        let mut state = self.state.lock();
        let same = state
            .streams
            .iter()
            .map(MediaStream::id)
            .eq(stream.iter().cloned());
        if !same {
            let new = stream.map(|id| MediaStream::new(id, self.track.clone()));
            state.streams = new.into_iter().collect();
        }
        let was_receiving = std::mem::replace(&mut state.receiving, receiving);
        receiving && !was_receiving
    }

    /// The connection is closed.
    pub(crate) fn end(&self) {
        match &self.track {
            MediaStreamTrack::Audio(audio) => audio.inner.end(),
            MediaStreamTrack::Video(video) => video.end(),
        }
    }

    pub(crate) fn stats(&self) -> Vec<RtcStats> {
        let state = self.state.lock();
        let Some(remote) = self.remote_audio().filter(|_| state.receiving) else {
            return vec![];
        };
        let received = stats::Received {
            ssrc: state.sources.first().map_or(0, |source| source.0),
            track_id: self.track.id(),
            packets: remote.packets.load(Ordering::Relaxed),
            bytes: remote.bytes.load(Ordering::Relaxed),
        };
        let playing = remote.playing.lock();
        stats::inbound(received, playing.as_ref().map(|p| p.audio.stats()))
    }
}

/// A buffer and a decoder, while somebody listens.
struct Playing {
    audio: AudioReceive,
    format: PcmFormat,
    pcm: Vec<i16>,
}

/// The sound of a track that the peer sends.
#[derive(Default)]
pub(crate) struct RemoteAudio {
    sinks: Sinks,
    playing: Mutex<Option<Playing>>,
    on_clock: AtomicBool,
    packets: AtomicU64,
    bytes: AtomicU64,
}

impl RemoteAudio {
    pub(crate) fn add_sink(self: &Arc<Self>, sink: Arc<dyn AudioSink>) {
        let mut playing = self.playing.lock();
        self.begin(&mut playing, sink);
        if !self.on_clock.swap(true, Ordering::AcqRel) {
            let member: Weak<Self> = Arc::downgrade(self);
            clock::join(member);
        }
    }

    /// For tests that tick by themselves.
    #[cfg(test)]
    pub(crate) fn add_sink_off_clock(&self, sink: Arc<dyn AudioSink>) {
        self.begin(&mut self.playing.lock(), sink);
    }

    fn begin(&self, playing: &mut Option<Playing>, sink: Arc<dyn AudioSink>) {
        if playing.is_none() {
            let (rate, channels) = sink.preferred_format().unwrap_or((48_000, 1));
            let format = PcmFormat::nearest(rate, channels);
            *playing = AudioReceive::new(format)
                .inspect_err(|error| log::warn!("no Opus decoder, the track is silent: {error}"))
                .ok()
                .map(|audio| Playing {
                    audio,
                    format,
                    pcm: vec![],
                });
        }
        self.sinks.add(sink);
    }

    pub(crate) fn remove_sink(&self, sink: &Arc<dyn AudioSink>) {
        self.sinks.remove(sink);
    }

    /// Takes a packet that the peer sent.
    pub(crate) fn insert(&self, numbers: Numbers, packet: &RtpPacket) {
        self.packets.fetch_add(1, Ordering::Relaxed);
        self.bytes
            .fetch_add(packet.payload.len() as u64, Ordering::Relaxed);
        let Some(playing) = &mut *self.playing.lock() else {
            return;
        };
        let format = ReceiveFormat {
            opus_payload_type: numbers.opus,
            red_payload_type: Some(numbers.red),
        };
        let packet = RtpAudio {
            ssrc: *packet.header.ssrc,
            payload_type: *packet.header.payload_type,
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            arrival: packet.timestamp,
            payload: &packet.payload,
        };
        playing.audio.receive(format, packet);
    }
}

impl Tick for RemoteAudio {
    fn tick(&self, now: Instant) -> bool {
        let mut playing = self.playing.lock();
        if self.sinks.all().is_empty() {
            *playing = None;
            self.on_clock.store(false, Ordering::Release);
            return false;
        }
        let Some(Playing { audio, format, pcm }) = &mut *playing else {
            return true;
        };
        let format = *format;
        pcm.resize(format.samples_10ms(), 0);
        if !audio.pull(now, pcm) {
            return true;
        }
        let frame = std::mem::take(pcm);
        drop(playing);
        self.sinks
            .deliver(now, &frame, format.sample_rate(), format.channels() as u32);
        if let Some(playing) = &mut *self.playing.lock() {
            playing.pcm = frame;
        }
        true
    }
}
