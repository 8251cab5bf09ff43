//! A room, services and a user that follow a script, on Tokio's paused clock.
//!
//! What a user says is coded in the samples: the n-th word of the script is a stretch of samples of
//! value n. The same sound drives the voice activity detection (not zero: a voice) and the
//! transcription (the words whose samples arrived), so that both always agree.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::BoxStream;
use futures::{FutureExt, StreamExt, stream};
use tokio::sync::mpsc;
use tokio::time::Instant;
use voxpool::audio::AudioFrame;
use voxpool::audio::vad::{Judged, Vad, WINDOW_SAMPLES};
use voxpool::chat::{ChatContext, ChatItem, ToolCall, ToolOutput, ToolSpec};
use voxpool::error::{CallError, ErrorKind, Service};
use voxpool::llm::{ChatRequest, Llm, LlmEvent};
use voxpool::participant::Participant;
use voxpool::pool::{CallOptions, CallSpec, ConnectionPool, Endpoint, EndpointConfig};
use voxpool::room::{
    AgentState, AudioOutput, PlayoutClock, RoomEvent, RoomOutput, SegmentId, SessionEvent,
    UserChange, UserState,
};
use voxpool::session::{SpeculationEnd, TurnObserver};
use voxpool::stt::Stt;
use voxpool::tools::Tool;
use voxpool::tts::Tts;
use voxpool::turn::Turn;

/// How long every service takes to answer.
pub(super) const SERVICE_DELAY: Duration = Duration::from_millis(100);

/// How long a character takes to say.
pub(super) const CHAR: Duration = Duration::from_millis(50);

pub(super) fn error(kind: ErrorKind) -> CallError {
    CallError::new(Service::OpenAi, "test", kind)
}

/// A voice is any sound that is not silence.
pub(super) struct FakeVad;

impl Vad for FakeVad {
    fn judge(&mut self, window: &[i16; WINDOW_SAMPLES]) -> Judged {
        let is_voice = window.iter().any(|sample| *sample != 0);
        Judged::throughout(if is_voice { 0.9 } else { 0.05 })
    }

    fn reset(&mut self) {}
}

/// What users say, by sample value.
#[derive(Clone, Default)]
pub(super) struct Vocabulary(Arc<Mutex<Vec<String>>>);

impl Vocabulary {
    pub(super) fn sample_of(&self, word: &str) -> i16 {
        let mut words = self.0.lock().unwrap();
        words.push(word.to_owned());
        i16::try_from(words.len()).unwrap()
    }

    fn words_in(&self, samples: &[i16]) -> String {
        let words = self.0.lock().unwrap();
        let mut heard: Vec<&str> = Vec::new();
        let mut last = 0;
        for sample in samples {
            if *sample != last && *sample > 0 {
                heard.push(&words[usize::try_from(*sample).unwrap() - 1]);
            }
            last = *sample;
        }
        // "…" is a sound without words.
        heard.retain(|word| *word != "…");
        heard.join(" ")
    }
}

pub(super) struct FakeStt {
    pub(super) vocabulary: Vocabulary,
    pub(super) failures: Mutex<Vec<ErrorKind>>,
    pub(super) n_requests: Arc<Mutex<u32>>,
}

impl Stt for FakeStt {
    fn transcribe(&self, utterance: AudioFrame) -> BoxFuture<'static, Result<String, CallError>> {
        *self.n_requests.lock().unwrap() += 1;
        let failure = self.failures.lock().unwrap().pop();
        let text = self.vocabulary.words_in(&utterance.samples);
        async move {
            tokio::time::sleep(SERVICE_DELAY).await;
            failure.map_or(Ok(text), |kind| Err(error(kind)))
        }
        .boxed()
    }
}

