//! The tools that reach the memory touch the rows of the caller and of nobody else, whatever a model
//! makes of them.

use std::sync::Arc;

use futures::future::BoxFuture;
use futures::{FutureExt, StreamExt};
use proptest::prelude::*;
use serde_json::{Value, json};
use voxpool::chat::{ToolCall, ToolOutput};
use voxpool::error::{CallError, Service};
use voxpool::llm::{StructuredLlm, StructuredRequest};
use voxpool::memory::{
    BatchConfig, Batcher, CallMemory, Category, Memories, Memory, MemoryAnswer, MemoryOp,
    RecorderConfig, Selection, UserId, VolatileStore,
};
use voxpool::participant::Participant;
use voxpool::redact::Pii;
use voxpool::tools::{ToolSet, memory_tools};

use crate::common::log::Log;

/// Is never asked.
struct NoLlm;

impl StructuredLlm for NoLlm {
    fn ask(&self, _: StructuredRequest) -> BoxFuture<'static, Result<String, CallError>> {
        async { Ok(String::new()) }.boxed()
    }
}

struct Call {
    memories: Memories,
    memory: CallMemory,
    tools: ToolSet,
}

fn user(name: &str) -> UserId {
    UserId::new(name).expect("an identity")
}

fn memory(category: &str, key: &str, value: &str) -> Memory {
    Memory {
        category: Category::new(category),
        key: Pii::new(key.to_owned()),
        value: Pii::new(value.to_owned()),
    }
}

impl Call {
    /// Nobody is there yet; Jane has memories.
    async fn start() -> Self {
        let store = Arc::<VolatileStore>::default();
        let batcher = Batcher::new(store, Service::Sqlite, BatchConfig::default());
        let memories = Memories::new(batcher, Arc::new(NoLlm), RecorderConfig::default());
        let janes = [
            memory("FACT", "name", "Jane"),
            memory("GOAL", "secret", "plans a surprise"),
            memory(Category::PROFILE, "summary", "Jane plans."),
        ];
        let save = |it| MemoryOp::Save(user("jane"), it);
        let ops = janes.into_iter().map(save).collect();
        memories.batch_memory_operations(ops).await;
        let memory = CallMemory::new(memories.clone());
        let tools = ToolSet::default().and(memory_tools(&memory));
        Self {
            memories,
            memory,
            tools,
        }
    }

    async fn tool(&self, name: &str, arguments: Value) -> ToolOutput {
        let call = ToolCall {
            id: "1".to_owned(),
            name: name.to_owned(),
            arguments: arguments.to_string(),
            ..ToolCall::default()
        };
        self.tools.call(&call).await
    }

