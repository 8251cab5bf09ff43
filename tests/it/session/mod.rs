//! Whole conversations with a scripted user, room and services, on Tokio's paused clock.

#![allow(
    clippy::unwrap_used,
    reason = "helpers of tests are tests; the lint only knows test functions"
)]

mod briefing;
mod fakes;
mod greetings;
mod pausing;
mod realtime;
mod speeches;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use voxpool::chat::{ChatContext, ChatItem};
use voxpool::error::ErrorKind;
use voxpool::memory::Briefing;
use voxpool::pool::{self, ConnectionPool};
use voxpool::redact::Pii;
use voxpool::room::RoomEvent;
use voxpool::session::{
    Agent, Greeting, GreetingCache, GreetingMode, Session, SessionEnd, SessionHandle, Settings,
};
use voxpool::tools::ToolSet;
use voxpool::turn::{ReplyOutcome, Turn};

use fakes::*;

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[derive(Default)]
struct Setup {
    settings: Settings,
    greeting: &'static str,
    greetings: Option<GreetingCache>,
    instructions: &'static str,
    is_generated: bool,
    briefings: Option<mpsc::Receiver<Briefing>>,
    llm: FakeLlm,
    tts: FakeTts,
    stt_failures: Vec<ErrorKind>,
}

/// A conversation that runs, and everything to drive and look at it.
struct Call {
    user: FakeUser,
    room: FakeRoom,
    output: Arc<FakeOutput>,
    llm: FakeLlm,
    tts: FakeTts,
    n_stt_requests: Arc<std::sync::Mutex<u32>>,
    turns: mpsc::Receiver<Turn>,
    shutdown: CancellationToken,
    stopped_tools: Arc<AtomicUsize>,
    handle: SessionHandle,
    session: JoinHandle<SessionEnd>,
}

impl Setup {
    fn answer(mut self, asked: &'static str, answer: Answer) -> Self {
        self.llm.answers.insert(asked, answer);
        self
    }

    /// Users here have headphones: the agent's echo is a matter of `src/turn/tests/pausing.rs`.
    fn greeting(&self) -> Greeting {
        Greeting {
            mode: match (self.greeting, self.is_generated) {
                ("", _) => GreetingMode::None,
                (_, true) => GreetingMode::Generate,
                (_, false) => GreetingMode::Say,
            },
            text: self.greeting.to_owned(),
            ..Greeting::default()
        }
    }

    async fn start(mut self) -> Call {
        self.settings.turn.interruption.echo_warm_up = Duration::ZERO;
        let greeting = self.greeting();
        let vocabulary = Vocabulary::default();
        let stt = FakeStt {
            vocabulary: vocabulary.clone(),
            failures: self.stt_failures.into(),
            n_requests: Arc::default(),
        };
        let n_stt_requests = Arc::clone(&stt.n_requests);
        let tool = SlowTool::default();
        let stopped_tools = Arc::clone(&tool.stopped);
        let agent = Agent {
            instructions: match self.instructions {
                "" => "Be kind.".to_owned(),
                instructions => instructions.to_owned(),
            },
            greeting,
            greetings: self.greetings,
            stt: Arc::new(stt),
            llm: Arc::new(self.llm.clone()),
            tts: Arc::new(self.tts.clone()),
            tools: ToolSet::new(vec![Arc::new(tool)]),
        };
        let output = Arc::new(FakeOutput::new());
        let room = FakeRoom::default();
        let (room_in, room_events) = mpsc::channel(8);
        let (turns_in, turns) = mpsc::channel(16);
        let shutdown = CancellationToken::new();
        let mut session = Session::prepare(
            self.settings,
            agent,
            Box::new(FakeVad),
            Arc::clone(&output) as _,
        )
        .record_to(turns_in);
        if let Some(briefings) = self.briefings {
            session = session.brief_with(ReceiverStream::new(briefings).boxed());
        }
        let handle = session.handle();
        let session = tokio::spawn(session.run(
            ReceiverStream::new(room_events).boxed(),
            Arc::new(room.clone()),
            shutdown.clone(),
        ));
        let user = FakeUser {
            vocabulary,
            room: room_in,
        };
        user.send(RoomEvent::UserJoined(Pii::new("user".to_owned())))
            .await;
        Call {
            user,
            room,
            output,
            llm: self.llm,
            tts: self.tts,
            stopped_tools,
            n_stt_requests,
            turns,
            shutdown,
            handle,
            session,
        }
    }
}

