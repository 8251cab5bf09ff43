//! Speech to text: one trait, one file per provider.

mod fallback;
pub mod openai;
mod wav;

use futures::future::BoxFuture;

pub use self::fallback::FallbackStt;
pub use self::openai::Config;
use crate::audio::AudioFrame;
use crate::error::CallError;

/// Turns one utterance into words.
pub trait Stt: Send + Sync {
    /// The model's name, as far as it is known.
    fn model(&self) -> &str {
        ""
    }

    /// Transcribes a whole utterance: 16 kHz mono PCM in, trimmed text out; empty when there was
    /// nothing to understand.
    ///
    /// Cancel safety: dropping the future closes the request.
    fn transcribe(&self, utterance: AudioFrame) -> BoxFuture<'static, Result<String, CallError>>;
}
