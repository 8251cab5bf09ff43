//! The transcripts that are on their way, and the words that are heard meanwhile.

use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::apology::Stage;
use super::reply::Failure;
use crate::audio::AudioFrame;
use crate::error::{CallError, ErrorKind, Service};
use crate::excess::{Excess, contained};
use crate::pool::{CallOptions, PermitWait};
use crate::stt::{Hearing, Stt};
use crate::text::cut_to_chars;
use crate::turn::RequestId;

/// Unwanted requests that may end by themselves; of more the oldest is dropped, which closes it.
const UNWANTED_MAX: usize = 2;

/// Longest transcript, in characters: speech has about 15 a second, and `vad.utterance_max_seconds` is
/// 60 by default. Beyond that a service repeats itself.
pub(super) const TRANSCRIPT_CHARS_MAX: usize = 8_000;

/// Cuts what a service heard where no utterance is longer.
pub(super) fn bounded(mut text: String) -> String {
    if cut_to_chars(&mut text, TRANSCRIPT_CHARS_MAX) {
        Excess::Transcript.count("the characters of a transcript");
    }
    text
}

/// Requests to the speech-to-text service: a handful at most, polled by the session's loop.
#[derive(Default)]
pub(super) struct Transcriptions {
    running: Vec<Running>,
    /// Listens while the user speaks, if the service can.
    live: Option<Box<dyn Hearing>>,
    /// How long the request that was answered last had waited for a permit.
    waited: Duration,
}

