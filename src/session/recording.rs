//! Speech that many can listen to while it is still being made: sentences with their sound, which
//! only grow. Complete, it is a [`Speech`], which can be cached.
//!
//! **Invariant:** only speech that is complete becomes a value.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use futures::stream::{self, BoxStream, StreamExt};
use tokio::sync::watch;

use super::apology::Stage;
use super::reply::Failure;
use super::speech::{BYTES_PER_SAMPLE, Speech};
use crate::audio::AudioFrame;
use crate::error::{CallError, ErrorKind, Service};

/// Sound of one frame that is handed to the player.
const FRAME: Duration = Duration::from_millis(100);

/// The longest speech that is held in memory; a model that talks on is cut off there.
const SOUND_MAX: Duration = Duration::from_secs(300);

/// Speech as far as it has been made.
#[derive(Default)]
struct State {
    sentences: Vec<Sentence>,
    /// Of all sound.
    n_bytes: usize,
    end: Option<Result<(), (Stage, CallError)>>,
}

struct Sentence {
    text: String,
    frames: Vec<Bytes>,
    is_complete: bool,
}

/// The making end.
pub(super) struct Recorder {
    state: watch::Sender<State>,
    sample_rate_hz: u32,
}

/// The listening end; clones listen to the same speech, each from its beginning.
#[derive(Clone)]
pub(super) struct Recording {
    state: watch::Receiver<State>,
    sample_rate_hz: u32,
}

/// Speech in the making.
pub(super) fn recording(sample_rate_hz: u32) -> (Recorder, Recording) {
    let (sender, receiver) = watch::channel(State::default());
    let recorder = Recorder {
        state: sender,
        sample_rate_hz,
    };
    let recording = Recording {
        state: receiver,
        sample_rate_hz,
    };
    (recorder, recording)
}

impl Recorder {
    /// Adds a sentence and its sound, as it comes.
    pub(super) async fn record(
        &self,
        text: String,
        mut frames: BoxStream<'static, Result<AudioFrame, Failure>>,
    ) -> Result<(), Failure> {
        self.state.send_modify(|state| {
            state.sentences.push(Sentence {
                text,
                frames: Vec::new(),
                is_complete: false,
            });
        });
        while let Some(frame) = frames.next().await {
            let frame = frame?;
            let is_full = self.state.borrow().n_bytes >= n_bytes(SOUND_MAX, self.sample_rate_hz);
            if frame.sample_rate_hz != self.sample_rate_hz || is_full {
                return Err(malformed());
            }
            let mut sound = BytesMut::with_capacity(frame.samples.len() * BYTES_PER_SAMPLE);
            for sample in frame.samples {
                sound.put_i16_le(sample);
            }
            self.change_last(|sentence, n_bytes| {
                *n_bytes += sound.len();
                sentence.frames.push(sound.freeze());
            });
        }
        self.change_last(|sentence, _| sentence.is_complete = true);
        Ok(())
    }

    /// Nothing more comes.
    pub(super) fn end(&self, result: Result<(), Failure>) {
        let end = result.map_err(|failure| (failure.stage, failure.error));
        self.state.send_modify(|state| {
            state.end.get_or_insert(end);
        });
    }

    /// Takes over speech that was made before, unless this was made here.
    pub(super) fn fill(&self, speech: Speech) {
        self.state.send_modify(|state| {
            if state.end.is_none() && state.sentences.is_empty() {
                let rate = speech.sample_rate_hz;
                let sentences = speech.sentences.into_iter();
                state.sentences = sentences
                    .map(|(text, sound)| Sentence {
                        text,
                        frames: in_frames(sound, rate),
                        is_complete: true,
                    })
                    .collect();
                state.end = Some(Ok(()));
            }
        });
    }

    /// All that was recorded; the caller knows that it is complete.
    pub(super) fn speech(&self) -> Speech {
        let state = self.state.borrow();
        let sentences = state.sentences.iter();
        Speech {
            sample_rate_hz: self.sample_rate_hz,
            sentences: sentences
                .map(|sentence| (sentence.text.clone(), sentence.frames.concat().into()))
                .collect(),
        }
    }

