//! Text to speech: one trait, one file per provider.

mod config;
mod decoder;
mod fallback;
pub mod openai;
mod pcm;
mod silent;
mod wav;

use futures::stream::BoxStream;

pub use self::config::{Config, Fallback, Format};
pub use self::fallback::FallbackTts;
pub use self::silent::SilentTts;
use crate::audio::AudioFrame;
use crate::error::CallError;
use crate::pool::CallOptions;
use crate::text::TextFilter;

/// Speaks text.
pub trait Tts: Send + Sync {
    /// The model's name, as far as it is known.
    fn model(&self) -> &str {
        ""
    }

    /// Samples per second of the frames that [`Tts::speak`] yields.
    fn sample_rate_hz(&self) -> u32;

    /// What the text is freed of before it is spoken.
    fn text_filters(&self) -> &[TextFilter] {
        &TextFilter::ALL
    }

    /// Which of its voices would speak now: 0 is the one it is meant to have. Sound that is kept for
    /// later is kept apart by this.
    fn voice(&self) -> usize {
        0
    }

    /// Speaks one sentence or a few. Frames come as the service sends them, of any length; the
    /// stream ends after the last frame or the first error.
    ///
    /// Cancel safety: dropping the stream closes the request.
    fn speak(&self, text: String) -> BoxStream<'static, Result<AudioFrame, CallError>>;

    /// The same for a caller and as urgent as `options` say, where the voice shares a pool with others.
    fn speak_with(
        &self,
        text: String,
        options: &CallOptions,
    ) -> BoxStream<'static, Result<AudioFrame, CallError>> {
        let _ = options;
        self.speak(text)
    }
}
