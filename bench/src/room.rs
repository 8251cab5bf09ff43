//! The caller's end of the line: a microphone track that never stops, and the agent's voice.
//!
//! Two tasks: one sends a frame every 10 ms (speech when there is some, else silence), one listens.
//! Both end with the [`Call`].

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use futures::StreamExt;
use livekit::options::TrackPublishOptions;
use livekit::participant::ParticipantKind;
use livekit::prelude::*;
use livekit::webrtc::audio_frame::AudioFrame;
use livekit::webrtc::audio_source::native::NativeAudioSource;
use livekit::webrtc::audio_source::{AudioSourceOptions, RtcAudioSource};
use livekit::webrtc::audio_stream::native::NativeAudioStream;
use livekit::webrtc::stats::RtcStats;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::hearing::{Heard, Hearing, speech_end};
use crate::{FRAME_SAMPLES, SAMPLE_RATE_HZ};

/// Utterances that may wait to be spoken; a script speaks one at a time.
const UTTERANCES_MAX: usize = 4;

/// Stretches of the agent's speech that may wait to be looked at.
const HEARD_MAX: usize = 16;

struct Utterance {
    samples: Vec<i16>,
    spoken: oneshot::Sender<Said>,
}

/// When something was said.
#[derive(Clone, Copy, Debug)]
pub struct Said {
    /// Its first frame was sent.
    pub began: Instant,
    /// Its last loud frame was sent.
    pub ended: Instant,
}

/// Something heard, and when.
pub struct HeardAt {
    /// What.
    pub heard: Heard,
    /// When its frame arrived.
    pub at: Instant,
}

/// A joined room with an open microphone.
pub struct Call {
    room: Room,
    microphone: mpsc::Sender<Utterance>,
    ear: mpsc::Receiver<HeardAt>,
    agent_joined: oneshot::Receiver<Instant>,
    tasks: [JoinHandle<()>; 2],
}

impl Call {
    /// Joins and opens the microphone.
    ///
    /// # Errors
    /// When the room cannot be joined or the track not be published.
    pub async fn join(url: &str, token: &str) -> Result<Self> {
        Self::join_with(url, token, Hearing::default()).await
    }

    /// The same with another ear.
    ///
    /// # Errors
    /// As for [`Self::join`].
    pub async fn join_with(url: &str, token: &str, hearing: Hearing) -> Result<Self> {
        let (room, events) = Room::connect(url, token, RoomOptions::default())
            .await
            .with_context(|| format!("cannot join a room on {url}"))?;
        let source = NativeAudioSource::new(AudioSourceOptions::default(), SAMPLE_RATE_HZ, 1, 0);
        let track = LocalAudioTrack::create_audio_track(
            "microphone",
            RtcAudioSource::Native(source.clone()),
        );
        let options = TrackPublishOptions {
            source: TrackSource::Microphone,
            ..Default::default()
        };
        room.local_participant()
            .publish_track(LocalTrack::Audio(track), options)
            .await
            .context("cannot publish the microphone")?;

        let (microphone, utterances) = mpsc::channel(UTTERANCES_MAX);
        let (ear_sender, ear) = mpsc::channel(HEARD_MAX);
        let (agent_sender, agent_joined) = oneshot::channel();
        let listener = Listener {
            ear: ear_sender,
            agent_joined: Some(agent_sender),
            hearing,
            voice: None,
        };
        let tasks = [
            tokio::spawn(send_voice(source, utterances)),
            tokio::spawn(listener.listen(events)),
        ];
        Ok(Self {
            room,
            microphone,
            ear,
            agent_joined,
            tasks,
        })
    }

    /// Says something; returns when its last loud frame was sent.
    ///
    /// # Errors
    /// When the microphone is gone.
    pub async fn say(&self, samples: Vec<i16>) -> Result<Instant> {
        Ok(self.speak(samples).await?.ended)
    }

    /// The same; tells also when it began.
    ///
    /// # Errors
    /// As for [`Self::say`].
    pub async fn speak(&self, samples: Vec<i16>) -> Result<Said> {
        let (spoken, done) = oneshot::channel();
        self.microphone
            .send(Utterance { samples, spoken })
            .await
            .map_err(|_| anyhow!("the microphone has stopped"))?;
        done.await.context("the microphone stopped while speaking")
    }

    /// The next thing heard; `None` when nothing came within `patience` or the line is dead.
    pub async fn hear(&mut self, patience: Duration) -> Option<HeardAt> {
        tokio::time::timeout(patience, self.ear.recv())
            .await
            .ok()
            .flatten()
    }

    /// When the agent came into the room; `None` when none did within `patience`. Asked once.
    pub async fn agent_joined(&mut self, patience: Duration) -> Option<Instant> {
        tokio::time::timeout(patience, &mut self.agent_joined)
            .await
            .ok()?
            .ok()
    }