    fn change_last(&self, change: impl FnOnce(&mut Sentence, &mut usize)) {
        self.state.send_modify(|state| {
            let last = state.sentences.last_mut();
            let last = last.expect("a sentence is added before its sound");
            change(last, &mut state.n_bytes);
        });
    }
}

impl Recording {
    /// The text of a sentence and its sound, once the first of it is there; `None` after the last
    /// sentence.
    pub(super) async fn sentence(
        &self,
        index: usize,
    ) -> Result<Option<(String, BoxStream<'static, Result<AudioFrame, CallError>>)>, Failure> {
        let mut state = self.state.clone();
        let is_there = |state: &State| {
            let sentence = state.sentences.get(index);
            state.end.is_some()
                || sentence.is_some_and(|it| it.is_complete || !it.frames.is_empty())
        };
        let Ok(state) = state.wait_for(is_there).await else {
            return Err(abandoned());
        };
        match (state.sentences.get(index), &state.end) {
            (Some(sentence), _) => Ok(Some((sentence.text.clone(), self.frames(index)))),
            (None, Some(Err((stage, error)))) => Err(Failure {
                stage: *stage,
                error: error.without_cause(),
            }),
            (None, _) => Ok(None),
        }
    }

    /// Waits until whoever made it is done with it: it is complete and kept, or has failed.
    pub(super) async fn done(&self) {
        let mut state = self.state.clone();
        while state.changed().await.is_ok() {}
    }

