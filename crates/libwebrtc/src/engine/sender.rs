//! The sending half of a transceiver: takes a track's sound, encodes it, gives packets to str0m.
//!
//! Encoding runs where the sound comes from: on the audio clock, or on the caller's thread for a
//! source without a queue. The connection's lock is held only to hand a finished packet over.

use std::{
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use str0m::stats::MediaEgressStats;

use super::{
    audio_send::{AudioSend, CapturedAudio, OutgoingAudio, SendFormat, SendRed},
    audio_track::AudioSink,
    connection::Connection,
    describe::Numbers,
    media::OutgoingPacket,
    opus_encode::EncoderSettings,
    sdp::attributes::Msid,
    stats,
};
use crate::{
    MediaType,
    media_stream_track::MediaStreamTrack,
    rtp_parameters::{RtpEncodingParameters, RtpParameters},
    stats::RtcStats,
};

/// Each payload is repeated in the next two packets: at 5 % loss a frame is then lost once in 8,000
/// rather than once in 400.
const RED_DISTANCE: usize = 2;

/// How to send, as negotiated.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Agreed {
    /// The peer prefers redundant audio (RFC 2198).
    pub(crate) redundant: bool,
    /// The peer wants next to nothing sent during silence.
    pub(crate) dtx: bool,
    pub(crate) numbers: Numbers,
}

#[derive(Default)]
struct State {
    track: Option<MediaStreamTrack>,
    /// What takes the track's sound.
    sink: Option<Arc<dyn AudioSink>>,
    parameters: RtpParameters,
    /// Name of the first track, which later offers repeat even when another one is sent.
    msid_track: Option<String>,
    agreed: Agreed,
    /// What the peer last reported.
    reported: Option<Box<MediaEgressStats>>,
}

/// The sending half of one section.
pub(crate) struct Sender {
    own: Weak<Sender>,
    connection: Weak<Connection>,
    kind: MediaType,
    ssrc: u32,
    stream_id: String,
    state: Mutex<State>,
    /// Negotiation agreed that this side sends.
    agreed: AtomicBool,
    audio: Mutex<AudioSend>,
    packets: AtomicU64,
    bytes: AtomicU64,
}

/// What a track holds on to while a sender sends it.
struct Sink(Weak<Sender>);

impl AudioSink for Sink {
    fn on_frame(&self, now: Instant, pcm: &[i16], sample_rate: u32, channels: u32) {
        if let Some(sender) = self.0.upgrade() {
            sender.encode(now, pcm, sample_rate, channels);
        }
    }

    fn on_gap(&self, length: Duration) {
        if let Some(sender) = self.0.upgrade() {
            sender.audio.lock().leave_out(length);
        }
    }
}

impl Sender {
    pub(crate) fn new(
        connection: Weak<Connection>,
        kind: MediaType,
        stream_ids: Vec<String>,
        mut encodings: Vec<RtpEncodingParameters>,
    ) -> Arc<Self> {
        if encodings.is_empty() {
            encodings.push(RtpEncodingParameters::default());
        }
        let mut parameters = RtpParameters::default();
        parameters.encodings = encodings;
        let state = State {
            parameters,
            ..State::default()
        };
        let format = send_format(Agreed::default());
        // RFC 3711, 3.3.1: a first sequence number in the lower half cannot be taken for a wrap.
        let sequence = u64::from(rand::random::<u16>() >> 2);
        Arc::new_cyclic(|own| Self {
            own: own.clone(),
            connection,
            kind,
            ssrc: (rand::random::<u32>() >> 1).max(1),
            stream_id: stream_ids.into_iter().next().unwrap_or_else(|| "-".into()),
            state: Mutex::new(state),
            agreed: AtomicBool::new(false),
            audio: Mutex::new(AudioSend::new(format, sequence, rand::random())),
            packets: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        })
    }

    pub(crate) fn ssrc(&self) -> u32 {
        self.ssrc
    }

    pub(crate) fn msid(&self) -> Option<Msid> {
        let track = self.state.lock().msid_track.clone()?;
        Some(Msid {
            stream: self.stream_id.clone(),
            track,
        })
    }

    pub(crate) fn track(&self) -> Option<MediaStreamTrack> {
        self.state.lock().track.clone()
    }

    pub(crate) fn parameters(&self) -> RtpParameters {
        self.state.lock().parameters.clone()
    }

