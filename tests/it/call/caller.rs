//! A person in a room: speaks, listens, reads and types, through a connection of their own.

use std::borrow::Cow;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::StreamExt;
use livekit::options::TrackPublishOptions;
use livekit::prelude::*;
use livekit::webrtc::audio_frame::AudioFrame as RtcAudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit::{SendTextOptions, StreamReader, TextStreamReader};
use livekit_api::access_token::{AccessToken, VideoGrants};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;
use voxpool::audio::AudioFrame;

use crate::common::eventually;
use crate::common::livekit::{API_KEY, API_SECRET};

/// Sound louder than this is somebody's voice; the silence between is digital.
pub(crate) const LOUD: i16 = 200;

/// One text stream of the topic `lk.transcription`, as it stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    pub(crate) speaker: String,
    pub(crate) text: String,
    pub(crate) is_final: bool,
    pub(crate) segment: String,
    pub(crate) track: String,
}

#[derive(Default)]
struct Seen {
    lines: Vec<Line>,
    states: Vec<String>,
    /// When the agent's loud sound was last heard, and how many frames of it.
    last_loud: Option<Instant>,
    n_loud: usize,
    /// When the agent was first heard since [`Caller::forget_heard`].
    first_loud: Option<Instant>,
}

pub(crate) struct Caller {
    pub(crate) room: Arc<Room>,
    identity: String,
    microphone: NativeAudioSource,
    seen: Arc<Mutex<Seen>>,
    /// Ends with the caller: the SDK keeps the channel of events open after a room was closed.
    _watching: AbortOnDropHandle<()>,
}

/// Leave to join a room.
pub(crate) fn token(identity: &str, room: &str) -> String {
    token_with(identity, room, &[])
}

/// A token of a participant with these attributes.
pub(crate) fn token_with(identity: &str, room: &str, attributes: &[(&str, &str)]) -> String {
    token_of(identity, room, attributes, false)
}

/// The same of one who can write its attributes itself, if so.
pub(crate) fn token_of(
    identity: &str,
    room: &str,
    attributes: &[(&str, &str)],
    can_update_own_metadata: bool,
) -> String {
    AccessToken::with_api_key(API_KEY, API_SECRET)
        .with_identity(identity)
        .with_attributes(attributes.iter().copied())
        .with_grants(VideoGrants {
            room_join: true,
            room: room.to_owned(),
            can_update_own_metadata: Some(can_update_own_metadata),
            ..VideoGrants::default()
        })
        .to_jwt()
        .expect("a token")
}

impl Caller {
    pub(crate) async fn join(url: &str, room: &str) -> Self {
        Self::join_as("caller", url, room).await
    }

    pub(crate) async fn join_as(identity: &str, url: &str, room: &str) -> Self {
        Self::join_with(identity, url, &token(identity, room)).await
    }