struct Running {
    request: RequestId,
    answer: BoxFuture<'static, Result<String, Failure>>,
    /// Whether it has a connection of the pool to itself, which breaking it off would cost.
    has_connection: bool,
    is_wanted: bool,
    waited: PermitWait,
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
        (stt, options): (&dyn Stt, &CallOptions),
        utterance: AudioFrame,
        stall_max: Duration,
    ) {
        let words = match &self.live {
            Some(live) => live.transcribe(utterance),
            None => stt.transcribe_with(utterance, options),
        };
        let error = |kind| CallError::new(Service::OpenAi, "transcription", kind);
        let answer = tokio::time::timeout(stall_max, contained(words));
        let answer = answer.map(move |answer| {
            let answer = answer.unwrap_or_else(|_| Ok(Err(error(ErrorKind::Timeout))));
            // A bug costs these words; the session polls this and must not end with it.
            let answer = answer.unwrap_or_else(|bug| Err(error(ErrorKind::Internal).because(bug)));
            answer.map_err(|error| Failure {
                stage: Stage::Stt,
                error,
            })
        });
        self.running.push(Running {
            request,
            answer: answer.boxed(),
            has_connection: self.live.is_none(),
            is_wanted: true,
            waited: options.waited.clone(),
        });
    }

    /// How long the transcription of a turn had waited for its permit; each turn is told once.
    pub(super) fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    /// Nobody waits for the answer any more: it will not be heard of. Returns whether it was on its way.
    ///
    /// The sound has been sent and what comes back is short, so the request is left to end by itself:
    /// to break it off over HTTP/1.1 is to close its connection, and the next pause would open another.
    pub(super) fn cancel(&mut self, request: RequestId) -> bool {
        let is_cancelled = |it: &&mut Running| it.is_wanted && it.request == request;
        let Some(cancelled) = self.running.iter_mut().find(is_cancelled) else {
            return false;
        };
        cancelled.is_wanted = false;
        self.running.retain(|it| it.is_wanted || it.has_connection);
        let is_unwanted = |it: &Running| !it.is_wanted;
        if self.running.iter().filter(|it| is_unwanted(it)).count() > UNWANTED_MAX
            && let Some(oldest) = self.running.iter().position(is_unwanted)
        {
            self.running.remove(oldest);
        }
        true
    }

    /// The next words or answer; waits for ever while nobody speaks and nothing is asked.
    ///
    /// Cancel safety: nothing is lost.
    pub(super) fn next(&mut self) -> impl Future<Output = Heard> + '_ {
        std::future::poll_fn(|context| {
            if let Some(live) = &mut self.live
                && let Poll::Ready(words) = live.poll_words(context)
            {
                return Poll::Ready(Heard::Words(bounded(words)));
            }
            while let Some((place, answer)) = self.poll_answer(context) {
                let ended = self.running.remove(place);
                if ended.is_wanted {
                    self.waited = ended.waited.total();
                    let answer = answer.map(bounded);
                    return Poll::Ready(Heard::Answer(ended.request, answer));
                }
            }
            Poll::Pending
        })
    }

    fn poll_answer(
        &mut self,
        context: &mut Context<'_>,
    ) -> Option<(usize, Result<String, Failure>)> {
        let mut running = self.running.iter_mut().enumerate();
        running.find_map(|(place, it)| match it.answer.poll_unpin(context) {
            Poll::Ready(answer) => Some((place, answer)),
            Poll::Pending => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tokio::sync::oneshot;

    use super::*;

    type Answers = Arc<Mutex<Vec<oneshot::Sender<String>>>>;

    /// Answers when the test does; a sender of a request that was dropped is closed.
    #[derive(Clone, Default)]
    struct Service {
        answers: Answers,
        is_live: bool,
    }

    impl Service {
        fn ask(&self) -> BoxFuture<'static, Result<String, CallError>> {
            let (answer, words) = oneshot::channel();
            self.answers.lock().unwrap().push(answer);
            async move { Ok(words.await.unwrap()) }.boxed()
        }

        fn is_closed(&self, request: usize) -> bool {
            self.answers.lock().unwrap()[request].is_closed()
        }

        /// Answers what was asked first and not answered yet.
        fn answer(&self, words: &str) {
            let answer = self.answers.lock().unwrap().remove(0);
            answer.send(words.to_owned()).unwrap();
        }
    }

    impl Stt for Service {
        fn transcribe(&self, _: AudioFrame) -> BoxFuture<'static, Result<String, CallError>> {
            self.ask()
        }

        fn listen(&self) -> Option<Box<dyn Hearing>> {
            self.is_live.then(|| Box::new(self.clone()) as _)
        }
    }

    impl Hearing for Service {
        fn hear(&self, _: &AudioFrame) {}

        fn transcribe(&self, _: AudioFrame) -> BoxFuture<'static, Result<String, CallError>> {
            self.ask()
        }

        fn poll_words(&mut self, _: &mut Context<'_>) -> Poll<String> {
            Poll::Pending
        }
    }

    fn sound() -> AudioFrame {
        AudioFrame {
            samples: vec![1; 160],
            sample_rate_hz: 16_000,
        }
    }

    /// So many requests to `service`, numbered from 0.
    fn asked(service: &Service, requests: u32) -> Transcriptions {
        let mut transcriptions = Transcriptions::default();
        transcriptions.open(service, &sound());
        for request in 0..requests {
            let stall_max = Duration::from_secs(10);
            let asked = (service as &dyn Stt, &CallOptions::default());
            transcriptions.start(RequestId(request), asked, sound(), stall_max);
        }
        transcriptions
    }

    #[tokio::test]
    async fn an_unwanted_request_ends_by_itself_and_is_not_heard_of() {
        let service = Service::default();
        let mut transcriptions = asked(&service, 2);
        assert!(transcriptions.cancel(RequestId(0)));
        assert!(!transcriptions.cancel(RequestId(0)), "that is done");
        assert!(!service.is_closed(0), "its connection would be lost");
        service.answer("my name is");
        service.answer("my name is john");
        let Heard::Answer(request, words) = transcriptions.next().await else {
            panic!("nobody listens");
        };
        assert_eq!(request, RequestId(1));
        assert!(words.is_ok_and(|words| words == "my name is john"));
        assert!(transcriptions.running.is_empty());
    }

    #[tokio::test]
    async fn a_transcript_without_end_is_cut_and_counted() {
        let before = Excess::Transcript.counted();
        let service = Service::default();
        let mut transcriptions = asked(&service, 1);
        service.answer(&"and ".repeat(1_000_000));
        let Heard::Answer(_, Ok(words)) = transcriptions.next().await else {
            panic!("it is answered");
        };
        assert_eq!(words.len(), TRANSCRIPT_CHARS_MAX);
        assert!(Excess::Transcript.counted() > before);
    }

    #[tokio::test]
    async fn a_bug_in_a_service_is_a_failed_transcription() {
        struct Broken;
        impl Stt for Broken {
            fn transcribe(&self, _: AudioFrame) -> BoxFuture<'static, Result<String, CallError>> {
                async { panic!("my PIN is 4711") }.boxed()
            }
        }
        let mut transcriptions = Transcriptions::default();
        transcriptions.start(
            RequestId(0),
            (&Broken, &CallOptions::default()),
            sound(),
            Duration::from_secs(1),
        );
        let Heard::Answer(_, Err(failure)) = transcriptions.next().await else {
            panic!("it fails");
        };
        assert_eq!(failure.error.kind, ErrorKind::Internal);
        assert!(!format!("{failure:?}").contains("4711"));
    }

    #[tokio::test]
    async fn of_many_unwanted_requests_the_oldest_are_closed() {
        let service = Service::default();
        let mut transcriptions = asked(&service, 4);
        for request in [2, 0, 1] {
            transcriptions.cancel(RequestId(request));
        }
        let closed = [0, 1, 2, 3].map(|request| service.is_closed(request));
        assert_eq!(closed, [true, false, false, false]);
    }

    #[tokio::test]
    async fn what_is_asked_of_a_listener_is_dropped_at_once() {
        let service = Service {
            is_live: true,
            ..Service::default()
        };
        let mut transcriptions = asked(&service, 1);
        transcriptions.cancel(RequestId(0));
        assert!(service.is_closed(0));
    }
}