    pub(crate) fn set_parameters(&self, parameters: RtpParameters) {
        self.state.lock().parameters = parameters;
    }

    /// Sends `track` instead of what was sent before.
    pub(crate) fn attach(&self, track: MediaStreamTrack) {
        self.detach();
        let mut state = self.state.lock();
        state.msid_track.get_or_insert_with(|| track.id());
        if let MediaStreamTrack::Audio(audio) = &track {
            let sink: Arc<dyn AudioSink> = Arc::new(Sink(self.own.clone()));
            state.sink = Some(sink.clone());
            audio.inner.add_sink(sink);
        }
        state.track = Some(track);
    }

    /// Sends nothing.
    pub(crate) fn detach(&self) {
        let (track, sink) = {
            let mut state = self.state.lock();
            (state.track.take(), state.sink.take())
        };
        if let (Some(MediaStreamTrack::Audio(audio)), Some(sink)) = (track, sink) {
            audio.inner.remove_sink(&sink);
        }
        self.audio.lock().pause();
    }

    /// What negotiation agreed on. The next packet follows it.
    pub(crate) fn set_agreed(&self, sends: bool, agreed: Agreed) {
        self.state.lock().agreed = agreed;
        self.agreed.store(sends, Ordering::Release);
    }

    /// The peer reported how it receives.
    pub(crate) fn set_reported(&self, reported: MediaEgressStats) {
        self.state.lock().reported = Some(Box::new(reported));
    }

    fn encode(&self, now: Instant, pcm: &[i16], sample_rate: u32, channels: u32) {
        let Some(connection) = self.connection.upgrade() else {
            return;
        };
        let (is_muted, is_active, bitrate_bps, agreed) = {
            let state = self.state.lock();
            let encoding = state.parameters.encodings.first();
            let bitrate = encoding.and_then(|e| e.max_bitrate);
            (
                !state.track.as_ref().is_some_and(MediaStreamTrack::enabled),
                encoding.is_none_or(|e| e.active),
                bitrate.map(|bps| u32::try_from(bps).unwrap_or(u32::MAX)),
                state.agreed,
            )
        };
        let mut audio = self.audio.lock();
        if !is_active || !self.agreed.load(Ordering::Acquire) {
            audio.pause();
            return;
        }
        audio.set_format(send_format(agreed));
        let settings = EncoderSettings {
            bitrate_bps,
            ..EncoderSettings::default()
        };
        if let Err(error) = audio.set_encoder(settings) {
            log::warn!("the Opus encoder refused its settings: {error}");
        }
        let captured = CapturedAudio {
            pcm,
            sample_rate,
            channels,
            is_muted,
            // No source hands on more than 10 ms for another reason.
            is_onset: pcm.len() as u64 * 50 == u64::from(sample_rate) * u64::from(channels),
        };
        let failed = audio.encode_errors();
        let sent = audio.push(now, captured, |packet| {
            self.send(&connection, now, packet);
        });
        if let Err(error) = sent {
            log::warn!("no Opus encoder, sound is lost: {error}");
        }
        if audio.encode_errors() > failed {
            log::warn!("Opus could not encode 20 ms of sound");
        }
    }

    fn send(&self, connection: &Connection, now: Instant, packet: OutgoingAudio<'_>) {
        let bytes = packet.payload.len() as u64;
        let outgoing = OutgoingPacket {
            ssrc: self.ssrc,
            payload_type: packet.payload_type,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            level: packet.level.minus_dbov,
            voice: packet.level.is_voice,
            payload: packet.payload.into(),
        };
        let sent = connection.send_packet(outgoing, now);
        if sent {
            self.packets.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    pub(crate) fn stats(&self) -> Vec<RtcStats> {
        let state = self.state.lock();
        let Some(track) = &state.track else {
            return vec![];
        };
        let sent = stats::Sent {
            ssrc: self.ssrc,
            kind: self.kind,
            track_id: track.id(),
            packets: self.packets.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            is_active: self.agreed.load(Ordering::Relaxed),
        };
        stats::outbound(sent, state.reported.as_deref())
    }
}

fn send_format(agreed: Agreed) -> SendFormat {
    let Agreed {
        numbers,
        redundant,
        dtx,
    } = agreed;
    let red = SendRed {
        payload_type: numbers.red,
        distance: RED_DISTANCE,
    };
    SendFormat {
        opus_payload_type: numbers.opus,
        red: redundant.then_some(red),
        dtx,
    }
}
