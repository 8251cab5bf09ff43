//! Cleaning up drops what is idle and nothing else.

use futures::StreamExt;
use voxpool::chat::ToolCall;
use voxpool::llm::{Llm, LlmEvent};
use voxpool::tools::{CleanupConnectionPool, GetConnectionPoolStats, Tool, ToolSet};

use super::stages::{Stages, request};
use super::wire::{Step, Wire, head, said, transcript};

fn call(name: &str) -> ToolCall {
    ToolCall {
        id: "1".to_owned(),
        name: name.to_owned(),
        arguments: String::new(),
        ..ToolCall::default()
    }
}

#[tokio::test]
async fn idle_connections_close_and_a_call_in_flight_goes_on() {
    let wire = Wire::start(|n| match n {
        0 => vec![
            head("text/event-stream"),
            said("one"),
            said("two"),
            Step::Stall,
        ],
        _ => transcript("hello"),
    })
    .await;
    let stages = Stages::new(&wire.base_url);
    let mut events = stages.llm.chat(request("hello"));
    let text = |event| match event {
        Some(Ok(LlmEvent::Text(text))) => text,
        _ => String::new(),
    };
    assert_eq!(text(events.next().await), "one");
    stages.transcribe().await.unwrap();

    let report = stages.pool.cleanup().await;
    assert!(report.is_done);
    assert_eq!(report.in_flight, Some(1));
    wire.closed(1).await;
    if cfg!(target_os = "linux") {
        assert_eq!(
            (report.connections_before, report.connections_after),
            (Some(2), Some(1))
        );
    }
    assert_eq!(text(events.next().await), "two");
    assert_eq!(
        stages.transcribe().await.unwrap(),
        "hello",
        "the pool is of use again"
    );
    assert_eq!(wire.accepted(), 3);
}

#[tokio::test]
async fn cleanups_in_a_row_are_refused_and_say_so() {
    let wire = Wire::start(|_| transcript("hello")).await;
    let stages = Stages::new(&wire.base_url);
    assert!(stages.pool.cleanup().await.is_done);
    let report = stages.pool.cleanup().await;
    assert!(!report.is_done);
    assert!(report.retry_in_seconds.unwrap() > 0.0);
    let counted = (report.connections_before, report.in_flight);
    assert_eq!(counted, (None, None), "a refusal counts nothing");
    assert_eq!(stages.pool.stats().await.cleanups, 1);
}

#[tokio::test]
async fn the_model_can_ask_for_both() {
    let wire = Wire::start(|_| transcript("hello")).await;
    let stages = Stages::new(&wire.base_url);
    stages.transcribe().await.unwrap();
    let tools: [std::sync::Arc<dyn Tool>; 2] = [
        std::sync::Arc::new(GetConnectionPoolStats(stages.overview())),
        std::sync::Arc::new(CleanupConnectionPool(stages.overview())),
    ];
    let tools: ToolSet = tools.into_iter().collect();
    let stats = tools.call(&call("getConnectionPoolStats")).await;
    assert!(!stats.is_error);
    assert!(stats.text.contains("1 request, 0 errors"), "{}", stats.text);
    let cleanup = tools.call(&call("cleanupConnectionPool")).await;
    assert!(!cleanup.is_error);
    assert!(
        cleanup.text.contains("The cleanup is done."),
        "{}",
        cleanup.text
    );
}
