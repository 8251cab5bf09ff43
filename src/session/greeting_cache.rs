//! Greetings made once for many calls: words and sound.
//!
//! A greeting is made by a task of its own, which no caller owns: one who hangs up half way or talks
//! over it takes nothing from the others, and what is cached is always complete. Everybody who
//! comes meanwhile listens to the same sound as it grows.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use tokio::sync::{SetOnce, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::ahead::{Piece, Pieces};
use super::apology::Stage;
use super::recording::{Recorder, Recording, recording};
use super::reply::{Failure, Making, ReplyId};
use super::speech::Speech;
use super::writing::{Source, next, write};
use super::{Agent, Config};
use crate::audio::AudioFrame;
use crate::cache::{Cache, CacheKey};
use crate::error::{CallError, ErrorKind, Service};
use crate::excess::contained;
use crate::pool::CallOptions;
use crate::room::AudioOutput;
use crate::tts::Tts;

/// What kind of value it is, and the version of its encoding.
const NAMESPACE: &str = "greeting:v1";

/// What a greeting is made with, as text: the settings that change what is said or how it sounds.
#[derive(Clone, Debug, Default)]
pub struct MadeWith {
    /// Model and settings that find the words.
    pub llm: String,
    /// Model, voice, pace and manner.
    pub tts: String,
    /// The conversation's language.
    pub language: String,
}

/// Greetings on the process's cache; clones share them.
#[derive(Clone)]
pub struct GreetingCache(Arc<Inner>);

struct Inner {
    cache: Cache,
    made_with: MadeWith,
    growing: Mutex<HashMap<CacheKey, Growing>>,
}

/// A greeting that is being fetched or made; dropping it ends that.
struct Growing {
    recording: Recording,
    _task: AbortOnDropHandle<()>,
}

impl GreetingCache {
    /// Greetings of an agent that is `made_with` this.
    pub fn new(cache: Cache, made_with: MadeWith) -> Self {
        Self(Arc::new(Inner {
            cache,
            made_with,
            growing: Mutex::default(),
        }))
    }

    /// Where they are kept.
    pub(super) fn cache(&self) -> Cache {
        self.0.cache.clone()
    }

    /// The greeting that comes of `source`: as it is in the cache, or as it is being made from now
    /// on. Must be called within a Tokio runtime.
    pub(super) fn open(&self, agent: &Agent, config: &Config, source: Source) -> Recording {
        let key = self.key(&*agent.tts, &source);
        let mut growing = self.0.growing();
        if let Some(growing) = growing.get(&key) {
            return growing.recording.clone();
        }
        let (recorder, recording) = recording(agent.tts.sample_rate_hz());
        let making = Maker {
            cache: self.0.cache.clone(),
            // Neither the greetings nor the tools: what a tool does is for one call.
            agent: Agent {
                greetings: None,
                ..agent.clone()
            },
            config: Config {
                tool_rounds_max: 0,
                ..config.clone()
            },
            source,
        };
        let (inner, made) = (Arc::downgrade(&self.0), key.clone());
        let task = tokio::spawn(async move {
            let forgetting = Forgetting { inner, key: made };
            let made = contained(making.make(&recorder, forgetting.key.clone())).await;
            // Listeners of a greeting that a bug stopped hear of it when the recorder is dropped.
            drop(made);
        });
        let (listened, task) = (recording.clone(), AbortOnDropHandle::new(task));
        growing.insert(
            key,
            Growing {
                recording: listened,
                _task: task,
            },
        );
        recording
    }

    /// Everything that what is heard depends on: the very words, or all that the model is told (in
    /// which a profile of the caller has its place) and the model itself.
    fn key(&self, tts_in_use: &dyn Tts, source: &Source) -> CacheKey {
        let MadeWith { llm, tts, language } = &self.0.made_with;
        let rate = tts_in_use.sample_rate_hz().to_string();
        let voice = tts_in_use.voice().to_string();
        let mut parts = vec![tts.as_str(), language, &rate, &voice];
        match source {
            Source::Say(text) => parts.extend(["say", text]),
            Source::Chat(context) => parts.extend(["generate", llm, &context.instructions]),
            Source::Words(_) | Source::Recorded(_) | Source::Earcon => {
                debug_assert!(false, "no greeting")
            }
        }
        CacheKey::new(NAMESPACE, parts)
    }
}

