//! The voice of `[tts]` for what programs let the agent say: sentence by sentence, words first.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::dialogue::Voiced;
use super::protocol::RATE_HZ;
use crate::audio::AudioFrame;
use crate::audio::resample::Resampler;
use crate::error::{CallError, ErrorKind, Service};
use crate::excess::contained;
use crate::session::apology::Stage;
use crate::session::handle::Words;
use crate::session::writing::{at_rate, next};
use crate::text::{SentenceSplitter, SpeechFilter};
use crate::tts::Tts;

/// What is being spoken, if something is.
pub(super) type Voice = Option<BoxStream<'static, Voiced>>;

/// Speaks these words; a voice that is silent for longer than `stall_max` has failed.
///
/// Cancel safety: dropping the stream closes its requests.
pub(super) fn speak(
    tts: &Arc<dyn Tts>,
    words: Words,
    stall_max: Duration,
) -> BoxStream<'static, Voiced> {
    let words = match words {
        Words::Text(text) => stream::iter([text]).boxed(),
        Words::Stream(words) => words,
        Words::Audio { text, frames } => {
            let rate_hz = tts.sample_rate_hz();
            let sound = sound(at_rate(frames, rate_hz), rate_hz);
            return with_words(text, 0, sound);
        }
    };
    let tts = Arc::clone(tts);
    let mut filter = SpeechFilter::new(tts.text_filters());
    let spoken = sentences(words).flat_map(move |sentence| {
        let text = filter.speakable(&sentence);
        if text.is_empty() {
            return with_words(sentence, 0, stream::empty().boxed());
        }
        let n_characters = u32::try_from(text.chars().count()).unwrap_or(u32::MAX);
        let frames = within(tts.speak(text), stall_max);
        let sound = sound(frames, tts.sample_rate_hz());
        with_words(sentence, n_characters, sound)
    });
    spoken.boxed()
}

/// Waits for ever while nothing is spoken.
///
/// Cancel safety: nothing is lost.
pub(super) async fn voiced(voice: &mut Voice) -> Voiced {
    match voice {
        Some(spoken) => match contained(spoken.next()).await {
            Ok(voiced) => voiced.unwrap_or(Voiced::End),
            Err(bug) => {
                let error = CallError::new(Service::OpenAi, "speech", ErrorKind::Internal);
                Voiced::Failed(error.because(bug))
            }
        },
        None => std::future::pending().await,
    }
}

fn sentences(words: BoxStream<'static, String>) -> BoxStream<'static, String> {
    let mut splitter = SentenceSplitter::default();
    let end = stream::once(async { None });
    let sentences = words.map(Some).chain(end).flat_map(move |delta| {
        stream::iter(match delta {
            Some(delta) => splitter.push(&delta),
            None => splitter.finish().into_iter().collect(),
        })
    });
    sentences.boxed()
}

fn with_words(
    text: String,
    n_characters: u32,
    sound: BoxStream<'static, Voiced>,
) -> BoxStream<'static, Voiced> {
    let words = stream::once(async move { Voiced::Sentence(text, n_characters) });
    words.chain(sound).boxed()
}

/// Ends with a failure when nothing comes for too long.
fn within(
    frames: BoxStream<'static, Result<AudioFrame, CallError>>,
    stall_max: Duration,
) -> BoxStream<'static, Result<AudioFrame, CallError>> {
    let timed = stream::unfold(Some(frames), move |frames| async move {
        let mut frames = frames?;
        match next(&mut frames, stall_max, Stage::Tts).await {
            Ok(frame) => Some((Ok(frame?), Some(frames))),
            Err(failure) => Some((Err(failure.error), None)),
        }
    });
    timed.boxed()
}

fn sound(
    frames: BoxStream<'static, Result<AudioFrame, CallError>>,
    rate_hz: u32,
) -> BoxStream<'static, Voiced> {
    let sound = at_session_rate(frames, rate_hz);
    sound
        .map(|samples| samples.map_or_else(Voiced::Failed, Voiced::Sound))
        .boxed()
}

