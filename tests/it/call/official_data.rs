//! Data streams of participants who mean harm, sent by the official SDK to the real program.

use super::official::OfficialCaller;
use crate::common::eventually;
use crate::common::livekit::{API_KEY, API_SECRET, LiveKit};
use crate::program::Started;

/// A program that serves every room of the server, with services that answer.
async fn worker(server: &LiveKit, services: &offline_openai::ServerHandle) -> Started {
    let (url, openai) = (server.url(), services.base_url());
    let mut worker = Started::with(&[
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("OPENAI_BASE_URL", openai.as_str()),
        ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
        ("VOXPOOL__WORKER__LOAD_THRESHOLD", "1"),
    ])
    .await;
    worker.logged("registered").await;
    worker
}

async fn services() -> offline_openai::ServerHandle {
    let config = offline_openai::Config::default();
    let (_, services) = offline_openai::Server::bind(config).await.unwrap();
    services
}

async fn does(caller: &mut OfficialCaller, command: &str) {
    caller.command(command).await;
    caller
        .until(command, |event| event["event"] == "done")
        .await;
}

/// The worker's count of refused input of this kind.
async fn refused(worker: &Started, kind: &str) -> u64 {
    let (_, page) = worker.get("/metrics").await;
    let name = format!("voice_agent_refused_input_total{{kind=\"{kind}\"}} ");
    let count = page.lines().find_map(|line| line.strip_prefix(&name));
    count
        .unwrap_or_else(|| panic!("{name} not in {page}"))
        .parse()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_that_are_opened_and_never_ended_cost_little_and_the_user_is_still_read() {
    let (server, services) = (LiveKit::start().await, services().await);
    let worker = worker(&server, &services).await;
    let mut user = OfficialCaller::start(&server.url(), "flood");
    user.hears().await;
    let mut mallory = OfficialCaller::start_as(&server.url(), "flood", "mallory", &[]);
    mallory
        .until("she is there", |event| event["event"] == "joined")
        .await;
    let before = worker.resident_bytes();

    // 6,000 headers, 48 MB: kept, they would stay for as long as Mallory does.
    for _ in 0..30 {
        does(&mut mallory, "flood 200").await;
    }
    user.command("type my name is John").await;
    user.reads(true, "Nice to meet you, John").await;
    let grown = worker.resident_bytes().saturating_sub(before);
    assert!(grown < 24 << 20, "{grown} bytes more");
    // Each header but sixteen is either beyond a rate or ends another stream.
    let mut n_refused = 0;
    for kind in ["data_message", "data_bytes", "data_stream"] {
        n_refused += refused(&worker, kind).await;
    }
    assert!(n_refused > 5_000, "{n_refused}");
    mallory.hang_up().await;
    user.hang_up().await;
    worker.signal("TERM");
    assert_eq!(worker.exit_code().await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_participant_goes_on_with_what_the_user_types() {
    let (server, services) = (LiveKit::start().await, services().await);
    let worker = worker(&server, &services).await;
    let mut user = OfficialCaller::start(&server.url(), "forged");
    user.hears().await;
    let mut mallory = OfficialCaller::start_as(&server.url(), "forged", "mallory", &[]);
    mallory
        .until("she is there", |event| event["event"] == "joined")
        .await;

    does(&mut user, "open typed").await;
    does(&mut user, "write typed my name is").await;
    for command in [
        "open typed",
        "write typed  nobody",
        "write typed  Mallory",
        "end typed",
    ] {
        does(&mut mallory, command).await;
    }
    eventually("what she sent has arrived and is refused", async || {
        (refused(&worker, "data_stream").await == 4).then_some(())
    })
    .await;
    does(&mut user, "write typed  John").await;
    does(&mut user, "end typed").await;
    user.reads(true, "Nice to meet you, John").await;
    mallory.hang_up().await;
    user.hang_up().await;
    worker.signal("TERM");
    assert_eq!(worker.exit_code().await, 0);
}