    /// Joins with a token of this identity.
    pub(crate) async fn join_with(identity: &str, url: &str, token: &str) -> Self {
        let (room, mut events) = Room::connect(url, token, RoomOptions::default())
            .await
            .expect("the caller joins");
        let seen = Arc::<Mutex<Seen>>::default();
        let watching = Arc::clone(&seen);
        let watching = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut readers = JoinSet::new();
            while let Some(event) = events.recv().await {
                watch(&watching, event, &mut readers);
            }
        }));
        let microphone = NativeAudioSource::new(AudioSourceOptions::default(), 24_000, 1, 200);
        let track = LocalAudioTrack::create_audio_track(
            "microphone",
            RtcAudioSource::Native(microphone.clone()),
        );
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..TrackPublishOptions::default()
        };
        room.local_participant()
            .publish_track(LocalTrack::Audio(track), options)
            .await
            .expect("the caller's microphone is published");
        Self {
            room: Arc::new(room),
            identity: identity.to_owned(),
            microphone,
            seen,
            _watching: watching,
        }
    }

    /// Leaves the room.
    pub(crate) async fn hang_up(self) {
        self.room.close().await.expect("the caller hangs up");
    }

    /// Says it, at its pace.
    pub(crate) async fn say(&self, sound: &AudioFrame) {
        let frame = RtcAudioFrame {
            data: Cow::Borrowed(&sound.samples),
            sample_rate: sound.sample_rate_hz,
            num_channels: 1,
            samples_per_channel: u32::try_from(sound.samples.len()).expect("a short sound"),
        };
        self.microphone
            .capture_frame(&frame)
            .await
            .expect("the microphone takes it");
    }

    pub(crate) fn microphone(&self) -> &NativeAudioSource {
        &self.microphone
    }

    pub(crate) async fn type_text(&self, text: &str) {
        let options = SendTextOptions::new_with_topic("lk.chat");
        self.room
            .local_participant()
            .send_text(text, options)
            .await
            .expect("the text is sent");
    }

    /// Waits for a finished line of the speaker that contains `words`.
    pub(crate) async fn reads(&self, is_agent: bool, words: &str) -> Line {
        let who = if is_agent { "agent" } else { "caller" };
        let what = format!("a final transcript of the {who} with '{words}'");
        eventually(&what, async || {
            let seen = self.seen.lock().expect("no panic while reading");
            let line = seen.lines.iter().find(|line| {
                (line.speaker != self.identity) == is_agent
                    && line.is_final
                    && line.text.contains(words)
            });
            line.cloned()
        })
        .await
    }

    /// The lines of the caller so far, in order.
    pub(crate) fn own_lines(&self) -> Vec<Line> {
        let seen = self.seen.lock().expect("no panic while reading");
        let own = seen.lines.iter().filter(|it| it.speaker == self.identity);
        own.cloned().collect()
    }

    /// How many finished lines of the agent contain `words`.
    pub(crate) fn n_lines(&self, words: &str) -> usize {
        let seen = self.seen.lock().expect("no panic while reading");
        let lines = seen.lines.iter().filter(|line| {
            line.speaker != self.identity && line.is_final && line.text.contains(words)
        });
        lines.count()
    }

    /// Waits until the agent's voice is heard, that long after now in frames of 10 ms.
    pub(crate) async fn hears(&self, n_frames: usize) {
        let before = self.n_loud();
        eventually("the agent is heard", async || {
            (self.n_loud() >= before + n_frames).then_some(())
        })
        .await;
    }

    /// Waits until the agent has been silent for half a second; returns when its last sound was.
    pub(crate) async fn hears_silence(&self) -> Instant {
        eventually("the agent falls silent", async || {
            let last = self
                .seen
                .lock()
                .expect("no panic while reading")
                .last_loud?;
            (last.elapsed() > Duration::from_millis(500)).then_some(last)
        })
        .await
    }

    /// From now on the agent counts as unheard.
    pub(crate) fn forget_heard(&self) {
        let mut seen = self.seen.lock().expect("no panic while reading");
        seen.first_loud = None;
    }

    /// Waits for the agent's voice; returns when it was first heard since [`Caller::forget_heard`].
    pub(crate) async fn first_heard(&self) -> Instant {
        eventually("the agent is heard", async || {
            self.seen.lock().expect("no panic while reading").first_loud
        })
        .await
    }

    pub(crate) fn n_loud(&self) -> usize {
        self.seen.lock().expect("no panic while reading").n_loud
    }

    /// The values of `lk.agent.state` that were seen, in order.
    pub(crate) fn states(&self) -> Vec<String> {
        self.seen
            .lock()
            .expect("no panic while reading")
            .states
            .clone()
    }

    /// Waits until no agent is in the room.
    pub(crate) async fn sees_the_agent_leave(&self) {
        eventually("the agent leaves", async || {
            self.agent().is_none().then_some(())
        })
        .await;
    }

    pub(crate) fn agent(&self) -> Option<RemoteParticipant> {
        let participants = self.room.remote_participants();
        participants.into_values().next()
    }
}

fn watch(seen: &Arc<Mutex<Seen>>, event: RoomEvent, readers: &mut JoinSet<()>) {
    let seen = Arc::clone(seen);
    match event {
        RoomEvent::TrackSubscribed {
            track: RemoteTrack::Audio(track),
            ..
        } => {
            let mut frames = NativeAudioStream::new(track.rtc_track(), 24_000, 1);
            readers.spawn(async move {
                while let Some(frame) = frames.next().await {
                    if frame
                        .data
                        .iter()
                        .any(|sample| sample.saturating_abs() > LOUD)
                    {
                        let mut seen = seen.lock().expect("no panic while reading");
                        seen.last_loud = Some(Instant::now());
                        seen.n_loud += 1;
                        seen.first_loud = seen.first_loud.or(seen.last_loud);
                    }
                }
            });
        }
        RoomEvent::TextStreamOpened {
            reader,
            topic,
            participant_identity,
        } if topic == "lk.transcription" => {
            let reader = reader.take().expect("taken once");
            readers.spawn(read(seen, reader, participant_identity.to_string()));
        }
        RoomEvent::ParticipantAttributesChanged {
            changed_attributes, ..
        } => {
            if let Some(state) = changed_attributes.get("lk.agent.state") {
                let mut seen = seen.lock().expect("no panic while reading");
                seen.states.push(state.clone());
            }
        }
        _ => {}
    }
}

async fn read(seen: Arc<Mutex<Seen>>, mut reader: TextStreamReader, speaker: String) {
    let mut line = Line {
        speaker,
        ..Line::default()
    };
    while let Some(Ok(delta)) = reader.next().await {
        line.text += &delta;
    }
    let attributes = reader.info().attributes();
    let attribute = |key: &str| attributes.get(key).cloned().unwrap_or_default();
    line.is_final = attribute("lk.transcription_final") == "true";
    line.segment = attribute("lk.segment_id");
    line.track = attribute("lk.transcribed_track_id");
    seen.lock()
        .expect("no panic while reading")
        .lines
        .push(line);
}
