//! Speech to speech against aimock's Realtime server: it talks in words only, so what is shown here
//! is the protocol. Sound is shown in `call/realtime.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use offline_openai::{Fixed, Server, ServerHandle};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use voxpool::error::ErrorKind;
use voxpool::excess::Panicked;
use voxpool::participant::Participant;
use voxpool::pool::{self, BreakerConfig, ConnectionPool, EndpointConfig};
use voxpool::redact::Pii;
use voxpool::room::{RoomEvent, UserChange};
use voxpool::session::realtime::{Config, Fallback, RealtimeModel, RealtimeSession};
use voxpool::session::{Agent, Greeting, Links, SessionEnd, Settings};
use voxpool::tools::{Tool, ToolSet, ToolSource};
use voxpool::turn::{ReplyOutcome, Turn};

use super::fakes::*;
use crate::common::{eventually, within};
use crate::pool::aimock::Aimock;

const FIXTURES: &str = r#"{"fixtures":[
  {"match":{"userMessage":"hello"},"response":{"content":"Hi there, who are you?"}},
  {"match":{"userMessage":"look","hasToolResult":true},"response":{"content":"I have seen it."}},
  {"match":{"userMessage":"look","hasToolResult":false},
   "response":{"toolCalls":[{"name":"look","arguments":"{}"}]}},
  {"match":{"userMessage":"break"},"response":{"error":{"message":"no","type":"server_error"}}},
  {"match":{"userMessage":"cut","sequenceIndex":0},
   "response":{"content":"This is never said to its end."},"latency":500,"disconnectAfterMs":20},
  {"match":{"userMessage":"cut"},"response":{"content":"Here I am again."}},
  {"match":{"endpoint":"realtime"},"response":{"content":"Welcome."}}
]}"#;

/// A conversation that runs.
struct Call {
    room: FakeRoom,
    user: mpsc::Sender<RoomEvent>,
    turns: mpsc::Receiver<Turn>,
    pool: ConnectionPool,
    end: tokio::task::JoinHandle<SessionEnd>,
}

impl Call {
    fn start(base_url: &str, config: Config) -> Self {
        let pool = ConnectionPool::new(pool_config()).unwrap();
        Self::on(pool, base_url, config)
    }

    fn on(pool: ConnectionPool, base_url: &str, config: Config) -> Self {
        let tools = ToolSet::new(vec![Arc::new(SlowTool::default())]);
        Self::with_tools(pool, base_url, config, tools)
    }

    fn with_tools(pool: ConnectionPool, base_url: &str, config: Config, tools: ToolSet) -> Self {
        let shared = EndpointConfig {
            base_url: base_url.to_owned(),
            ..EndpointConfig::default()
        };
        let model = RealtimeModel::new(&pool, &shared, &config, "en").unwrap();
        let agent = Agent {
            instructions: "Be kind.".to_owned(),
            greeting: Greeting::default(),
            greetings: None,
            stt: Arc::new(FakeStt {
                vocabulary: Vocabulary::default(),
                failures: Vec::new().into(),
                n_requests: Arc::default(),
            }),
            llm: Arc::new(FakeLlm::default()),
            tts: Arc::new(FakeTts::default()),
            tools,
        };
        let room = FakeRoom::default();
        let (user, events) = mpsc::channel(8);
        let (turns_in, turns) = mpsc::channel(16);
        let output = Arc::new(FakeOutput::new());
        let links = Links {
            turns: Some(Box::new(move |turn| {
                // Not all tests look at the turns.
                drop(turns_in.try_send(turn));
            })),
            ..Links::default()
        };
        let settings = Settings::default();
        let session = RealtimeSession::prepare(model, agent, settings, output, links);
        let running = session.run(
            Box::pin(ReceiverStream::new(events)),
            Arc::new(room.clone()),
            CancellationToken::new(),
        );
        Self {
            room,
            user,
            turns,
            pool,
            end: tokio::spawn(running),
        }
    }

    async fn joins(&self) {
        self.user
            .send(RoomEvent::User(UserChange::Joined(Participant::new(
                "caller",
            ))))
            .await
            .unwrap();
    }

