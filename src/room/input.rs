//! What comes from the room: the user, their microphone and what they type.
//!
//! One stream, polled by the session: no task and no queue of our own on the way of a frame. The
//! engine's queue of frames is bounded and drops the oldest.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use futures::future;
use futures::stream::{BoxStream, FuturesUnordered, StreamExt, unfold};
use livekit::prelude::{
    ParticipantIdentity, RemoteAudioTrack, RemoteParticipant, RemoteTrack, RemoteTrackPublication,
    Room, TrackSid, TrackSource,
};
use livekit::webrtc::audio_stream::native::{NativeAudioStream, NativeAudioStreamOptions};
use livekit_protocol::AudioTrackFeature;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::Instant;

use super::RoomEvent;
use super::arrivals::STRANGERS_STREAMS_MAX;
use super::keypad::Keypad;
use super::lag::Lag;
use super::link::{Link, described, may_be_user};
use super::microphones::Microphones;
use super::output::Voice;
use super::preconnect::PreConnect;
use super::presence::{Departure, Presence};
use super::rates::Rates;
use super::remote::Notes;
use super::streams::Arriving;
use super::user::UserChange;
use crate::audio::AudioFrame;
use crate::audio::vad::SAMPLE_RATE_HZ;
use crate::intake::{CallIntake, InputKind};
use crate::participant::Participant;
use crate::redact::Pii;

/// The topic of text that is typed to the agent.
///
/// Source: livekit-agents 1.8.9, `TOPIC_CHAT`.
pub(super) const CHAT_TOPIC: &str = "lk.chat";

/// Frames of 10 ms that may wait: half a second, far longer than the session's loop ever takes.
const FRAMES_MAX: usize = 50;

/// Turns the SDK's events into the session's.
pub(super) struct Input {
    room: Arc<Room>,
    events: UnboundedReceiver<livekit::RoomEvent>,
    pub(super) link: Arc<Link>,
    pub(super) voice: Arc<Voice>,
    microphone: Option<(TrackSid, NativeAudioStream)>,
    /// The tracks of which one is that microphone.
    pub(super) microphones: Microphones<RemoteTrackPublication>,
    lag: Option<Lag>,
    /// Whether the front end wants the user to be heard.
    pub(super) is_listening: bool,
    pub(super) preconnect: PreConnect,
    keypad: Keypad,
    pub(super) arriving: FuturesUnordered<Arriving>,
    /// The part of them that anybody may take while there is no user.
    pub(super) strangers: Arc<Semaphore>,
    pub(super) notes: Notes,
    pub(super) intake: CallIntake,
    rates: Rates,
    pub(super) presence: Presence,
    pub(super) ready: VecDeque<RoomEvent>,
    is_over: bool,
}

impl Input {
    pub(super) fn new(
        room: Arc<Room>,
        events: UnboundedReceiver<livekit::RoomEvent>,
        link: Arc<Link>,
        voice: Arc<Voice>,
        notes: Notes,
        intake: CallIntake,
        presence: Presence,
    ) -> Self {
        Self {
            room,
            events,
            link,
            voice,
            microphone: None,
            microphones: Microphones::default(),
            lag: None,
            is_listening: true,
            preconnect: PreConnect::default(),
            keypad: Keypad::default(),
            arriving: FuturesUnordered::new(),
            strangers: Arc::new(Semaphore::new(STRANGERS_STREAMS_MAX)),
            notes,
            intake,
            rates: Rates::new(Instant::now()),
            presence,
            ready: VecDeque::new(),
            is_over: false,
        }
    }