    /// How long the agent's sound lay in the caller's own jitter buffer, on average, the length of its
    /// packet included: the part of every latency that is the listener's. `None` before there was any.
    pub async fn buffered(&self) -> Option<Duration> {
        for participant in self.room.remote_participants().into_values() {
            for publication in participant.track_publications().into_values() {
                let Some(RemoteTrack::Audio(track)) = publication.track() else {
                    continue;
                };
                let stats = track.get_stats().await.unwrap_or_default();
                let buffered = stats.into_iter().find_map(|stats| match stats {
                    RtcStats::InboundRtp(stats) => {
                        let inbound = stats.inbound;
                        let samples = inbound.jitter_buffer_emitted_count;
                        (samples > 0).then(|| inbound.jitter_buffer_delay / samples as f64)
                    }
                    _ => None,
                });
                if buffered.is_some() {
                    return buffered.map(Duration::from_secs_f64);
                }
            }
        }
        None
    }

    /// Forgets what was heard and not asked for.
    pub fn forget_heard(&mut self) {
        while self.ear.try_recv().is_ok() {}
    }

    /// Hangs up.
    ///
    /// # Errors
    /// When leaving fails; the call is over all the same.
    pub async fn hang_up(self) -> Result<()> {
        for task in &self.tasks {
            task.abort();
        }
        self.room.close().await.context("leaving the room failed")
    }
}

/// An utterance and how far it is spoken.
struct Speaking {
    utterance: Utterance,
    position: usize,
    end: usize,
    began: Instant,
}

/// Sends a frame every 10 ms for as long as the call lasts.
async fn send_voice(source: NativeAudioSource, mut utterances: mpsc::Receiver<Utterance>) {
    let mut clock = tokio::time::interval(Duration::from_millis(10));
    let mut frame = AudioFrame::new(SAMPLE_RATE_HZ, 1, FRAME_SAMPLES as u32);
    let mut speaking: Option<Speaking> = None;
    loop {
        clock.tick().await;
        if speaking.is_none() {
            speaking = match utterances.try_recv() {
                Ok(utterance) => Some(Speaking {
                    position: 0,
                    end: speech_end(&utterance.samples),
                    began: Instant::now(),
                    utterance,
                }),
                Err(mpsc::error::TryRecvError::Empty) => None,
                Err(mpsc::error::TryRecvError::Disconnected) => return,
            };
        }
        let data = frame.data.to_mut();
        data.fill(0);
        let mut is_done = false;
        if let Some(speaking) = &mut speaking {
            let rest = &speaking.utterance.samples[speaking.position..speaking.end];
            let count = rest.len().min(FRAME_SAMPLES);
            data[..count].copy_from_slice(&rest[..count]);
            speaking.position += count;
            is_done = speaking.position == speaking.end;
        }
        if source.capture_frame(&frame).await.is_err() {
            return;
        }
        if is_done && let Some(speaking) = speaking.take() {
            let said = Said {
                began: speaking.began,
                ended: Instant::now(),
            };
            // Nobody waits any more when the call is being ended.
            speaking.utterance.spoken.send(said).ok();
        }
    }
}

/// Waits for the agent's voice and listens to it until the call ends.
struct Listener {
    ear: mpsc::Sender<HeardAt>,
    agent_joined: Option<oneshot::Sender<Instant>>,
    hearing: Hearing,
    voice: Option<NativeAudioStream>,
}

impl Listener {
    async fn listen(mut self, mut events: mpsc::UnboundedReceiver<RoomEvent>) {
        loop {
            tokio::select! {
                event = events.recv() => match event {
                    Some(event) => self.on_event(event),
                    None => return,
                },
                Some(frame) = next_frame(&mut self.voice) => {
                    let at = Instant::now();
                    if let Some(heard) = self.hearing.frame(&frame.data)
                        && self.ear.send(HeardAt { heard, at }).await.is_err()
                    {
                        return;
                    }
                }
            }
        }
    }

    fn on_event(&mut self, event: RoomEvent) {
        match event {
            RoomEvent::ParticipantConnected(participant)
                if participant.kind() == ParticipantKind::Agent =>
            {
                if let Some(joined) = self.agent_joined.take() {
                    // Not every caller asks.
                    joined.send(Instant::now()).ok();
                }
            }
            RoomEvent::TrackSubscribed {
                track: RemoteTrack::Audio(track),
                participant,
                ..
            } if participant.kind() == ParticipantKind::Agent => {
                let rate = SAMPLE_RATE_HZ as i32;
                self.voice = Some(NativeAudioStream::new(track.rtc_track(), rate, 1));
            }
            _ => {}
        }
    }
}

/// The next frame of a voice; never, while there is none.
async fn next_frame(voice: &mut Option<NativeAudioStream>) -> Option<AudioFrame<'static>> {
    match voice {
        Some(stream) => {
            let frame = stream.next().await;
            if frame.is_none() {
                *voice = None;
            }
            frame
        }
        None => std::future::pending().await,
    }
}