    async fn types(&self, text: &str) {
        let text = Pii::new(text.to_owned());
        self.user.send(RoomEvent::Text(text)).await.unwrap();
    }

    async fn shows(&self, line: &str) {
        eventually(line, async || {
            let shown = self.room.shown.lock().unwrap();
            shown.iter().any(|it| it == line).then_some(())
        })
        .await;
    }

    async fn recorded(&mut self) -> Turn {
        within("a turn is recorded", self.turns.recv())
            .await
            .unwrap()
    }

    async fn leaves(self) -> SessionEnd {
        let left = RoomEvent::User(UserChange::Left);
        self.user.send(left).await.unwrap();
        within("the session ends", self.end).await.unwrap()
    }
}

fn pool_config() -> pool::Config {
    pool::Config {
        retry_delay_min: Duration::from_millis(1),
        retry_delay_max: Duration::from_millis(2),
        ..pool::Config::default()
    }
}

/// What the server was asked last, as it saw the conversation.
async fn last_request(server: &Aimock) -> Vec<(String, String)> {
    let journal = reqwest::get(format!("{}/__aimock/journal", server.base_url));
    let journal: serde_json::Value = journal.await.unwrap().json().await.unwrap();
    let entries = journal.as_array().expect("a list");
    let messages = &entries.last().expect("a request")["body"]["messages"];
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::Array(parts) => {
            let texts = parts.iter().filter_map(|part| part["text"].as_str());
            texts.collect::<Vec<_>>().join(" ")
        }
        other => other.as_str().unwrap_or_default().to_owned(),
    };
    let messages = messages.as_array().expect("messages").iter();
    messages
        .map(|it| (text(&it["role"]), text(&it["content"])))
        .collect()
}

#[tokio::test]
async fn another_server_greets_answers_and_has_tools_run() {
    let server = Aimock::with(FIXTURES).await.unwrap();
    let mut call = Call::start(&server.base_url, Config::default());
    call.joins().await;
    call.shows("agent: Welcome.").await;
    let greeting = call.recorded().await;
    assert_eq!(
        (greeting.id.0, greeting.heard.expose().as_str()),
        (0, "Welcome.")
    );

    call.types("hello").await;
    call.shows("agent: Hi there, who are you?").await;
    let turn = call.recorded().await;
    assert_eq!(turn.transcript.expose(), "hello");

    call.types("look around").await;
    call.shows("agent: I have seen it.").await;
    let turn = call.recorded().await;
    assert_eq!(turn.tool_calls.expose()[0].name, "look");
    let asked = last_request(&server).await;
    assert!(
        asked.contains(&("tool".to_owned(), "seen".to_owned())),
        "{asked:?}"
    );
    assert_eq!(asked[0], ("system".to_owned(), "Be kind.".to_owned()));

    let connections = call.pool.stats().await.connections;
    assert_eq!((connections.opened, connections.reused), (1, 0));
    assert!(matches!(call.leaves().await, SessionEnd::UserLeft));
}

/// Has a bug as often as it is told to.
struct BrokenSource(Arc<AtomicBool>);

impl ToolSource for BrokenSource {
    fn name(&self) -> &str {
        "broken"
    }

    fn tools(&self) -> Vec<Arc<dyn Tool>> {
        assert!(!self.0.swap(false, Ordering::SeqCst), "my PIN is 4711");
        Vec::new()
    }
}