/// What the voice speaks at `rate_hz`, as samples at [`RATE_HZ`].
pub(super) fn at_session_rate(
    frames: BoxStream<'static, Result<AudioFrame, CallError>>,
    rate_hz: u32,
) -> BoxStream<'static, Result<Vec<i16>, CallError>> {
    let mut resampler = Resampler::new(rate_hz, RATE_HZ);
    let end = stream::once(async { None });
    let sound = frames.map(Some).chain(end).map(move |frame| match frame {
        Some(frame) => frame.map(|frame| resampler.push(&frame.samples)),
        None => Ok(resampler.flush()),
    });
    sound.boxed()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10 ms a sentence; says nothing to `Nothing.` and fails at `Fail.`
    struct Fake;

    impl Tts for Fake {
        fn sample_rate_hz(&self) -> u32 {
            RATE_HZ
        }

        fn speak(&self, text: String) -> BoxStream<'static, Result<AudioFrame, CallError>> {
            match text.as_str() {
                "Nothing." => stream::pending().boxed(),
                "Panic." => stream::once(async { panic!("my PIN is 4711") }).boxed(),
                "Fail." => {
                    let kind = ErrorKind::Unavailable;
                    stream::iter([Err(CallError::new(Service::OpenAi, "speech", kind))]).boxed()
                }
                _ => stream::iter([Ok(frame(RATE_HZ))]).boxed(),
            }
        }
    }

    fn frame(sample_rate_hz: u32) -> AudioFrame {
        AudioFrame {
            samples: vec![1; sample_rate_hz as usize / 100],
            sample_rate_hz,
        }
    }

    /// What comes of the words, one line each.
    async fn spoken(words: Words) -> Vec<String> {
        let tts: Arc<dyn Tts> = Arc::new(Fake);
        let mut voice = Some(speak(&tts, words, Duration::from_secs(1)));
        let (mut lines, mut n_samples) = (Vec::new(), 0);
        loop {
            let next = voiced(&mut voice).await;
            if let Voiced::Sound(samples) = next {
                n_samples += samples.len();
                continue;
            }
            if n_samples > 0 {
                lines.push(format!("{} ms", std::mem::take(&mut n_samples) / 24));
            }
            match next {
                Voiced::Sentence(text, n_characters) => {
                    lines.push(format!("{n_characters}: {text}"));
                }
                Voiced::Failed(error) => {
                    lines.push(error.kind.label().to_owned());
                    return lines;
                }
                Voiced::Sound(_) | Voiced::End => return lines,
            }
        }
    }

    #[tokio::test]
    async fn words_are_spoken_sentence_by_sentence_as_they_come() {
        let whole = Words::Text("One is here. Two is there.".to_owned());
        let parts = stream::iter(["One is", " here. Two", " is there."]).map(str::to_owned);
        for words in [whole, Words::Stream(parts.boxed())] {
            let lines = spoken(words).await;
            let expected = ["12: One is here.", "10 ms", "13: Two is there.", "10 ms"];
            assert_eq!(lines, expected);
        }
        assert!(spoken(Words::Text(" ".to_owned())).await.is_empty());
    }

    #[tokio::test]
    async fn sound_comes_with_its_words_at_the_rate_of_the_voice() {
        let ready = |rate_hz| Words::Audio {
            text: "Ding.".to_owned(),
            frames: stream::iter([frame(rate_hz)]).boxed(),
        };
        assert_eq!(spoken(ready(RATE_HZ)).await, ["0: Ding.", "10 ms"]);
        assert_eq!(spoken(ready(8000)).await, ["0: Ding.", "malformed"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_voice_that_fails_or_is_silent_for_too_long_ends_there() {
        for (text, failure) in [
            ("Fail.", "unavailable"),
            ("Nothing.", "timeout"),
            ("Panic.", "internal"),
        ] {
            let lines = spoken(Words::Text(text.to_owned())).await;
            assert_eq!(lines.last().map(String::as_str), Some(failure), "{lines:?}");
        }
    }
}