impl Call {
    /// The user says something and waits.
    async fn say(&self, words: &str, then_silent: Duration) {
        self.user.say(words, ms(400)).await;
        self.user.be_silent(then_silent).await;
    }

    async fn turn(&mut self) -> Turn {
        self.turns.recv().await.expect("the session goes on")
    }

    /// Ends the call by the user's leaving, and makes sure that nothing is left of it.
    async fn hang_up(self) -> Vec<String> {
        self.user.send(RoomEvent::UserLeft { is_final: true }).await;
        let end = self.session.await.unwrap();
        assert!(matches!(end, SessionEnd::UserLeft), "{end:?}");
        nothing_is_left_running().await;
        self.room.shown.lock().unwrap().clone()
    }

    fn last_context(&self) -> Vec<String> {
        let requests = self.llm.requests.lock().unwrap();
        describe(requests.last().expect("the model was asked"))
    }
}

async fn nothing_is_left_running() {
    // Aborted tasks end when they are next polled.
    tokio::time::sleep(ms(1)).await;
    let n_tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(n_tasks, 0, "tasks left running");
}

fn describe(context: &ChatContext) -> Vec<String> {
    let describe = |item: &ChatItem| match item {
        ChatItem::User(text) => format!("user: {text}"),
        ChatItem::Agent {
            text,
            is_interrupted,
        } => format!("agent: {text}{}", if *is_interrupted { " |" } else { "" }),
        ChatItem::ToolCall(call) => format!("call {} {}", call.id, call.name),
        ChatItem::ToolOutput { call_id, output } => format!("output {call_id}: {}", output.text),
    };
    context.items.iter().map(describe).collect()
}

