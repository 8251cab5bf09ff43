//! Speech to text: one trait, one file per provider.

mod answer;
mod config;
mod fallback;
pub mod openai;
pub mod realtime;
mod spoken;
mod wav;

use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;

pub use self::config::{Config, Fallback, Mode};
pub use self::fallback::FallbackStt;
use crate::audio::AudioFrame;
use crate::error::CallError;
use crate::pool::CallOptions;

/// Turns one utterance into words.
pub trait Stt: Send + Sync {
    /// The model's name, as far as it is known.
    fn model(&self) -> &str {
        ""
    }

    /// Transcribes a whole utterance: 16 kHz mono PCM in, trimmed text out; empty when there was
    /// nothing to understand.
    ///
    /// Cancel safety: dropping the future closes the request, and over HTTP/1.1 its connection with it.
    fn transcribe(&self, utterance: AudioFrame) -> BoxFuture<'static, Result<String, CallError>>;

    /// The same for a caller and as urgent as `options` say, where the service shares a pool with
    /// others.
    fn transcribe_with(
        &self,
        utterance: AudioFrame,
        options: &CallOptions,
    ) -> BoxFuture<'static, Result<String, CallError>> {
        let _ = options;
        self.transcribe(utterance)
    }

    /// Begins to listen to an utterance while it is spoken; `None` for a service that is only asked
    /// about whole ones. Must be called within a Tokio runtime.
    fn listen(&self) -> Option<Box<dyn Hearing>> {
        None
    }

    /// Opens connections ahead of calls, where they are not the HTTP client's.
    fn prewarm(&self) -> BoxFuture<'_, ()> {
        std::future::ready(()).boxed()
    }
}

/// An utterance that is heard while it is spoken. Dropping it ends the listening.
pub trait Hearing: Send {
    /// Takes the next sound, 16 kHz mono; never waits.
    fn hear(&self, frame: &AudioFrame);

    /// Transcribes everything heard so far; more may be said and asked for after it. `utterance` is
    /// that sound as a whole, for when it has to be sent again.
    ///
    /// Cancel safety: the words of a dropped future are part of the next one's.
    fn transcribe(&self, utterance: AudioFrame) -> BoxFuture<'static, Result<String, CallError>>;

    /// The words so far, when they have changed; all of them each time, and none of them certain.
    fn poll_words(&mut self, context: &mut Context<'_>) -> Poll<String>;
}