/// One answer of the model.
#[derive(Clone)]
pub(super) enum Answer {
    Says(&'static str),
    Calls(&'static [(&'static str, &'static str)]),
    SaysAndCalls(&'static str, (&'static str, &'static str)),
    Fails(ErrorKind),
    BreaksOffAfter(&'static str),
    /// The same words again and again, each after this time.
    Repeats(&'static str, Duration),
    /// A bug of ours, after these words.
    Panics(&'static str),
    /// Nothing for so long, asked through this pool with the limits that the program has by default.
    Stalls(ConnectionPool, Duration),
}

/// Answers by the last thing it was told: what the user said, or a tool's output.
#[derive(Clone, Default)]
pub(super) struct FakeLlm {
    pub(super) answers: HashMap<&'static str, Answer>,
    pub(super) requests: Arc<Mutex<Vec<ChatContext>>>,
    /// Streams that were dropped before their end.
    pub(super) n_cancelled: Arc<Mutex<u32>>,
    /// What each request said about itself.
    pub(super) asked: Arc<Mutex<Vec<CallOptions>>>,
}

struct CountIfCancelled {
    n_cancelled: Arc<Mutex<u32>>,
    is_done: bool,
}

impl CountIfCancelled {
    fn finish(&mut self) {
        self.is_done = true;
    }
}

impl Drop for CountIfCancelled {
    fn drop(&mut self) {
        if !self.is_done {
            *self.n_cancelled.lock().unwrap() += 1;
        }
    }
}

impl FakeLlm {
    fn events(&self, asked: &str) -> Vec<Result<LlmEvent, CallError>> {
        let answer = self.answers.get(asked).cloned();
        let words = |text: &str| -> Vec<Result<LlmEvent, CallError>> {
            let words = text.split_inclusive(' ');
            words.map(|w| Ok(LlmEvent::Text(w.to_owned()))).collect()
        };
        let call = |(id, name): &(&str, &str)| {
            Ok(LlmEvent::ToolCall(ToolCall {
                id: (*id).to_owned(),
                name: (*name).to_owned(),
                arguments: "{}".to_owned(),
                ..ToolCall::default()
            }))
        };
        match answer {
            None => words("I see."),
            Some(Answer::Says(text)) => words(text),
            Some(Answer::Calls(calls)) => calls.iter().map(call).collect(),
            Some(Answer::SaysAndCalls(text, called)) => {
                let mut events = words(text);
                events.push(call(&called));
                events
            }
            Some(Answer::Fails(kind)) => vec![Err(error(kind))],
            Some(Answer::Stalls(..) | Answer::Repeats(..) | Answer::Panics(_)) => Vec::new(),
            Some(Answer::BreaksOffAfter(text)) => {
                let mut events = words(text);
                events.push(Err(error(ErrorKind::Malformed)));
                events
            }
        }
    }
}

fn stalled(
    pool: &ConnectionPool,
    stall: Duration,
) -> BoxStream<'static, Result<LlmEvent, CallError>> {
    let limits = voxpool::llm::Config::default();
    let endpoint = Endpoint::new(&EndpointConfig::default()).unwrap();
    let spec = CallSpec::openai("chat.stream", &endpoint, limits.timeout)
        .attempt_timeout(limits.first_token_timeout);
    pool.stream(spec, limits.idle_timeout, move |_| async move {
        tokio::time::sleep(stall).await;
        Ok(stream::iter([Ok(LlmEvent::Text("Too late.".to_owned()))]).boxed())
    })
}

fn repeated(
    words: &'static str,
    each: Duration,
) -> BoxStream<'static, Result<LlmEvent, CallError>> {
    let said = stream::repeat_with(move || Ok(LlmEvent::Text(words.to_owned())));
    let paced = said.then(move |event| async move {
        tokio::time::sleep(each).await;
        event
    });
    paced.boxed()
}

fn panicking(words: &'static str) -> BoxStream<'static, Result<LlmEvent, CallError>> {
    let said = stream::once(async move {
        tokio::time::sleep(SERVICE_DELAY).await;
        Ok(LlmEvent::Text(words.to_owned()))
    });
    let bug = stream::once(async { panic!("my PIN is 4711") });
    said.chain(bug).boxed()
}

impl Llm for FakeLlm {
    fn chat_with(
        &self,
        request: ChatRequest,
        options: &CallOptions,
    ) -> BoxStream<'static, Result<LlmEvent, CallError>> {
        self.asked.lock().unwrap().push(options.clone());
        self.chat(request)
    }

    fn chat(&self, request: ChatRequest) -> BoxStream<'static, Result<LlmEvent, CallError>> {
        let asked = match request.context.items.last() {
            Some(ChatItem::User(text)) => text.clone(),
            Some(ChatItem::ToolOutput { output, .. }) => output.text.clone(),
            _ => String::new(),
        };
        self.requests.lock().unwrap().push(request.context);
        if let Some(Answer::Stalls(pool, stall)) = self.answers.get(&*asked) {
            return stalled(pool, *stall);
        }
        match self.answers.get(&*asked) {
            Some(Answer::Repeats(words, each)) => return repeated(words, *each),
            Some(Answer::Panics(words)) => return panicking(words),
            _ => {}
        }
        let guard = CountIfCancelled {
            n_cancelled: Arc::clone(&self.n_cancelled),
            is_done: false,
        };
        let events = self.events(&asked).into_iter();
        stream::unfold(
            (events, guard, true),
            |(mut events, mut guard, is_first)| async move {
                if is_first {
                    tokio::time::sleep(SERVICE_DELAY).await;
                }
                let Some(event) = events.next() else {
                    guard.finish();
                    return None;
                };
                Some((event, (events, guard, false)))
            },
        )
        .boxed()
    }
}

/// Speaks [`CHAR`] per character, in frames of 100 ms.
#[derive(Clone, Default)]
pub(super) struct FakeTts {
    pub(super) is_broken: Arc<Mutex<bool>>,
    pub(super) is_panicking: Arc<Mutex<bool>>,
    pub(super) spoken: Arc<Mutex<Vec<String>>>,
    /// What each request said about itself.
    pub(super) asked: Arc<Mutex<Vec<CallOptions>>>,
}

impl Tts for FakeTts {
    fn sample_rate_hz(&self) -> u32 {
        24_000
    }

    fn speak_with(
        &self,
        text: String,
        options: &CallOptions,
    ) -> BoxStream<'static, Result<AudioFrame, CallError>> {
        self.asked.lock().unwrap().push(options.clone());
        self.speak(text)
    }

    fn speak(&self, text: String) -> BoxStream<'static, Result<AudioFrame, CallError>> {
        let is_broken = *self.is_broken.lock().unwrap();
        let is_panicking = *self.is_panicking.lock().unwrap();
        let n_frames = (CHAR.as_millis() as usize * text.chars().count()).div_ceil(100);
        self.spoken.lock().unwrap().push(text);
        let frames = (0..n_frames).map(move |_| {
            assert!(!is_panicking, "as the test wished");
            if is_broken {
                return Err(error(ErrorKind::Unavailable));
            }
            Ok(AudioFrame {
                samples: vec![1000; 2400],
                sample_rate_hz: 24_000,
            })
        });
        let first = stream::once(tokio::time::sleep(SERVICE_DELAY)).filter_map(async |()| None);
        first.chain(stream::iter(frames)).boxed()
    }
}

/// The room's side of the voice: plays in (paused) real time.
pub(super) struct FakeOutput {
    started: Instant,
    clock: Mutex<PlayoutClock>,
    /// The longest stretch that was ever queued.
    pub(super) queued_max: Mutex<Duration>,
    /// Sound that was queued.
    pub(super) n_samples: Mutex<usize>,
    /// When the queue was cleared, and when something was queued.
    pub(super) cleared_at: Mutex<Vec<Duration>>,
    pub(super) queued_at: Mutex<Vec<Duration>>,
}

impl FakeOutput {
    pub(super) fn new() -> Self {
        Self {
            started: Instant::now(),
            clock: Mutex::default(),
            queued_max: Mutex::default(),
            n_samples: Mutex::default(),
            cleared_at: Mutex::default(),
            queued_at: Mutex::default(),
        }
    }