#[tokio::test]
async fn a_bug_in_the_middle_of_an_answer_is_apologised_for_and_the_call_goes_on() {
    let before = Panicked::counted();
    let server = Aimock::with(FIXTURES).await.unwrap();
    let is_broken = Arc::<AtomicBool>::default();
    let tools = ToolSet::new(vec![Arc::new(SlowTool::default())])
        .and_from(Arc::new(BrokenSource(Arc::clone(&is_broken))));
    let pool = ConnectionPool::new(pool_config()).unwrap();
    let mut call = Call::with_tools(pool, &server.base_url, Config::default(), tools);
    call.joins().await;
    call.recorded().await;
    is_broken.store(true, Ordering::SeqCst);
    call.types("look around").await;
    let broken = call.recorded().await;
    let ReplyOutcome::Failed(error) = &broken.outcome else {
        panic!("{:?}", broken.outcome);
    };
    assert_eq!(error.kind, ErrorKind::Internal);
    assert!(!format!("{error:?}").contains("4711"), "{error:?}");
    let apology = call.recorded().await;
    assert!(apology.heard.expose().starts_with("I'm sorry"));
    assert!(Panicked::counted() > before);
    call.types("hello").await;
    call.shows("agent: Hi there, who are you?").await;
    assert!(matches!(call.leaves().await, SessionEnd::UserLeft));
}

#[tokio::test]
async fn an_old_connection_is_replaced_and_the_new_one_knows_the_conversation() {
    let server = Aimock::with(FIXTURES).await.unwrap();
    let config = Config {
        socket_age_max: Duration::from_millis(300),
        ..Config::default()
    };
    let mut call = Call::start(&server.base_url, config);
    call.joins().await;
    call.recorded().await;
    let pool = call.pool.clone();
    eventually("the connection is replaced", async || {
        let opened = pool.stats().await.connections.opened;
        (opened >= 2).then_some(())
    })
    .await;
    call.types("hello").await;
    call.shows("agent: Hi there, who are you?").await;
    let asked = last_request(&server).await;
    let expected = [
        ("system", "Be kind."),
        ("assistant", "Welcome."),
        ("user", "hello"),
    ];
    let expected = expected.map(|(role, text)| (role.to_owned(), text.to_owned()));
    assert_eq!(asked, expected);
    call.leaves().await;
}

impl Call {
    async fn changes(&self, change: UserChange) {
        self.user.send(RoomEvent::User(change)).await.unwrap();
    }

    /// The user does not come back, and this is the next.
    async fn is_followed_by(&self, identity: &str) {
        self.changes(UserChange::Away).await;
        self.changes(UserChange::Gone).await;
        let user = Participant::new(identity);
        self.changes(UserChange::Joined(user)).await;
    }
}

#[tokio::test]
async fn the_next_user_is_greeted_and_the_model_knows_nothing_of_the_first() {
    let server = Aimock::with(FIXTURES).await.unwrap();
    let mut call = Call::start(&server.base_url, Config::default());
    call.joins().await;
    call.recorded().await;
    call.types("my PIN is 4711, hello").await;
    let turn = call.recorded().await;
    assert_eq!(turn.user.unwrap().expose(), "caller");
    call.is_followed_by("another").await;
    let greeting = call.recorded().await;
    assert_eq!(greeting.heard.expose(), "Welcome.");
    assert_eq!(greeting.user.unwrap().expose(), "another");
    call.types("hello").await;
    let turn = call.recorded().await;
    assert_eq!(turn.user.unwrap().expose(), "another");
    let asked = last_request(&server).await;
    assert!(
        !asked.iter().any(|(_, text)| text.contains("4711")),
        "{asked:?}"
    );
    call.shows("forgotten").await;
    call.leaves().await;
}

#[tokio::test]
async fn sound_that_waits_for_a_connection_is_not_sent_as_the_next_users() {
    use futures::StreamExt;
    use tokio_tungstenite::tungstenite::Message;

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base_url = format!("http://{}", listener.local_addr().unwrap());
    let call = Call::start(&base_url, Config::default());
    call.joins().await;
    // The first connection never opens, and what is said waits.
    let first = within("a connection", listener.accept()).await.unwrap();
    let loud = voxpool::audio::AudioFrame {
        samples: vec![9000; 16_000],
        sample_rate_hz: 16_000,
    };
    call.user.send(RoomEvent::Frame(loud)).await.unwrap();
    call.is_followed_by("another").await;
    let (second, _) = within("another connection", listener.accept())
        .await
        .unwrap();
    let mut socket = tokio_tungstenite::accept_async(second).await.unwrap();
    call.types("that is all").await;
    let mut told = String::new();
    while !told.contains("that is all") {
        let message = within("the service is told", socket.next()).await;
        if let Message::Text(text) = message.unwrap().unwrap() {
            told.push_str(&text);
        }
    }
    assert!(!told.contains("input_audio_buffer.append"), "{told}");
    drop(first);
    call.leaves().await;
}