    fn frames(&self, index: usize) -> BoxStream<'static, Result<AudioFrame, CallError>> {
        let cursor = Some((self.state.clone(), 0));
        let rate = self.sample_rate_hz;
        stream::unfold(cursor, move |cursor| async move {
            let (mut state, next) = cursor?;
            let found = match state.wait_for(|state| has_frame(state, index, next)).await {
                Err(_) => Some(Err(abandoned().error)),
                Ok(state) => frame(&state, index, next),
            };
            match found? {
                Ok(sound) => Some((Ok(to_frame(&sound, rate)), Some((state, next + 1)))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed()
    }
}

/// Whether it is known what comes after `next` frames of the sentence.
fn has_frame(state: &State, index: usize, next: usize) -> bool {
    let sentence = &state.sentences[index];
    next < sentence.frames.len() || sentence.is_complete || state.end.is_some()
}

fn frame(state: &State, index: usize, next: usize) -> Option<Result<Bytes, CallError>> {
    let sentence = &state.sentences[index];
    match (sentence.frames.get(next), &state.end) {
        (Some(sound), _) => Some(Ok(sound.clone())),
        (None, Some(Err((_, error)))) if !sentence.is_complete => Some(Err(error.without_cause())),
        (None, _) => None,
    }
}

fn to_frame(sound: &Bytes, sample_rate_hz: u32) -> AudioFrame {
    let (samples, _) = sound.as_chunks::<BYTES_PER_SAMPLE>();
    AudioFrame {
        samples: samples.iter().map(|it| i16::from_le_bytes(*it)).collect(),
        sample_rate_hz,
    }
}

fn in_frames(mut sound: Bytes, sample_rate_hz: u32) -> Vec<Bytes> {
    let size = n_bytes(FRAME, sample_rate_hz).max(BYTES_PER_SAMPLE);
    let mut frames = Vec::new();
    while !sound.is_empty() {
        frames.push(sound.split_to(size.min(sound.len())));
    }
    frames
}

fn n_bytes(sound: Duration, sample_rate_hz: u32) -> usize {
    (sound.as_secs_f64() * f64::from(sample_rate_hz)) as usize * BYTES_PER_SAMPLE
}

fn malformed() -> Failure {
    failure(ErrorKind::Malformed)
}

/// Whoever made it was stopped, as at the end of the process.
fn abandoned() -> Failure {
    failure(ErrorKind::Unavailable)
}

fn failure(kind: ErrorKind) -> Failure {
    Failure {
        stage: Stage::Tts,
        error: CallError::new(Service::OpenAi, "speech", kind),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::CacheValue;

    fn sound(samples: &[i16]) -> Result<AudioFrame, Failure> {
        Ok(AudioFrame {
            samples: samples.to_vec(),
            sample_rate_hz: 24_000,
        })
    }

    /// Everything a listener hears: texts and samples, and how it ended.
    async fn listen(recording: Recording) -> (Vec<(String, Vec<i16>)>, Option<ErrorKind>) {
        let mut heard = Vec::new();
        for index in 0.. {
            let (text, mut frames) = match recording.sentence(index).await {
                Ok(Some(sentence)) => sentence,
                Ok(None) => break,
                Err(failure) => return (heard, Some(failure.error.kind)),
            };
            heard.push((text, Vec::new()));
            while let Some(frame) = frames.next().await {
                match frame {
                    Ok(frame) => heard[index].1.extend(frame.samples),
                    Err(error) => return (heard, Some(error.kind)),
                }
            }
        }
        (heard, None)
    }

    #[tokio::test]
    async fn all_listeners_hear_everything_whenever_they_come() {
        let (recorder, recording) = recording(24_000);
        let early = tokio::spawn(listen(recording.clone()));
        tokio::task::yield_now().await;
        let frames = stream::iter([sound(&[1, -2]), sound(&[3])]).boxed();
        recorder.record("One.".to_owned(), frames).await.unwrap();
        let during = tokio::spawn(listen(recording.clone()));
        tokio::task::yield_now().await;
        let frames = stream::iter([sound(&[4])]).boxed();
        recorder.record("Two.".to_owned(), frames).await.unwrap();
        recorder.end(Ok(()));
        let value = recorder.speech();
        drop(recorder);
        let expected = (
            vec![
                ("One.".to_owned(), vec![1, -2, 3]),
                ("Two.".to_owned(), vec![4]),
            ],
            None,
        );
        assert_eq!(early.await.unwrap(), expected);
        assert_eq!(during.await.unwrap(), expected);
        assert_eq!(listen(recording).await, expected);

        let (recorder, recording) = super::recording(24_000);
        recorder.fill(Speech::from_bytes(value.to_bytes()).unwrap());
        assert_eq!(listen(recording).await, expected, "from the cache");
    }

    #[tokio::test]
    async fn a_failure_comes_after_what_was_made_before_it() {
        let (recorder, recording) = recording(24_000);
        let frames = stream::iter([sound(&[1]), Err(malformed())]).boxed();
        let failed = recorder.record("One.".to_owned(), frames).await;
        recorder.end(failed);
        let heard = vec![("One.".to_owned(), vec![1])];
        assert_eq!(listen(recording).await, (heard, Some(ErrorKind::Malformed)));
    }

    #[tokio::test]
    async fn a_maker_that_is_gone_is_a_failure() {
        let (recorder, recording) = recording(24_000);
        let frames = stream::iter([sound(&[1])]).boxed();
        recorder.record("One.".to_owned(), frames).await.unwrap();
        let listening = tokio::spawn(listen(recording));
        tokio::task::yield_now().await;
        drop(recorder);
        let (heard, end) = listening.await.unwrap();
        assert_eq!((heard.len(), end), (1, Some(ErrorKind::Unavailable)));
    }

    #[tokio::test]
    async fn speech_without_end_is_cut_off() {
        let (recorder, _recording) = recording(24_000);
        let minute = vec![1; 60 * 24_000];
        let frames = stream::repeat(minute)
            .map(|samples| sound(&samples))
            .boxed();
        let cut = recorder.record("On and on.".to_owned(), frames).await;
        assert_eq!(cut.unwrap_err().error.kind, ErrorKind::Malformed);
    }
}