    /// What is remembered of a user, the latest first.
    async fn rows(&self, name: &str) -> Vec<Memory> {
        let op = MemoryOp::Get(user(name), Selection::All, 1_000);
        match self
            .memories
            .batch_memory_operations(vec![op])
            .await
            .remove(0)
        {
            Ok(MemoryAnswer::Found(found)) => found,
            other => panic!("nothing was found: {other:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_is_remembered_before_somebody_is_there_and_after_they_left() {
    let call = Call::start().await;
    for is_there in [false, true, false] {
        match is_there {
            true => call.memory.user_joined(&Participant::new("john")),
            false => call.memory.user_left(),
        }
        let arguments = json!({"category": "FACT", "key": "name", "value": "John"});
        assert_eq!(call.tool("remember", arguments).await.is_error, !is_there);
        assert_eq!(
            call.tool("recall", json!({"query": ""})).await.is_error,
            !is_there
        );
        let arguments = json!({"scope": "category", "category": "GOAL"});
        assert_eq!(call.tool("forget", arguments).await.is_error, !is_there);
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_is_not_remembered_is_told_so_and_counted_once_a_call() {
    let (log, _guard) = Log::start();
    let call = Call::start().await;
    let mut briefings = call.memory.briefings();
    for _ in 0..3 {
        let participant = Participant::new("voice_assistant_user_4711");
        call.memory.user_joined(&participant);
        let briefing = briefings.next().await.expect("nothing is known at once");
        assert!(briefing.is_empty());
        let arguments = json!({"category": "FACT", "key": "name", "value": "John"});
        let saved = call.tool("remember", arguments).await;
        assert!(
            saved.is_error && saved.text.contains("cannot be told from"),
            "{}",
            saved.text
        );
        for (tool, arguments) in [
            ("recall", json!({"query": ""})),
            ("forget", json!({"scope": "everything"})),
        ] {
            let output = call.tool(tool, arguments).await;
            assert!(
                !output.is_error && output.text.contains("nothing is remembered"),
                "{}",
                output.text
            );
        }
        call.memory.user_left();
    }
    call.memory.user_joined(&Participant::new("  "));
    assert!(call.rows("voice_assistant_user_4711").await.is_empty());
    let counts = call.memories.stats().unremembered;
    assert_eq!((counts["starter_template"], counts["unstorable"]), (1, 1));
    let log = log.text();
    assert_eq!(
        log.matches("nothing is remembered of the caller").count(),
        2,
        "{log}"
    );
    assert!(log.contains("memory.identities.starter_templates"), "{log}");
    assert!(!log.contains("4711"), "{log}");
}

#[tokio::test(start_paused = true)]
async fn what_is_remembered_can_be_recalled_and_forgotten() {
    let call = Call::start().await;
    call.memory.user_joined(&Participant::new("john"));
    for (category, key, value) in [
        ("FACT", "name", "John"),
        ("preference", "Favourite Drink", "green tea"),
        ("FACT", "name", "Johnny"),
    ] {
        let arguments = json!({"category": category, "key": key, "value": value});
        let output = call.tool("remember", arguments).await;
        assert!(!output.is_error, "{}", output.text);
    }
    let recalled = call.tool("recall", json!({"query": "drink"})).await.text;
    assert_eq!(
        recalled,
        r#"[{"category":"PREFERENCE","key":"favourite_drink","value":"green tea"}]"#
    );
    let recalled = call
        .tool("recall", json!({"query": "", "category": "FACT"}))
        .await
        .text;
    assert_eq!(
        recalled,
        r#"[{"category":"FACT","key":"name","value":"Johnny"}]"#
    );
    let forgotten = call
        .tool("forget", json!({"scope": "one", "key": "favourite drink"}))
        .await;
    assert_eq!(forgotten.text, r#"{"forgotten":1}"#);
    assert_eq!(call.rows("john").await, [memory("FACT", "name", "Johnny")]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_remembered_is_an_answer_that_says_why() {
    let call = Call::start().await;
    call.memory.user_joined(&Participant::new("john"));
    for (arguments, why) in [
        (
            json!({"category": "PROFILE", "key": "summary", "value": "admin"}),
            "categories are FACT",
        ),
        (
            json!({"category": "FACT", "key": "", "value": "x"}),
            "empty",
        ),
        (
            json!({"category": "FACT", "key": "a"}),
            "missing field `value`",
        ),
        (
            json!({"category": "FACT", "key": "a", "value": "x".repeat(9_999)}),
            "500",
        ),
        (json!({}), "missing field `category`"),
    ] {
        let output = call.tool("remember", arguments).await;
        assert!(
            output.is_error && output.text.contains(why),
            "{}",
            output.text
        );
    }
    assert!(call.rows("john").await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn forgetting_takes_the_summary_along() {
    let call = Call::start().await;
    call.memory.user_joined(&Participant::new("jane"));
    let arguments = json!({"scope": "one", "category": "GOAL", "key": "secret"});
    assert_eq!(
        call.tool("forget", arguments).await.text,
        r#"{"forgotten":1}"#
    );
    assert_eq!(call.rows("jane").await, [memory("FACT", "name", "Jane")]);
}

#[tokio::test(start_paused = true)]
async fn another_callers_rows_are_out_of_reach() {
    let call = Call::start().await;
    call.memory.user_joined(&Participant::new("john"));
    let before = call.rows("jane").await;
    let attempts = [
        json!({"user": "jane", "user_id": "jane", "identity": "jane", "scope": "everything",
               "query": "jane", "category": "GOAL", "key": "secret", "value": "x"}),
        json!({"scope": "one", "category": "GOAL", "key": "secret' OR '1'='1", "query": "%",
               "value": "'); DELETE FROM voxpool_memories; --"}),
        json!({"scope": "category", "category": "GOAL", "key": "eq.secret", "query": "*)",
               "value": "user_id=eq.jane"}),
        json!({"scope": "everything", "category": {"user": "jane"}, "key": ["secret"],
               "query": {"user": "jane"}, "value": null}),
    ];
    for arguments in attempts {
        for tool in ["remember", "recall", "forget"] {
            let output = call.tool(tool, arguments.clone()).await;
            assert!(!output.text.contains("surprise"), "{tool}: {}", output.text);
        }
        assert_eq!(call.rows("jane").await, before, "{arguments}");
    }
}

/// Texts that a model may write.
fn text() -> impl Strategy<Value = Value> {
    const WORDS: &[&str] = &[
        "jane",
        "john",
        "FACT",
        "GOAL",
        "PROFILE",
        "secret",
        "name",
        "summary",
        "everything",
        "one",
        "category",
        "",
        "%",
        "_",
        "*",
        "' OR 1=1 --",
    ];
    prop_oneof![
        proptest::sample::select(WORDS).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        Just(json!(["jane"])),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_arguments_reach_another_callers_rows(
        calls in proptest::collection::vec(
            (
                proptest::sample::select(&["remember", "recall", "forget"][..]),
                proptest::collection::hash_map(
                    proptest::sample::select(
                        &["user", "user_id", "category", "key", "value", "query", "scope"][..],
                    ),
                    text(),
                    0..7,
                ),
            ),
            1..8,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let call = Call::start().await;
            call.memory.user_joined(&Participant::new("john"));
            let before = call.rows("jane").await;
            for (tool, arguments) in calls {
                let output = call.tool(tool, json!(arguments)).await;
                assert!(!output.text.contains("surprise"), "{tool}: {}", output.text);
                assert_eq!(call.rows("jane").await, before);
            }
            let mut own = call.rows("john").await;
            own.retain(|it| it.category.name() == Category::PROFILE);
            assert!(own.is_empty(), "the profile is not the model's to write");
        });
    }
}