    fn note_queued(&self, queued: Duration) {
        let mut queued_max = self.queued_max.lock().unwrap();
        *queued_max = queued.max(*queued_max);
    }
}

impl AudioOutput for FakeOutput {
    fn play(&self, frame: AudioFrame) -> BoxFuture<'_, ()> {
        async move {
            let now = self.started.elapsed();
            *self.n_samples.lock().unwrap() += frame.samples.len();
            self.queued_at.lock().unwrap().push(now);
            self.clock.lock().unwrap().push(now, frame.duration());
            let queued = self.queued();
            self.note_queued(queued);
            tokio::time::sleep(queued.saturating_sub(Duration::from_millis(160))).await;
        }
        .boxed()
    }

    fn clear(&self) {
        let now = self.started.elapsed();
        self.cleared_at.lock().unwrap().push(now);
        self.clock.lock().unwrap().clear(self.started.elapsed());
    }

    fn position(&self) -> Duration {
        self.clock.lock().unwrap().position(self.started.elapsed())
    }

    fn queued(&self) -> Duration {
        self.clock.lock().unwrap().queued(self.started.elapsed())
    }
}

/// What the room was shown, one line each.
#[derive(Clone, Default)]
pub(super) struct FakeRoom {
    pub(super) shown: Arc<Mutex<Vec<String>>>,
}

