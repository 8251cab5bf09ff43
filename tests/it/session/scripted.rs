//! A scripted conversation: how it is set up, driven and looked at.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use futures::StreamExt;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use voxpool::chat::{ChatContext, ChatItem};
use voxpool::error::ErrorKind;
use voxpool::memory::Briefing;
use voxpool::room::{RoomEvent, UserChange};
use voxpool::session::{
    Agent, Greeting, GreetingCache, GreetingMode, Links, Session, SessionEnd, SessionHandle,
    Settings,
};
use voxpool::tools::ToolSet;
use voxpool::turn::Turn;

use super::fakes::*;

pub(super) const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What was shown of the agent's words.
pub(super) fn captions(shown: &[String]) -> String {
    let captions = shown.iter().map(|line| line.strip_prefix("agent: "));
    captions.flatten().collect()
}

/// What was shown but for words.
pub(super) fn states(shown: &[String]) -> Vec<&str> {
    let lines = shown.iter().map(String::as_str);
    lines.filter(|line| !line.contains(':')).collect()
}

#[derive(Default)]
pub(super) struct Setup {
    pub(super) settings: Settings,
    pub(super) greeting: &'static str,
    pub(super) greetings: Option<GreetingCache>,
    pub(super) instructions: &'static str,
    pub(super) is_generated: bool,
    pub(super) briefings: Option<mpsc::Receiver<Briefing>>,
    pub(super) llm: FakeLlm,
    pub(super) tts: FakeTts,
    pub(super) stt_failures: Vec<ErrorKind>,
}

/// A conversation that runs, and everything to drive and look at it.
pub(super) struct Call {
    pub(super) user: FakeUser,
    pub(super) room: FakeRoom,
    pub(super) output: Arc<FakeOutput>,
    pub(super) llm: FakeLlm,
    pub(super) tts: FakeTts,
    pub(super) n_stt_requests: Arc<std::sync::Mutex<u32>>,
    pub(super) turns: mpsc::Receiver<Turn>,
    pub(super) speculations: Speculations,
    pub(super) shutdown: CancellationToken,
    pub(super) stopped_tools: Arc<AtomicUsize>,
    pub(super) handle: SessionHandle,
    pub(super) session: JoinHandle<SessionEnd>,
}

impl Setup {
    pub(super) fn answer(mut self, asked: &'static str, answer: Answer) -> Self {
        self.llm.answers.insert(asked, answer);
        self
    }

    /// Users here have headphones: the agent's echo is a matter of `src/turn/tests/pausing.rs`.
    pub(super) fn greeting(&self) -> Greeting {
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

    pub(super) async fn start(mut self) -> Call {
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
        let speculations = Speculations::default();
        let shutdown = CancellationToken::new();
        let briefings = self.briefings.map(ReceiverStream::new);
        let links = Links {
            turns: Some(Box::new(move |turn| {
                // Not all tests look at the turns.
                drop(turns_in.try_send(turn));
            })),
            observer: Some(Arc::new(speculations.clone())),
            briefings: briefings.map(StreamExt::boxed),
            ..Links::default()
        };
        let session = Session::prepare(
            self.settings,
            agent,
            Box::new(FakeVad),
            Arc::clone(&output) as _,
            links,
        );
        let handle = session.handle();
        let session = tokio::spawn(session.run(
            ReceiverStream::new(room_events).boxed(),
            Arc::new(room.clone()),
            shutdown.clone(),
        ));
        let user = FakeUser::joins(vocabulary, room_in).await;
        Call {
            user,
            room,
            output,
            llm: self.llm,
            tts: self.tts,
            stopped_tools,
            n_stt_requests,
            turns,
            speculations,
            shutdown,
            handle,
            session,
        }
    }
}

impl Call {
    /// The user says something and waits.
    pub(super) async fn say(&self, words: &str, then_silent: Duration) {
        self.user.say(words, ms(400)).await;
        self.user.be_silent(then_silent).await;
    }

    pub(super) async fn turn(&mut self) -> Turn {
        self.turns.recv().await.expect("the session goes on")
    }

    /// Ends the call by the user's leaving, and makes sure that nothing is left of it.
    pub(super) async fn hang_up(self) -> Vec<String> {
        self.user.send(RoomEvent::User(UserChange::Left)).await;
        let end = self.session.await.unwrap();
        assert!(matches!(end, SessionEnd::UserLeft), "{end:?}");
        nothing_is_left_running().await;
        self.room.shown.lock().unwrap().clone()
    }

    pub(super) fn last_context(&self) -> Vec<String> {
        let requests = self.llm.requests.lock().unwrap();
        describe(requests.last().expect("the model was asked"))
    }
}

pub(super) async fn nothing_is_left_running() {
    // Aborted tasks end when they are next polled.
    tokio::time::sleep(ms(1)).await;
    let n_tasks = tokio::runtime::Handle::current()
        .metrics()
        .num_alive_tasks();
    assert_eq!(n_tasks, 0, "tasks left running");
}

pub(super) fn describe(context: &ChatContext) -> Vec<String> {
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
