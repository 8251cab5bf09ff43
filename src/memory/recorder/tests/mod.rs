//! Recorders in virtual time, with a model that takes its time and answers from what it is given.

mod model;
mod store;
mod turns;

use std::sync::Mutex;

use futures::future::{BoxFuture, join_all};
use serde_json::{Value, json};
use tokio::time::{Duration, Instant};

use super::*;
use crate::chat::ToolCall;
use crate::error::{CallError, ErrorKind, Service};
use crate::llm::StructuredRequest;
use crate::memory::refused::{copy, from_sqlstate};
use crate::memory::{
    Batcher, CallMemory, Category, Memory, MemoryAnswer, MemoryOp, Selection, Store, UserId,
    VolatileStore,
};
use crate::participant::Participant;
use crate::redact::Pii;
use crate::turn::{ReplyOutcome, Timeline, Turn, TurnId, TurnSource};

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Remembers "key value" of each line that a user says, in a second; "panic", "garbage" and "refuse"
/// do what they say. Fails in any way it is told to.
#[derive(Default)]
struct FakeLlm {
    failure: Mutex<Option<ErrorKind>>,
    inputs: Mutex<Vec<(&'static str, String)>>,
    in_flight: Mutex<(usize, usize)>,
}

impl FakeLlm {
    fn fails(&self, failure: Option<ErrorKind>) {
        *self.failure.lock().unwrap() = failure;
    }

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
            let failure = *llm.failure.lock().unwrap();
            let failed = |kind| Err(CallError::new(Service::OpenAi, "test", kind));
            if let Some(kind) = failure {
                return failed(kind);
            }
            match () {
                () if input.contains("panic") => panic!("asked to"),
                () if input.contains("garbage") => Ok("I'd rather not.".to_owned()),
                () if input.contains("refuse") => failed(ErrorKind::Rejected),
                () => Ok(answer(&input)),
            }
        }
        .boxed()
    }
}

/// Fails in this way until it is told to work, or hangs.
#[derive(Default)]
struct FlakyStore {
    rows: VolatileStore,
    is_hung: AtomicBool,
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
        if self.is_hung.load(Ordering::Relaxed) {
            return std::future::pending().boxed();
        }
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

    /// A call in which these users were there.
    fn call(&self) -> CallMemory {
        let call = CallMemory::new(self.memories.clone());
        for name in ["a", "b", " "] {
            call.user_joined(&Participant::new(name));
        }
        for n in 0..10 {
            call.user_joined(&Participant::new(format!("user{n}")));
        }
        call.user_left();
        call
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
