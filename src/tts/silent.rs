//! No voice: for conversations that are read.

use futures::stream::{self, BoxStream, StreamExt};

use super::Tts;
use crate::audio::AudioFrame;
use crate::error::CallError;
use crate::text::TextFilter;

/// Samples per second of the silence; little to compute, nobody hears it.
const SAMPLE_RATE_HZ: u32 = 1_000;

/// Silence for a character, in samples: as long as a voice takes, so that a session follows its words
/// as it follows spoken ones.
const CHAR_SAMPLES: usize = 65;

/// Makes silence of text and calls no service. Together with an output that takes no time, words are
/// there as soon as they are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct SilentTts;

impl Tts for SilentTts {
    fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    /// Nothing: what is read may be written as it is.
    fn text_filters(&self) -> &[TextFilter] {
        &[]
    }

    fn speak(&self, text: String) -> BoxStream<'static, Result<AudioFrame, CallError>> {
        let frame = AudioFrame {
            samples: vec![0; CHAR_SAMPLES * text.chars().count()],
            sample_rate_hz: SAMPLE_RATE_HZ,
        };
        stream::iter([Ok(frame)]).boxed()
    }
}