#[tokio::test]
async fn a_connection_that_breaks_costs_no_answer() {
    let server = Aimock::with(FIXTURES).await.unwrap();
    let mut call = Call::start(&server.base_url, Config::default());
    call.joins().await;
    call.recorded().await;
    call.types("cut me off").await;
    call.shows("agent: Here I am again.").await;
    assert_eq!(call.pool.stats().await.connections.opened, 2);
    call.leaves().await;
}

#[tokio::test]
async fn a_service_that_fails_is_heard_and_one_that_is_not_there_ends_the_call() {
    let server = Aimock::with(FIXTURES).await.unwrap();
    let mut call = Call::start(&server.base_url, Config::default());
    call.joins().await;
    call.recorded().await;
    for n in 1..=3 {
        call.types("break it").await;
        let turn = call.recorded().await;
        let failed = matches!(&turn.outcome, voxpool::turn::ReplyOutcome::Failed(error)
            if error.kind == ErrorKind::Unavailable);
        assert!(failed, "{n}: {:?}", turn.outcome);
    }
    let end = within("the session gives up", call.end).await.unwrap();
    assert!(matches!(end, SessionEnd::Failed(_)), "{end:?}");

    let call = Call::start("http://127.0.0.1:9", Config::default());
    let end = within("the session gives up", call.end).await.unwrap();
    assert!(matches!(end, SessionEnd::Failed(error) if error.kind == ErrorKind::Unavailable));
}

/// A service that says always the same.
async fn saying(reply: &str) -> ServerHandle {
    let config = offline_openai::Config {
        fixed: Some(Fixed {
            reply: Some(reply.to_owned()),
            tone: Duration::from_millis(200),
            ..Fixed::default()
        }),
        ..offline_openai::Config::default()
    };
    let (_, server) = Server::bind(config).await.unwrap();
    server
}

#[tokio::test]
async fn the_next_service_takes_over_from_one_that_fails_or_is_silent_and_the_first_comes_back() {
    let (first, second) = (
        saying("I am the first.").await,
        saying("I am the second.").await,
    );
    let pool = ConnectionPool::new(pool::Config {
        health_interval: Duration::from_millis(200),
        breaker: BreakerConfig {
            open: Duration::from_millis(400),
            open_max: Duration::from_millis(800),
            ..BreakerConfig::default()
        },
        ..pool_config()
    })
    .unwrap();
    let config = Config {
        answer_timeout: Duration::from_secs(1),
        fallback: vec![Fallback {
            base_url: second.base_url(),
            ..Fallback::default()
        }],
        ..Config::default()
    };
    let monitor = tokio::spawn({
        let pool = pool.clone();
        async move { pool.monitor().await }
    });
    let mut call = Call::on(pool.clone(), &first.base_url(), config);
    call.joins().await;
    call.recorded().await;
    for fault in ["responses:server_error", "responses:hang"] {
        assert!(first.fail(fault.parse().unwrap()));
        call.types("hello").await;
        let turn = call.recorded().await;
        assert_eq!(turn.heard.expose(), "I am the second.", "{fault}");
        let stage = pool.stats().await.stages.remove(0);
        assert!(stage.stage == "realtime" && stage.changes >= 1, "{stage:?}");
        eventually("the first serves again", async || {
            let stage = pool.stats().await.stages.remove(0);
            (stage.in_use == 0).then_some(())
        })
        .await;
        call.types("hello again").await;
        let turn = call.recorded().await;
        assert_eq!(turn.heard.expose(), "I am the first.", "{fault}");
    }
    // One that is not there at all.
    first.stop().await;
    call.types("and now").await;
    let turn = call.recorded().await;
    assert_eq!(turn.heard.expose(), "I am the second.");
    monitor.abort();
    call.leaves().await;
}
