//! Recorders in virtual time, with a model that takes its time and answers from what it is given.

use std::sync::Mutex;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::*;
use crate::chat::ToolCall;
use crate::error::{CallError, ErrorKind, Service};
use crate::llm::StructuredRequest;
use crate::memory::refused::{copy, from_sqlstate};
use crate::memory::{
    Batcher, CallMemory, Category, Memory, MemoryAnswer, MemoryOp, Selection, Store, VolatileStore,
};
use crate::redact::Pii;
use crate::turn::{ReplyOutcome, Timeline, TurnId, TurnSource};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Remembers "key value" of each line that a user says, in a second; "panic", "garbage" and "fail"
/// do what they say.
#[derive(Default)]
struct FakeLlm {
    inputs: Mutex<Vec<(&'static str, String)>>,
    in_flight: Mutex<(usize, usize)>,
}

impl FakeLlm {
    fn n_asked(&self, name: &str) -> usize {
        let inputs = self.inputs.lock().unwrap();
        inputs.iter().filter(|(asked, _)| *asked == name).count()
    }

    fn count(&self, change: isize) {
        let mut in_flight = self.in_flight.lock().unwrap();
        in_flight.0 = in_flight.0.checked_add_signed(change).unwrap();
        in_flight.1 = in_flight.1.max(in_flight.0);
    }
}

fn answer(input: &str) -> String {
    let said = input.lines().filter_map(|line| line.strip_prefix("User: "));
    let memories: Vec<Value> = said
        .filter_map(|said| said.split_once(' '))
        .map(|(key, value)| json!({"category": "FACT", "key": key, "value": value}))
        .collect();
    json!({"memories": memories, "summary": input}).to_string()
}

struct AskedLlm(Arc<FakeLlm>);

impl StructuredLlm for AskedLlm {
    fn ask(&self, request: StructuredRequest) -> BoxFuture<'static, Result<String, CallError>> {
        let llm = Arc::clone(&self.0);
        let input = request.input;
        llm.inputs
            .lock()
            .unwrap()
            .push((request.name, input.clone()));
        async move {
            llm.count(1);
            tokio::time::sleep(secs(1)).await;
            llm.count(-1);
            match () {
                () if input.contains("panic") => panic!("asked to"),
                () if input.contains("garbage") => Ok("I'd rather not.".to_owned()),
                () if input.contains("fail") => Err(CallError::new(
                    Service::OpenAi,
                    "test",
                    ErrorKind::RateLimited,
                )),
                () => Ok(answer(&input)),
            }
        }
        .boxed()
    }
}

/// Fails in this way until it is told to work.
#[derive(Default)]
struct FlakyStore {
    rows: VolatileStore,
    failure: Mutex<Option<CallError>>,
}

impl FlakyStore {
    fn fails(&self, failure: Option<CallError>) {
        *self.failure.lock().unwrap() = failure;
    }
}

fn failure(kind: ErrorKind) -> CallError {
    CallError::new(Service::Postgres, "test", kind)
}

/// What Postgres says in this state (SQLSTATE).
fn refused(state: &str) -> CallError {
    from_sqlstate(Service::Postgres, "test", state, "mend it")
}

impl Store for FlakyStore {
    fn run(&self, ops: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>> {
        let failure = self.failure.lock().unwrap();
        let Some(error) = &*failure else {
            return self.rows.run(ops);
        };
        let results = ops.iter().map(|_| Err(copy(error))).collect();
        std::future::ready(results).boxed()
    }
}

struct House {
    memories: Memories,
    llm: Arc<FakeLlm>,
    store: Arc<FlakyStore>,
}

impl House {
    fn open(config: Config) -> Self {
        let llm = Arc::<FakeLlm>::default();
        let store = Arc::<FlakyStore>::default();
        let batcher = Batcher::new(
            Arc::clone(&store) as _,
            Service::Sqlite,
            crate::memory::BatchConfig::default(),
        );
        let memories = Memories::new(batcher, Arc::new(AskedLlm(Arc::clone(&llm))), config);
        Self {
            memories,
            llm,
            store,
        }
    }

