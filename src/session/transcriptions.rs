//! The transcripts that are on their way, and the words that are heard meanwhile.

use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::apology::Stage;
use super::reply::Failure;
use crate::audio::AudioFrame;
use crate::error::{CallError, ErrorKind, Service};
use crate::stt::{Hearing, Stt};
use crate::turn::RequestId;

/// Requests to the speech-to-text service: a handful at most, polled by the session's loop.
#[derive(Default)]
pub(super) struct Transcriptions {
    running: Vec<(RequestId, BoxFuture<'static, Result<String, Failure>>)>,
    /// Listens while the user speaks, if the service can.
    live: Option<Box<dyn Hearing>>,
}

/// What a transcriber has to say.
pub(super) enum Heard {
    /// The words so far of what is being said.
    Words(String),
    /// The answer to a request.
    Answer(RequestId, Result<String, Failure>),
}

impl Transcriptions {
    /// The user began to speak; `utterance` is the sound so far.
    pub(super) fn open(&mut self, stt: &dyn Stt, utterance: &AudioFrame) {
        self.live = stt.listen();
        self.hear(utterance);
    }

    /// More of what the user says.
    pub(super) fn hear(&self, frame: &AudioFrame) {
        if let Some(live) = &self.live {
            live.hear(frame);
        }
    }

    /// The utterance is over; what was asked is still answered.
    pub(super) fn close(&mut self) {
        self.live = None;
    }

    pub(super) fn start(
        &mut self,
        request: RequestId,
        stt: &dyn Stt,
        utterance: AudioFrame,
        stall_max: Duration,
    ) {
        let words = match &self.live {
            Some(live) => live.transcribe(utterance),
            None => stt.transcribe(utterance),
        };
        let answer = tokio::time::timeout(stall_max, words);
        let answer = answer.map(|answer| {
            let late = || CallError::new(Service::OpenAi, "transcription", ErrorKind::Timeout);
            answer
                .unwrap_or_else(|_| Err(late()))
                .map_err(|error| Failure {
                    stage: Stage::Stt,
                    error,
                })
        });
        self.running.push((request, answer.boxed()));
    }

    /// Drops the request, which closes it.
    pub(super) fn cancel(&mut self, request: RequestId) {
        self.running.retain(|(id, _)| *id != request);
    }

    /// The next words or answer; waits for ever while nobody speaks and nothing is asked.
    ///
    /// Cancel safety: nothing is lost.
    pub(super) fn next(&mut self) -> impl Future<Output = Heard> + '_ {
        std::future::poll_fn(|context| {
            if let Some(live) = &mut self.live
                && let Poll::Ready(words) = live.poll_words(context)
            {
                return Poll::Ready(Heard::Words(words));
            }
            let ready = self
                .running
                .iter_mut()
                .enumerate()
                .find_map(|(place, (_, answer))| match answer.poll_unpin(context) {
                    Poll::Ready(answer) => Some((place, answer)),
                    Poll::Pending => None,
                });
            match ready {
                Some((place, answer)) => {
                    Poll::Ready(Heard::Answer(self.running.swap_remove(place).0, answer))
                }
                None => Poll::Pending,
            }
        })
    }
}
