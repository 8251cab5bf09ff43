//! The transcripts that are on their way.

use std::task::Poll;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::apology::Stage;
use super::reply::Failure;
use crate::audio::AudioFrame;
use crate::error::{CallError, ErrorKind, Service};
use crate::stt::Stt;
use crate::turn::RequestId;

/// Requests to the speech-to-text service: a handful at most, polled by the session's loop.
#[derive(Default)]
pub(super) struct Transcriptions {
    running: Vec<(RequestId, BoxFuture<'static, Result<String, Failure>>)>,
}

impl Transcriptions {
    pub(super) fn start(
        &mut self,
        request: RequestId,
        stt: &dyn Stt,
        utterance: AudioFrame,
        stall_max: Duration,
    ) {
        let answer = tokio::time::timeout(stall_max, stt.transcribe(utterance));
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

    /// The next answer; waits for ever while nothing is asked.
    ///
    /// Cancel safety: nothing is lost.
    pub(super) fn next(
        &mut self,
    ) -> impl Future<Output = (RequestId, Result<String, Failure>)> + '_ {
        std::future::poll_fn(|context| {
            let ready = self
                .running
                .iter_mut()
                .enumerate()
                .find_map(|(place, (_, answer))| match answer.poll_unpin(context) {
                    Poll::Ready(answer) => Some((place, answer)),
                    Poll::Pending => None,
                });
            match ready {
                Some((place, answer)) => Poll::Ready((self.running.swap_remove(place).0, answer)),
                None => Poll::Pending,
            }
        })
    }
}