    fn call(&self) -> CallMemory {
        CallMemory::new(self.memories.clone())
    }

    fn stats(&self) -> RecorderStats {
        self.memories.stats().recorder
    }

    /// "key=value" of all memories of a user, and "summary" where there is one.
    async fn rows(&self, user: &str) -> Vec<String> {
        let op = MemoryOp::Get(UserId::new(user).unwrap(), Selection::All, 1_000);
        let found = match self
            .memories
            .batch_memory_operations(vec![op])
            .await
            .remove(0)
        {
            Ok(MemoryAnswer::Found(found)) => found,
            other => panic!("nothing was found: {other:?}"),
        };
        let shown = |it: Memory| match it.category.name() {
            Category::PROFILE => "summary".to_owned(),
            _ => format!("{}={}", it.key.expose(), it.value.expose()),
        };
        let mut rows: Vec<_> = found.into_iter().map(shown).collect();
        rows.sort();
        rows
    }
}

fn turn(user: &str, words: &str) -> Turn {
    Turn {
        id: TurnId(1),
        user: Some(Pii::new(user.to_owned())),
        source: TurnSource::Speech,
        transcript: Pii::new(words.to_owned()),
        reply: Pii::new("I see.".to_owned()),
        heard: Pii::new("I see.".to_owned()),
        tool_calls: Pii::new(Vec::new()),
        outcome: ReplyOutcome::Finished,
        timeline: Timeline::default(),
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_said_is_saved_while_the_call_goes_on_and_the_summary_at_its_end() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    recorder.turns().send(turn("a", "name John")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(house.rows("a").await, ["name=John"]);
    recorder
        .turns()
        .send(turn("a", "home London"))
        .await
        .unwrap();
    recorder.finish().await;
    assert_eq!(
        house.rows("a").await,
        ["home=London", "name=John", "summary"]
    );
    let (_, input) = house.llm.inputs.lock().unwrap()[1].clone();
    assert!(
        input.contains("- FACT name: John"),
        "what is known is told: {input}"
    );
    let stats = house.stats();
    assert_eq!((stats.turns, stats.extractions, stats.profiles), (2, 2, 1));
    assert_eq!((stats.saved, stats.lost, stats.in_flight), (3, 0, 0));
    assert_eq!((stats.flushes, stats.flushes_cut), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn finding_and_summarising_run_side_by_side() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    recorder.turns().send(turn("a", "name John")).await.unwrap();
    let began = Instant::now();
    recorder.finish().await;
    let (elapsed, both) = (began.elapsed(), house.llm.in_flight.lock().unwrap().1);
    assert_eq!(both, 2);
    assert!(elapsed < Duration::from_millis(1_100), "{elapsed:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slow_model_never_holds_up_a_session_and_the_oldest_turns_go() {
    let config = Config {
        queue_max: 4,
        ..Config::default()
    };
    let house = House::open(config);
    let recorder = house.call().record();
    for n in 0..10 {
        let words = format!("key{n} value");
        recorder
            .turns()
            .try_send(turn("a", &words))
            .expect("there is always room");
        tokio::task::yield_now().await;
    }
    recorder.finish().await;
    let expected = ["key0", "key6", "key7", "key8", "key9"].map(|key| format!("{key}=value"));
    assert_eq!(house.rows("a").await[..5], expected);
    let stats = house.stats();
    assert_eq!((stats.turns, stats.dropped, stats.lost), (10, 5, 0));
    // What had waited was looked at in one go.
    assert_eq!(house.llm.n_asked("memories"), 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_call_has_an_end() {
    let config = Config {
        flush_timeout: Duration::from_millis(500),
        ..Config::default()
    };
    let house = House::open(config);
    let recorder = house.call().record();
    for words in ["a 1", "b 2"] {
        recorder.turns().send(turn("a", words)).await.unwrap();
    }
    let began = Instant::now();
    recorder.finish().await;
    assert_eq!(began.elapsed(), Duration::from_millis(500));
    // The task is told to end; that it has is seen when it lets go of the model.
    tokio::time::sleep(secs(2)).await;
    let stats = house.stats();
    assert_eq!((stats.lost, stats.flushes, stats.flushes_cut), (2, 1, 1));
    assert_eq!(stats.flush_ms, 500);
    assert!(house.rows("a").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn nonsense_failures_and_panics_cost_their_own_turn_only() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    for words in ["garbage", "fail", "panic", "name John"] {
        recorder.turns().send(turn("a", words)).await.unwrap();
        tokio::time::sleep(secs(2)).await;
    }
    assert_eq!(house.rows("a").await, ["name=John"]);
    assert_eq!(house.stats().failed, 3);
    recorder.finish().await;
    assert_eq!(house.rows("a").await, ["name=John", "summary"]);
}

#[tokio::test(start_paused = true)]
async fn all_calls_together_ask_so_many_questions_at_once() {
    let config = Config {
        extractions_max: 3,
        flush_timeout: secs(60),
        ..Config::default()
    };
    let house = House::open(config);
    let calls = (0..10).map(|n| {
        let (recorder, user) = (house.call().record(), format!("user{n}"));
        async move {
            recorder
                .turns()
                .send(turn(&user, "name John"))
                .await
                .unwrap();
            recorder.finish().await;
        }
    });
    join_all(calls).await;
    assert_eq!(house.llm.in_flight.lock().unwrap().1, 3);
    for n in 0..10 {
        assert_eq!(
            house.rows(&format!("user{n}")).await,
            ["name=John", "summary"]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn memories_are_of_the_one_who_spoke() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    let nobody = Turn {
        user: None,
        ..turn("", "name Nobody")
    };
    for turn in [
        turn("a", "name John"),
        turn("b", "name Jane"),
        turn(" ", "x y"),
        nobody,
    ] {
        recorder.turns().send(turn).await.unwrap();
    }
    recorder.finish().await;
    assert_eq!(house.rows("a").await, ["name=John", "summary"]);
    assert_eq!(house.rows("b").await, ["name=Jane", "summary"]);
    assert_eq!(house.stats().turns, 2);
}

#[tokio::test(start_paused = true)]
async fn what_the_user_wants_forgotten_is_not_written_down_again() {
    let house = House::open(Config::default());
    let call = house.call();
    call.user_joined("a");
    let recorder = call.record();
    // The model still looks at this one …
    recorder.turns().send(turn("a", "name John")).await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    // … when the tool forgets, in a turn that says the thing once more.
    let user = call.user().get().unwrap();
    user.forget(vec![Selection::All]).await.unwrap();
    let mut asks = turn("a", "name John");
    asks.tool_calls = Pii::new(vec![ToolCall {
        id: String::new(),
        name: FORGET_TOOL.to_owned(),
        arguments: String::new(),
    }]);
    recorder.turns().send(asks).await.unwrap();
    tokio::time::sleep(secs(3)).await;
    recorder
        .turns()
        .send(turn("a", "home London"))
        .await
        .unwrap();
    tokio::time::sleep(secs(3)).await;
    assert_eq!(house.rows("a").await, ["home=London"]);
}

#[tokio::test(start_paused = true)]
async fn what_a_failing_store_did_not_take_is_saved_when_it_is_back() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    house.store.fails(Some(failure(ErrorKind::Unavailable)));
    recorder.turns().send(turn("a", "name John")).await.unwrap();
    tokio::time::sleep(secs(2)).await;
    house.store.fails(None);
    recorder
        .turns()
        .send(turn("a", "home London"))
        .await
        .unwrap();
    recorder.finish().await;
    assert_eq!(
        house.rows("a").await,
        ["home=London", "name=John", "summary"]
    );
    assert_eq!(house.stats().unsaved, 0);
}

#[tokio::test(start_paused = true)]
async fn a_summary_waits_for_the_one_that_it_follows_on() {
    let house = House::open(Config::default());
    let first = house.call().record();
    first.turns().send(turn("a", "name John")).await.unwrap();
    first.finish().await;
    let second = house.call().record();
    second.turns().send(turn("a", "home London")).await.unwrap();
    tokio::time::sleep(secs(2)).await;
    // Away when the call ends and its summary is due, and back before the call has to be over.
    house.store.fails(Some(failure(ErrorKind::Unavailable)));
    let (store, n_before) = (Arc::clone(&house.store), house.llm.n_asked("profile"));
    let mending = async move {
        tokio::time::sleep(secs(3)).await;
        store.fails(None);
    };
    tokio::join!(second.finish(), mending);
    assert_eq!(
        house.rows("a").await,
        ["home=London", "name=John", "summary"]
    );
    let inputs = house.llm.inputs.lock().unwrap();
    let asked: Vec<_> = inputs
        .iter()
        .filter(|(name, _)| *name == "profile")
        .collect();
    assert_eq!(asked.len(), n_before + 1, "not asked without the old one");
    let (_, input) = asked.last().unwrap();
    assert!(
        input.contains("John") && input.contains("London"),
        "{input}"
    );
    drop(inputs);
    assert_eq!(house.stats().unsaved, 0);
}

/// Somebody mends the password or the tables, or the server has connections again.
#[tokio::test(start_paused = true)]
async fn what_a_store_refused_to_everybody_is_saved_when_it_is_mended() {
    for error in [
        failure(ErrorKind::CircuitOpen),
        failure(ErrorKind::Saturated),
        refused("28P01"),
        refused("42P01"),
        refused("53300"),
    ] {
        let house = House::open(Config::default());
        let recorder = house.call().record();
        let shown = format!("{error:?}");
        house.store.fails(Some(error));
        recorder.turns().send(turn("a", "name John")).await.unwrap();
        tokio::time::sleep(secs(2)).await;
        house.store.fails(None);
        recorder.finish().await;
        assert_eq!(house.rows("a").await, ["name=John", "summary"], "{shown}");
        assert_eq!(house.stats().unsaved, 0, "{shown}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_row_that_a_store_refuses_is_not_tried_again() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    // A value that is too long for its column.
    house.store.fails(Some(refused("22001")));
    recorder.turns().send(turn("a", "name John")).await.unwrap();
    tokio::time::sleep(secs(2)).await;
    assert_eq!(house.stats().unsaved, 1);
    house.store.fails(None);
    recorder.finish().await;
    assert_eq!(house.rows("a").await, ["summary"]);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_is_gone_at_the_end_of_the_worker_is_no_trouble_to_report() {
    let house = House::open(Config::default());
    let recording = &house.memories.recording;
    recording.note(true, true);
    assert!(!recording.is_failing.load(Ordering::Relaxed));
    recording.note(true, false);
    assert!(recording.is_failing.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn what_was_never_taken_is_counted() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    house.store.fails(Some(failure(ErrorKind::Unavailable)));
    recorder.turns().send(turn("a", "name John")).await.unwrap();
    let began = Instant::now();
    recorder.finish().await;
    assert_eq!(began.elapsed(), Config::default().flush_timeout);
    tokio::time::sleep(secs(1)).await;
    assert_eq!((house.stats().unsaved, house.stats().saved), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_comes_back_while_a_call_ends_gets_what_was_said() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    house.store.fails(Some(failure(ErrorKind::Unavailable)));
    recorder.turns().send(turn("a", "name John")).await.unwrap();
    let mending = async {
        tokio::time::sleep(secs(5)).await;
        house.store.fails(None);
    };
    tokio::join!(recorder.finish(), mending);
    assert_eq!(house.rows("a").await, ["name=John", "summary"]);
    let stats = house.stats();
    assert_eq!((stats.unsaved, stats.saved, stats.flushes_cut), (0, 2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_greeting_and_a_silence_are_nothing_to_look_at() {
    let house = House::open(Config::default());
    let recorder = house.call().record();
    recorder.turns().send(turn("a", " \n")).await.unwrap();
    recorder.finish().await;
    let nothing_but_its_end = RecorderStats {
        flushes: 1,
        ..RecorderStats::default()
    };
    assert_eq!(house.stats(), nothing_but_its_end);
}
