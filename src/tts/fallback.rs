//! Several voices, of which one speaks: the first whose service is well.

use std::sync::Arc;

use futures::stream::BoxStream;

use super::Tts;
use super::openai::OpenAiTts;
use crate::audio::AudioFrame;
use crate::error::CallError;
use crate::pool::{CallOptions, Choice, ConnectionPool};
use crate::text::TextFilter;

/// Speaks with the first of several voices whose service is well. Another one takes over only before
/// the first sound: a sentence that was half spoken is not spoken twice.
pub struct FallbackTts {
    choice: Arc<Choice>,
    all: Arc<[OpenAiTts]>,
}

impl FallbackTts {
    /// A choice of `all`, in the order of preference; at least one.
    pub fn new(pool: ConnectionPool, all: Vec<OpenAiTts>) -> Self {
        let candidates = all.iter().map(OpenAiTts::candidate).collect();
        Self {
            choice: Arc::new(Choice::new("tts", pool, candidates)),
            all: all.into(),
        }
    }
}

impl Tts for FallbackTts {
    fn model(&self) -> &str {
        self.all[0].model()
    }

    fn text_filters(&self) -> &[TextFilter] {
        // Fallbacks have the filters of the first.
        self.all[0].text_filters()
    }

    fn sample_rate_hz(&self) -> u32 {
        // The same for all of them.
        self.all[0].sample_rate_hz()
    }

    fn voice(&self) -> usize {
        self.choice.first()
    }

    fn speak(&self, text: String) -> BoxStream<'static, Result<AudioFrame, CallError>> {
        self.speak_with(text, &CallOptions::default())
    }

    fn speak_with(
        &self,
        text: String,
        options: &CallOptions,
    ) -> BoxStream<'static, Result<AudioFrame, CallError>> {
        let (all, options) = (Arc::clone(&self.all), options.clone());
        self.choice
            .stream(move |place| all[place].speak_with(text.clone(), &options))
    }
}