impl FakeRoom {
    fn add(&self, line: String) {
        self.shown.lock().unwrap().push(line);
    }
}

impl RoomOutput for FakeRoom {
    fn set_agent_state(&self, state: AgentState) {
        self.add(state.label().to_owned());
    }

    fn user_transcript(&self, _: SegmentId, text: &str, is_final: bool) {
        let kind = if is_final { "final" } else { "interim" };
        self.add(format!("user {kind}: {text}"));
    }

    fn agent_transcript(&self, _: SegmentId, delta: &str) {
        let mut shown = self.shown.lock().unwrap();
        match shown.last_mut().filter(|line| line.starts_with("agent: ")) {
            Some(line) => line.push_str(delta),
            None => shown.push(format!("agent: {delta}")),
        }
    }

    fn end_agent_transcript(&self, _: SegmentId) {
        self.add("agent end".to_owned());
    }

    fn session_event(&self, event: SessionEvent) {
        match event {
            SessionEvent::AgentFalseInterruption { resumed: true } => {
                self.add("resumed".to_owned())
            }
            SessionEvent::UserStateChanged(UserState::Away) => self.add("user away".to_owned()),
            SessionEvent::OverlappingSpeech {
                is_interruption, ..
            } => self.add(format!("overlap, interruption {is_interruption}")),
            _ => {}
        }
    }

    fn forget_user(&self) {
        self.add("forgotten".to_owned());
    }
}

/// What became of work that was begun at pauses, in order.
#[derive(Clone, Default)]
pub(super) struct Speculations(pub(super) Arc<Mutex<Vec<SpeculationEnd>>>);

impl TurnObserver for Speculations {
    fn turn_ended(&self, _: &Turn) {}

    fn speculation_ended(&self, end: SpeculationEnd) {
        self.0.lock().unwrap().push(end);
    }
}

/// Takes a second to look; counts how often it was stopped before its end.
#[derive(Clone, Default)]
pub(super) struct SlowTool {
    pub(super) stopped: Arc<AtomicUsize>,
}

struct Looking(Option<Arc<AtomicUsize>>);

impl Drop for Looking {
    fn drop(&mut self) {
        if let Some(stopped) = self.0.take() {
            stopped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Tool for SlowTool {
    fn spec(&self) -> ToolSpec {
        ToolSpec {
            name: "look".to_owned(),
            description: "looks".to_owned(),
            parameters: serde_json::json!({"type": "object"}),
            is_strict: false,
        }
    }

    fn call(&self, _: serde_json::Value) -> BoxFuture<'static, ToolOutput> {
        let stopped = Arc::clone(&self.stopped);
        async move {
            let mut looking = Looking(Some(stopped));
            tokio::time::sleep(Duration::from_secs(1)).await;
            looking.0 = None;
            ToolOutput {
                text: "seen".to_owned(),
                is_error: false,
            }
        }
        .boxed()
    }
}

/// A user at a microphone that sends a frame every 10 ms.
pub(super) struct FakeUser {
    pub(super) vocabulary: Vocabulary,
    pub(super) room: mpsc::Sender<RoomEvent>,
}

impl FakeUser {
    /// Somebody who is there from now on.
    pub(super) async fn joins(vocabulary: Vocabulary, room: mpsc::Sender<RoomEvent>) -> Self {
        let user = Self { vocabulary, room };
        let joined = UserChange::Joined(Participant::new("user"));
        user.send(RoomEvent::User(joined)).await;
        user
    }

    /// Says the words, `each` long, without a pause between them.
    pub(super) async fn say(&self, words: &str, each: Duration) {
        for word in words.split(' ') {
            let sample = self.vocabulary.sample_of(word);
            self.sound(sample, each).await;
        }
    }

    pub(super) async fn be_silent(&self, duration: Duration) {
        self.sound(0, duration).await;
    }

    pub(super) async fn send(&self, event: RoomEvent) {
        self.room.send(event).await.unwrap();
    }

    async fn sound(&self, sample: i16, duration: Duration) {
        for _ in 0..duration.as_millis() / 10 {
            let frame = AudioFrame {
                samples: vec![sample; 160],
                sample_rate_hz: 16_000,
            };
            self.send(RoomEvent::Frame(frame)).await;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
