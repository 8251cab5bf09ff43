//! Calls that talk side by side, and how long they wait for answers.

use std::fmt;
use std::time::Duration;

use futures::StreamExt;
use futures::future::join_all;
use offline_openai::Server;
use tokio::time::Instant;
use voxpool::audio::AudioFrame;

use voxpool::tts::Tts;

use crate::call::caller::{Caller, LOUD};
use crate::common::livekit::LiveKit;
use crate::common::within;
use crate::pool::stages::{Options, Stages};

/// An answer that has not begun by then is missed.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Silence around a sentence: 0.2 s at 24 kHz.
const SILENCE_SAMPLES: usize = 4_800;

pub(super) struct Calls {
    callers: Vec<Caller>,
    saying: AudioFrame,
}

/// What the callers of one measurement waited for.
pub(super) struct Figures {
    answers: Vec<Duration>,
    pub(super) missed: usize,
    pub(super) resident_bytes_max: u64,
}

impl Figures {
    fn quantile(&self, part: f64) -> Duration {
        let mut sorted = self.answers.clone();
        sorted.sort();
        let last = sorted.len().saturating_sub(1);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few hundred turns"
        )]
        let index = (last as f64 * part).round() as usize;
        sorted.get(index).copied().unwrap_or_default()
    }

    pub(super) fn p95(&self) -> Duration {
        self.quantile(0.95)
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} turns, {} missed, answered after {} (p95 {}) ms, worker {} MB",
            self.answers.len(),
            self.missed,
            self.quantile(0.5).as_millis(),
            self.p95().as_millis(),
            self.resident_bytes_max >> 20
        )
    }
}

/// A spoken sentence.
async fn saying() -> AudioFrame {
    let (_, voice) = Server::bind(offline_openai::Config::default())
        .await
        .expect("the stand-in starts");
    let stages = Stages::with(&voice.base_url(), Options::default());
    let mut frames = stages.tts.speak("hello there".to_owned());
    let mut samples = vec![0; SILENCE_SAMPLES];
    while let Some(frame) = frames.next().await {
        samples.extend(frame.expect("the stand-in speaks").samples);
    }
    samples.extend([0; SILENCE_SAMPLES]);
    AudioFrame {
        samples,
        sample_rate_hz: 24_000,
    }
}

impl Calls {
    /// So many callers, each in a room with its agent, who have been greeted.
    pub(super) async fn join(server: &LiveKit, n: usize) -> Self {
        let url = server.url();
        let joining = (0..n).map(|n| {
            let url = url.clone();
            async move {
                let caller = Caller::join(&url, &format!("talking-{n}")).await;
                caller.hears(20).await;
                caller.hears_silence().await;
                caller
            }
        });
        Self {
            callers: within("all callers are greeted", join_all(joining)).await,
            saying: saying().await,
        }
    }

    /// All of them talk until the time is over.
    pub(super) async fn talk(&mut self, time: Duration) -> Figures {
        let end = Instant::now() + time;
        let saying = &self.saying;
        let talks = self.callers.iter().map(|caller| talk(caller, saying, end));
        let answers: Vec<_> = join_all(talks).await.into_iter().flatten().collect();
        Figures {
            missed: answers.iter().filter(|answer| answer.is_none()).count(),
            answers: answers.into_iter().flatten().collect(),
            resident_bytes_max: 0,
        }
    }
}

/// The waits of one caller: from the end of each sentence to the answer's first sound.
async fn talk(caller: &Caller, saying: &AudioFrame, end: Instant) -> Vec<Option<Duration>> {
    let mut answers = Vec::new();
    while Instant::now() < end {
        let started = Instant::now();
        caller.forget_heard();
        caller.say(saying).await;
        let ended = started + voice(saying);
        let answer = tokio::time::timeout(ANSWER_WITHIN, caller.first_heard()).await;
        answers.push(answer.ok().map(|at| at.saturating_duration_since(ended)));
        caller.hears_silence().await;
    }
    answers
}

/// From the beginning of the sound to the end of the voice in it.
fn voice(saying: &AudioFrame) -> Duration {
    let last = saying
        .samples
        .iter()
        .rposition(|it| it.saturating_abs() > LOUD);
    let voice = AudioFrame {
        samples: saying.samples[..last.expect("a voice") + 1].to_vec(),
        sample_rate_hz: saying.sample_rate_hz,
    };
    voice.duration()
}