#[tokio::test(start_paused = true)]
async fn the_greeting_is_heard_as_soon_as_there_is_somebody_to_hear_it() {
    let mut call = Setup {
        greeting: "Hello there!",
        ..Setup::default()
    }
    .start()
    .await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert_eq!(turn.heard.expose(), "Hello there!");
    let started = turn.timeline.playout_started.unwrap().since_start();
    assert!(started <= SERVICE_DELAY + ms(10), "{started:?}");
    assert_eq!(
        call.hang_up().await,
        [
            "listening",
            "thinking",
            "speaking",
            "agent: Hello there!",
            "agent end",
            "listening"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_turn_is_answered_with_no_delay_beyond_endpointing() {
    let mut call = Setup::default()
        .answer("hello agent", Answer::Says("Nice to meet you. Really."))
        .start()
        .await;
    call.say("hello agent", ms(3000)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert_eq!(turn.transcript.expose(), "hello agent");
    assert_eq!(turn.heard.expose(), "Nice to meet you. Really.");
    let timeline = turn.timeline;
    let near = |duration: Option<Duration>, expected: Duration| {
        let duration = duration.unwrap();
        duration.abs_diff(expected) <= ms(30)
    };
    assert!(near(timeline.end_of_turn_delay(), ms(500)), "{timeline:?}");
    // 150 ms pause + 100 ms each for STT, LLM and TTS: ready before the 500 ms are over.
    assert!(near(timeline.e2e_latency(), ms(500)), "{timeline:?}");
    assert!(near(timeline.llm_ttft(), SERVICE_DELAY), "{timeline:?}");
    assert!(near(timeline.tts_ttfb(), SERVICE_DELAY), "{timeline:?}");
    assert_eq!(*call.n_stt_requests.lock().unwrap(), 1);
    assert!(*call.output.queued_max.lock().unwrap() <= ms(200));
    assert_eq!(
        call.hang_up().await,
        [
            "listening",
            "user interim: hello agent",
            "user final: hello agent",
            "thinking",
            "speaking",
            "agent: Nice to meet you. Really.",
            "agent end",
            "listening"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_user_who_goes_on_cancels_the_prepared_reply_and_is_answered_once() {
    let mut call = Setup::default().start().await;
    call.say("my name is", ms(400)).await;
    call.say("john", ms(3000)).await;
    let turn = call.turn().await;
    assert_eq!(turn.transcript.expose(), "my name is john");
    assert_eq!(call.last_context(), ["user: my name is john"]);
    assert_eq!(call.llm.requests.lock().unwrap().len(), 2);
    // The first answer's stream may have been complete; its voice was never heard.
    assert_eq!(turn.heard.expose(), "I see.");
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_prepared_reply_of_a_slow_model_is_closed_when_the_user_goes_on() {
    let mut call = Setup::default().start().await;
    // The pause is over after 150 + 100 ms; at 300 ms the model is still thinking.
    call.say("my name is", ms(280)).await;
    call.say("john", ms(3000)).await;
    assert_eq!(call.turn().await.transcript.expose(), "my name is john");
    assert_eq!(*call.llm.n_cancelled.lock().unwrap(), 1);
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn interruption_keeps_only_what_was_heard() {
    let mut call = Setup::default()
        .answer(
            "tell me",
            Answer::Says("One two three four five six seven eight nine ten eleven twelve."),
        )
        .start()
        .await;
    call.say("tell me", ms(500)).await;
    // The voice began about now. After 1.2 s of it the user speaks up, for half a second.
    call.user.be_silent(ms(700)).await;
    call.user.say("wait please", ms(600)).await;
    let queued = {
        use voxpool::room::AudioOutput as _;
        call.output.queued()
    };
    assert_eq!(queued, Duration::ZERO, "the voice goes on");
    call.user.be_silent(ms(1500)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Interrupted));
    let heard = turn.heard.expose().clone();
    // 1.2 s of speech at 50 ms a character: about 24 of 68 characters.
    assert!((15..=30).contains(&heard.len()), "{heard}");
    assert!(turn.reply.expose().starts_with(&heard));
    let answer = call.turn().await;
    assert_eq!(answer.transcript.expose(), "wait please");
    assert_eq!(
        call.last_context(),
        [
            "user: tell me".to_owned(),
            format!("agent: {heard} |"),
            "user: wait please".to_owned()
        ]
    );
    let shown = call.hang_up().await;
    assert!(shown.contains(&format!("agent: {heard}")), "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn a_backchannel_lets_the_agent_talk_on() {
    let mut call = Setup::default()
        .answer(
            "tell me",
            Answer::Says("One two three four five six seven eight nine ten eleven twelve."),
        )
        .start()
        .await;
    call.say("tell me", ms(1200)).await;
    call.user.say("mhm", ms(200)).await;
    call.user.be_silent(ms(5000)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    assert_eq!(call.llm.requests.lock().unwrap().len(), 1);
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_noise_without_words_is_no_turn() {
    let call = Setup::default().start().await;
    call.say("…", ms(2000)).await;
    assert_eq!(*call.n_stt_requests.lock().unwrap(), 1);
    assert!(call.llm.requests.lock().unwrap().is_empty());
    assert_eq!(call.hang_up().await, ["listening"]);
}

#[tokio::test(start_paused = true)]
async fn a_failed_transcription_is_apologised_for_and_the_call_goes_on() {
    let mut call = Setup {
        stt_failures: vec![ErrorKind::Timeout],
        ..Setup::default()
    }
    .start()
    .await;
    call.say("hello", ms(6000)).await;
    let apology = call.turn().await;
    assert!(apology.heard.expose().starts_with("I'm sorry"));
    call.say("hello again", ms(3000)).await;
    let turn = call.turn().await;
    assert_eq!(turn.transcript.expose(), "hello again");
    assert!(matches!(turn.outcome, ReplyOutcome::Finished));
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_cut_off_in_the_middle_is_heard_that_far_and_apologised_for() {
    let mut call = Setup::default()
        .answer(
            "tell me",
            Answer::BreaksOffAfter("It is true. And now for the"),
        )
        .start()
        .await;
    call.say("tell me", ms(8000)).await;
    let broken = call.turn().await;
    assert!(matches!(broken.outcome, ReplyOutcome::Failed(_)));
    assert_eq!(broken.heard.expose(), "It is true.");
    let apology = call.turn().await;
    assert!(apology.heard.expose().starts_with("I'm sorry"));
    call.say("hello", ms(3000)).await;
    call.turn().await;
    let context = call.last_context();
    assert_eq!(context[..2], ["user: tell me", "agent: It is true. |"]);
    assert!(context[2].starts_with("agent: I'm sorry"));
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_model_that_takes_twenty_seconds_is_apologised_for_once_and_leaves_nothing() {
    let pool = ConnectionPool::new(pool::Config::default()).unwrap();
    let stalls = Answer::Stalls(pool.clone(), ms(20_000));
    let mut call = Setup::default().answer("hello", stalls).start().await;
    // 10 s of waiting, and the time that the apology takes to be said.
    call.say("hello", ms(16_000)).await;
    let mut by_now = || call.turns.try_recv().expect("nobody waits for longer");
    let (broken, apology) = (by_now(), by_now());
    assert!(matches!(broken.outcome, ReplyOutcome::Failed(_)));
    assert!(apology.heard.expose().starts_with("I'm sorry"));
    let seen = pool.stats().await.services.remove(0);
    assert_eq!((seen.retries, seen.errors["timeout"]), (0, 1));
    call.say("are you there", ms(3000)).await;
    let answered = call.turn().await;
    assert_eq!(answered.heard.expose(), "I see.");
    let seen = pool.stats().await;
    assert_eq!((seen.permits.in_use, seen.services[0].in_flight), (0, 0));
    let shown = call.hang_up().await;
    let apologies = shown.iter().filter(|it| it.contains("sorry"));
    assert_eq!(apologies.count(), 1, "{shown:?}");
}

#[tokio::test(start_paused = true)]
async fn three_failures_of_the_model_in_a_row_end_the_session_with_a_farewell() {
    let mut call = Setup::default()
        .answer("hello", Answer::Fails(ErrorKind::Unauthorized))
        .start()
        .await;
    for n_failures in 1..=3 {
        call.user.say("hello", ms(400)).await;
        assert!(matches!(call.turn().await.outcome, ReplyOutcome::Failed(_)));
        let apology = call.turn().await;
        let is_farewell = apology.heard.expose().ends_with("Goodbye.");
        assert_eq!(is_farewell, n_failures == 3, "{n_failures}");
    }
    let end = call.session.await.unwrap();
    assert!(matches!(end, SessionEnd::Failed(_)), "{end:?}");
    nothing_is_left_running().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_voice_the_user_hears_a_sound_and_after_three_failures_the_session_ends() {
    let mut call = Setup::default().start().await;
    *call.tts.is_broken.lock().unwrap() = true;
    for _ in 0..2 {
        call.say("hello", ms(2500)).await;
        assert!(matches!(call.turn().await.outcome, ReplyOutcome::Failed(_)));
        let earcon = call.turn().await;
        assert!(matches!(earcon.outcome, ReplyOutcome::Finished));
        assert_eq!(earcon.heard.expose(), "");
    }
    assert_eq!(*call.output.n_samples.lock().unwrap(), 2 * 9600);
    call.user.say("hello", ms(400)).await;
    // The session may end before the silence does.
    let silence = call.user.be_silent(ms(1300));
    tokio::select! {
        () = silence => {}
        _ = call.turns.recv() => {}
    }
    let end = call.session.await.unwrap();
    assert!(matches!(end, SessionEnd::Failed(_)), "{end:?}");
    nothing_is_left_running().await;
}

#[tokio::test(start_paused = true)]
async fn tools_run_and_their_outputs_are_answered() {
    let mut call = Setup::default()
        .answer(
            "look around",
            Answer::SaysAndCalls("Let me see. ", ("a", "look")),
        )
        .answer("seen", Answer::Says("There is a tree."))
        .start()
        .await;
    call.say("look around", ms(5000)).await;
    let turn = call.turn().await;
    assert_eq!(turn.heard.expose(), "Let me see. There is a tree.");
    assert_eq!(turn.tool_calls.expose().len(), 1);
    call.say("thanks", ms(2000)).await;
    call.turn().await;
    assert_eq!(
        call.last_context(),
        [
            "user: look around",
            "agent: Let me see.",
            "call a look",
            "output a: seen",
            "agent: There is a tree.",
            "user: thanks"
        ]
    );
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn tool_rounds_have_an_end() {
    let mut call = Setup::default()
        .answer(
            "look around",
            Answer::Calls(&[("a", "look"), ("b", "look")]),
        )
        .answer("seen", Answer::Calls(&[("c", "look")]))
        .start()
        .await;
    call.say("look around", ms(6000)).await;
    let turn = call.turn().await;
    // Three rounds: two calls in the first, one in each of the others; the fourth answer is ignored.
    assert_eq!(turn.tool_calls.expose().len(), 4);
    assert_eq!(call.llm.requests.lock().unwrap().len(), 4);
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn an_interrupted_tool_call_is_not_left_without_output() {
    let mut call = Setup::default()
        .answer("look around", Answer::Calls(&[("a", "look")]))
        .start()
        .await;
    // The tool runs from 500 ms to 1,500 ms after the voice.
    call.say("look around", ms(700)).await;
    call.user.say("never mind", ms(100)).await;
    call.user.be_silent(ms(2000)).await;
    let turn = call.turn().await;
    assert!(matches!(turn.outcome, ReplyOutcome::Interrupted));
    assert_eq!(call.stopped_tools.load(Ordering::Relaxed), 1);
    call.turn().await;
    let context = call.last_context();
    assert_eq!(context[..2], ["user: look around", "call a look"]);
    assert!(
        context[2].starts_with("output a: interrupted"),
        "{context:?}"
    );
    assert_eq!(context[3..], ["user: never mind"]);
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn typed_text_stops_the_agent_and_is_answered() {
    let mut call = Setup {
        greeting: "Hello, this is a rather long greeting to hear.",
        ..Setup::default()
    }
    .start()
    .await;
    call.user.be_silent(ms(1000)).await;
    let text = RoomEvent::Text(Pii::new(" hi \n".to_owned()));
    call.user.send(text).await;
    assert!(matches!(
        call.turn().await.outcome,
        ReplyOutcome::Interrupted
    ));
    let turn = call.turn().await;
    assert_eq!(turn.transcript.expose(), "hi");
    assert_eq!(turn.heard.expose(), "I see.");
    let context = call.last_context();
    assert!(context[0].starts_with("agent: Hello, this"), "{context:?}");
    assert!(context[0].ends_with(" |"), "{context:?}");
    assert_eq!(context[1], "user: hi");
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn a_user_who_leaves_in_the_middle_of_a_reply_ends_everything() {
    let call = Setup {
        greeting: "Hello, this is a rather long greeting to hear.",
        ..Setup::default()
    }
    .start()
    .await;
    call.user.be_silent(ms(1000)).await;
    let mut shown = call.hang_up().await;
    assert_eq!(shown.pop().unwrap(), "listening");
    assert_eq!(shown.pop().unwrap(), "agent end");
}

#[tokio::test(start_paused = true)]
async fn a_muted_microphone_ends_the_turn() {
    let mut call = Setup::default().start().await;
    call.user.say("hello agent", ms(400)).await;
    // No frame follows, not even silence.
    let turn = call.turn().await;
    assert_eq!(turn.transcript.expose(), "hello agent");
    call.hang_up().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_ends_the_session_at_once() {
    let call = Setup {
        greeting: "Hello, this is a rather long greeting to hear.",
        ..Setup::default()
    }
    .start()
    .await;
    call.user.be_silent(ms(300)).await;
    call.shutdown.cancel();
    let end = call.session.await.unwrap();
    assert!(matches!(end, SessionEnd::Shutdown), "{end:?}");
    nothing_is_left_running().await;
}

#[tokio::test(start_paused = true)]
async fn a_room_that_vanishes_ends_the_session() {
    let call = Setup::default().start().await;
    drop(call.user);
    let end = call.session.await.unwrap();
    assert!(matches!(end, SessionEnd::RoomClosed), "{end:?}");
    nothing_is_left_running().await;
}