    /// The events, until [`RoomEvent::Disconnected`].
    pub(super) fn into_stream(self) -> BoxStream<'static, RoomEvent> {
        unfold(self, |mut input| async move {
            let event = input.next().await?;
            Some((event, input))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<RoomEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                if let RoomEvent::User(change) = &event {
                    self.change_user(change);
                }
                return Some(event);
            }
            if self.is_over {
                return None;
            }
            tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => self.on_event(event),
                    None => self.end(),
                },
                frame = next_frame(&mut self.microphone) => match frame {
                    Some(frame) if self.is_listening => {
                        if let Some(frame) = self.preconnect.pass(frame) {
                            return Some(RoomEvent::Frame(frame));
                        }
                    }
                    Some(_) => {}
                    None => self.set_microphone(None),
                },
                lag = next_lag(&mut self.lag) => return Some(RoomEvent::Lag(lag)),
                () = sleep_until(self.preconnect.deadline()) => {
                    let frames = self.preconnect.give_up();
                    self.hear(frames);
                }
                () = sleep_until(self.keypad.deadline()) => {
                    let pressed = self.keypad.complete();
                    self.on_pressed(pressed);
                }
                () = sleep_until(self.presence.deadline()) => self.give_user_up(),
                Some(arrived) = self.arriving.next(), if !self.arriving.is_empty() => {
                    self.on_arrived(arrived);
                }
            }
        }
    }

    fn on_event(&mut self, event: livekit::RoomEvent) {
        use livekit::RoomEvent as E;
        match event {
            E::Connected { .. } => self.link_anybody(),
            E::ParticipantConnected(participant) => self.link_if_free(&participant),
            E::ParticipantDisconnected(participant) => self.on_left(&participant),
            E::TrackPublished {
                publication,
                participant,
            } if self.link.is_user(&participant.identity()) => self.on_published(&publication),
            E::TrackUnpublished {
                publication,
                participant,
            } if self.link.is_user(&participant.identity()) => self.on_unpublished(&publication),
            E::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                publication,
                participant,
            } if self.link.is_user(&participant.identity()) => {
                self.on_subscribed(&track, &publication);
            }
            E::TrackUnsubscribed { track, .. } => {
                let sid = track.sid();
                if self.microphone.as_ref().is_some_and(|(own, _)| *own == sid) {
                    self.set_microphone(None);
                }
            }
            E::SipDTMFReceived {
                digit: Some(key),
                participant: Some(participant),
                ..
            } if self.link.is_user(&participant.identity()) => {
                let pressed = self.keypad.press(Instant::now(), &key);
                self.on_pressed(pressed);
            }
            E::LocalTrackSubscribed { .. } => self.voice.set_subscribed(),
            E::ParticipantActive(participant) if may_be_user(&participant) => {
                let change = self.presence.active(participant.identity().as_str());
                self.on_user(change);
            }
            E::TextStreamOpened {
                reader,
                topic,
                participant_identity,
            } if topic == CHAT_TOPIC && self.link.is_user(&participant_identity) => {
                self.await_text(reader.take(), participant_identity);
            }
            E::ByteStreamOpened {
                reader,
                topic,
                participant_identity,
            } => self.on_bytes(&topic, reader.take(), participant_identity),
            E::Disconnected { reason } => {
                tracing::info!(reason = reason.as_str_name(), "disconnected from the room");
                self.end();
            }
            E::Reconnecting => tracing::warn!("connection to the room lost, reconnecting"),
            E::Reconnected => tracing::info!("connection to the room is back"),
            _ => {}
        }
    }

    fn on_pressed(&mut self, pressed: Option<String>) {
        let Some(words) = pressed else { return };
        if self.admits(InputKind::Keys) {
            self.ready.push_back(RoomEvent::Text(Pii::new(words)));
        }
    }

    /// Whether one more of these is taken; if not, it is counted.
    pub(super) fn admits(&mut self, kind: InputKind) -> bool {
        let admitted = self.rates.admit(Instant::now(), kind);
        admitted
            .inspect_err(|why| self.intake.refuse(kind, why))
            .is_ok()
    }

    fn link_anybody(&mut self) {
        for participant in self.room.remote_participants().values() {
            self.link_if_free(participant);
        }
    }

    fn link_if_free(&mut self, participant: &RemoteParticipant) {
        if may_be_user(participant) {
            let (now, identity) = (Instant::now(), participant.identity());
            let change = self.presence.arrived(now, identity.as_str());
            self.on_user(change);
        }
    }

    fn on_left(&mut self, participant: &RemoteParticipant) {
        let departure = Departure::new(participant.disconnect_reason(), participant.kind());
        let (now, identity) = (Instant::now(), participant.identity());
        let change = self.presence.left(now, identity.as_str(), departure);
        self.on_user(change);
    }

    /// The user has not come back in time.
    fn give_user_up(&mut self) {
        let room = &self.room;
        let next = || {
            let others = room.remote_participants();
            let next = others.values().find(|other| may_be_user(other));
            next.map(|next| next.identity().to_string())
        };
        let changes = self.presence.give_up(Instant::now(), next);
        self.on_user(changes);
    }

    fn on_user(&mut self, changes: impl IntoIterator<Item = UserChange>) {
        for change in changes {
            let change = match change {
                UserChange::Joined(user) => UserChange::Joined(self.described(user)),
                other => other,
            };
            self.ready.push_back(RoomEvent::User(change));
        }
    }

    /// The user with the kind and the attributes that they have as they are linked.
    fn described(&self, user: Participant) -> Participant {
        let identity = ParticipantIdentity::from(user.identity.expose().clone());
        let participants = self.room.remote_participants();
        participants.get(&identity).map_or(user, described)
    }

    /// Does the room's part of a change, right before the session gets it: the next user is linked once
    /// the session has forgotten the one before, so a tool of theirs reaches no other front end. The log
    /// never has an identity.
    fn change_user(&mut self, change: &UserChange) {
        match change {
            UserChange::Joined(user) => self.link_user(user.identity.expose()),
            UserChange::Away => {
                self.reset_user_input();
                let seconds = self.presence.waits_for(Instant::now()).as_secs_f64();
                tracing::info!(seconds, "the user is away, and the call waits for them");
            }
            UserChange::Returned(identity) => {
                self.link_user(identity.expose());
                tracing::info!("the user is back");
            }
            UserChange::Gone => {
                self.link.next_user();
                tracing::info!("the user did not come back; the next participant is the user");
            }
            UserChange::Left => self.reset_user_input(),
        }
    }

    fn link_user(&mut self, identity: &str) {
        let identity = ParticipantIdentity::from(identity.to_owned());
        self.link.set_user(identity.clone());
        let participant = self.room.remote_participants().get(&identity).cloned();
        let publications = participant.map(|participant| participant.track_publications());
        let mut tracks: Vec<_> = publications.unwrap_or_default().into_values().collect();
        // Their order is not known; a track that says it is a microphone is heard before one that does not.
        tracks.sort_by_key(|track| track.source() == TrackSource::Microphone);
        tracks.iter().for_each(|track| self.on_published(track));
    }

    /// Drops input under way and sets the switches of the front end, which is gone, to their defaults.
    /// Keys are dropped for a returning caller, too: they begin a number that was cut off again.
    fn reset_user_input(&mut self) {
        self.set_microphone(None);
        self.microphones.clear();
        self.is_listening = true;
        self.voice.mute(false);
        self.preconnect = PreConnect::default();
        self.keypad = Keypad::default();
        self.link.clear();
    }

    pub(super) fn set_microphone(&mut self, track: Option<&RemoteAudioTrack>) {
        self.preconnect.forget();
        self.lag = track.cloned().map(Lag::new);
        self.microphone = track.map(|track| {
            let options = NativeAudioStreamOptions {
                queue_size_frames: Some(FRAMES_MAX),
            };
            let rate = SAMPLE_RATE_HZ.cast_signed();
            let stream = NativeAudioStream::with_options(track.rtc_track(), rate, 1, options);
            (track.sid(), stream)
        });
        let sid = self.microphone.as_ref().map(|(sid, _)| sid.clone());
        self.link.set_microphone(sid);
    }

    pub(super) fn hear_what_was_said_before(&mut self, publication: &RemoteTrackPublication) {
        let features = publication.audio_features();
        let is_announced = features.contains(&AudioTrackFeature::TfPreconnectBuffer);
        let track = publication.sid();
        let now = Instant::now();
        let frames = self
            .preconnect
            .on_microphone(now, track.as_str(), is_announced);
        self.hear(frames);
    }

    pub(super) fn hear(&mut self, frames: Vec<AudioFrame>) {
        if self.is_listening {
            self.ready.extend(frames.into_iter().map(RoomEvent::Frame));
        }
    }

    fn end(&mut self) {
        self.is_over = true;
        self.microphone = None;
        self.lag = None;
        self.ready.push_back(RoomEvent::Disconnected);
    }
}

/// The next frame; waits for ever without a microphone.
async fn next_frame(microphone: &mut Option<(TrackSid, NativeAudioStream)>) -> Option<AudioFrame> {
    let Some((_, stream)) = microphone else {
        return future::pending().await;
    };
    let frame = stream.next().await?;
    Some(AudioFrame {
        samples: frame.data.into_owned(),
        sample_rate_hz: frame.sample_rate,
    })
}

/// How late the next frames are; waits for ever without a microphone.
async fn next_lag(lag: &mut Option<Lag>) -> Duration {
    match lag {
        Some(lag) => lag.next().await,
        None => future::pending().await,
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => future::pending().await,
    }
}