impl Inner {
    fn growing(&self) -> MutexGuard<'_, HashMap<CacheKey, Growing>> {
        self.growing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Within the task: the greeting is complete or has failed, also by a panic. Whoever comes next asks
/// the cache.
struct Forgetting {
    inner: Weak<Inner>,
    key: CacheKey,
}

impl Drop for Forgetting {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.upgrade() {
            // Dropped outside the lock: the task that ends here is in it.
            let growing = inner.growing().remove(&self.key);
            drop(growing);
        }
    }
}

/// Gets or makes one greeting.
struct Maker {
    cache: Cache,
    agent: Agent,
    config: Config,
    source: Source,
}

impl Maker {
    async fn make(self, recorder: &Recorder, key: CacheKey) {
        let ttl = Some(self.agent.greeting.ttl);
        let cache = self.cache.clone();
        let made = cache.cached_by_one_worker(key, ttl, || self.record(recorder));
        match Box::pin(made).await {
            Ok(speech) => recorder.fill(speech),
            // The recording ended with the same failure, unless somebody else's call failed.
            Err(error) => recorder.end(Err(Failure {
                stage: Stage::Tts,
                error,
            })),
        }
    }

    /// Writes and speaks the greeting, for nobody yet.
    async fn record(self, recorder: &Recorder) -> Result<Speech, CallError> {
        let making = self.making();
        let voice = self.agent.tts.voice();
        let (pieces, pieces_out) = Pieces::unplayed();
        let (written, spoken) = tokio::join!(
            write(&making, self.source, pieces),
            take(&making, pieces_out, recorder),
        );
        match spoken.and(written) {
            Ok(()) => {
                recorder.end(Ok(()));
                if making.agent.tts.voice() == voice {
                    Ok(recorder.speech())
                } else {
                    // Heard it is; but kept it would be found under the name of another voice.
                    Err(CallError::new(
                        Service::OpenAi,
                        "speech",
                        ErrorKind::Unavailable,
                    ))
                }
            }
            Err(failure) => {
                let error = failure.error.without_cause();
                recorder.end(Err(failure));
                Err(error)
            }
        }
    }

    fn making(&self) -> Making {
        Making {
            id: ReplyId(0),
            agent: self.agent.clone(),
            config: self.config.clone(),
            output: Arc::new(Unheard),
            // Nobody is told how far it is.
            events: mpsc::channel(1).0,
            log: Arc::default(),
            is_paused: tokio::sync::watch::Sender::new(false),
            released: Arc::new(SetOnce::new_with(Some(()))),
            options: CallOptions::default(),
        }
    }
}

/// Records the pieces of a reply, in order.
async fn take(
    making: &Making,
    mut pieces: mpsc::Receiver<Piece>,
    recorder: &Recorder,
) -> Result<(), Failure> {
    while let Some(piece) = pieces.recv().await {
        let text = piece.sentence.map(|id| making.log(|log| log.text(id)));
        let stall_max = making.config.stall_max;
        let frames = stream::unfold(Some(piece.frames), move |frames| async move {
            let mut frames = frames?;
            match next(&mut frames, stall_max, Stage::Tts).await {
                Ok(frame) => frame.map(|frame| (Ok(frame), Some(frames))),
                Err(failure) => Some((Err(failure), None)),
            }
        });
        let text = text.unwrap_or_default();
        recorder.record(text, frames.boxed()).await?;
    }
    Ok(())
}

/// The output of what is recorded: nothing is played.
struct Unheard;

impl AudioOutput for Unheard {
    fn play(&self, _: AudioFrame) -> BoxFuture<'_, ()> {
        futures::future::ready(()).boxed()
    }

    fn clear(&self) {}

    fn position(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }

    fn queued(&self) -> std::time::Duration {
        std::time::Duration::ZERO
    }
}
