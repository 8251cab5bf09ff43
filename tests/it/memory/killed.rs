//! A worker that is killed in the middle of its work: what it had found is there.

use std::path::Path;

use offline_openai::{Config, Delays, Server};
use serde_json::Value;
use sqlx::{Connection, SqliteConnection};

use crate::call::caller::Caller;
use crate::common::livekit::{API_KEY, API_SECRET, LiveKit};
use crate::common::{eventually, free_port, within};
use crate::program::voxpool;

/// Waits until a room that is made now will have an agent.
async fn is_registered(port: &str) {
    eventually("the worker is registered", async || {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/")).await;
        answer
            .is_ok_and(|it| it.status().is_success())
            .then_some(())
    })
    .await;
}

/// Waits until `GET /pool` tells what became of one turn in which something was found.
async fn is_counted(port: &str) {
    let memory = eventually("the numbers of the memory", async || {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/pool")).await;
        let stats: Value = serde_json::from_str(&answer.ok()?.text().await.ok()?).ok()?;
        let memory = stats["memory"].clone();
        (memory["recorder"]["saved"].as_u64() >= Some(1)).then_some(memory)
    })
    .await;
    for place in ["batches", "operations", "rows_saved"] {
        let count = memory["batches"][place].as_u64();
        assert!(count >= Some(1), "{place} in {memory}");
    }
    let counts = [
        "turns",
        "extractions",
        "dropped",
        "lost",
        "failed",
        "unsaved",
    ];
    let counts = counts.map(|place| memory["recorder"][place].as_u64());
    let expected = [1, 1, 0, 0, 0, 0].map(Some);
    assert_eq!(counts, expected, "{memory}");
}

/// The values that the file holds, without the summary.
pub(crate) async fn values(file: &Path) -> Option<Vec<String>> {
    let url = format!("sqlite://{}?mode=ro", file.display());
    let mut database = SqliteConnection::connect(&url).await.ok()?;
    let values = "SELECT value FROM voxpool_memories WHERE category <> 'PROFILE' ORDER BY value";
    let values = sqlx::query_scalar(values).fetch_all(&mut database).await;
    drop(database.close().await);
    values.ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_while_it_looks_at_a_turn_loses_that_turn_at_most() {
    let server = LiveKit::start().await;
    let (_, services) = Server::bind(Config {
        delays: Delays {
            llm_first_token: std::time::Duration::from_millis(300),
            ..Delays::default()
        },
        ..Config::default()
    })
    .await
    .unwrap();
    let (url, openai) = (server.url(), services.base_url());
    let variables = [
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("OPENAI_BASE_URL", openai.as_str()),
        ("OPENAI_API_KEY", "unused"),
        ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
        ("VOXPOOL__WORKER__LOAD_THRESHOLD", "1"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("voxpool.db");
    let start = |port: &str| {
        voxpool(&["start", "--port", port], &variables, &directory)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap()
    };
    let port = free_port().to_string();
    let mut worker = start(&port);
    is_registered(&port).await;
    let john = Caller::join_as("john", &url, "killed").await;
    john.reads(true, "help you").await;
    john.type_text("my name is John").await;
    john.reads(true, "Nice to meet you").await;
    eventually("the first turn is saved", async || {
        let values = values(&file).await?;
        values.iter().any(|it| it.contains("John")).then_some(())
    })
    .await;
    is_counted(&port).await;
    let before = services.stats().endpoints.chat.requests;
    john.type_text("I live in London").await;
    // The answer, and then the question what of it is worth remembering.
    eventually("the second turn is being looked at", async || {
        let requests = services.stats().endpoints.chat.requests;
        (requests >= before + 2).then_some(())
    })
    .await;
    // SIGKILL: nothing of it runs any more.
    within("it is killed", worker.kill()).await.unwrap();
    let left = values(&file).await.expect("the file can be read");
    assert!(left.iter().any(|it| it.contains("John")), "{left:?}");

    // Another worker takes the same file, and the caller is known.
    john.room.close().await.unwrap();
    let port = free_port().to_string();
    let mut worker = start(&port);
    is_registered(&port).await;
    let john = Caller::join_as("john", &url, "back").await;
    john.reads(true, "help you").await;
    john.type_text("what is my name").await;
    john.reads(true, "Your name is John").await;
    john.room.close().await.unwrap();
    within("it is killed", worker.kill()).await.unwrap();
    services.stop().await;
}
