//! The real program under limits on file descriptors.

use std::process::Stdio;

use livekit_api::services::agent_dispatch::AgentDispatchClient;
use livekit_protocol::CreateAgentDispatchRequest;

use super::{Started, limited, services};
use crate::common::livekit::{API_KEY, API_SECRET, LiveKit};
use crate::common::{free_port, within};

#[tokio::test(flavor = "multi_thread")]
async fn the_soft_limit_is_raised_and_reported() {
    let nowhere = format!("ws://127.0.0.1:{}", free_port());
    let variables = [
        ("LIVEKIT_URL", nowhere.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("OPENAI_API_KEY", "unused"),
        ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
    ];
    let mut worker = Started::limited("300:5000", &variables).await;
    let line = worker.logged("file descriptors").await;
    let line: serde_json::Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["level"], "INFO", "{line}");
    assert_eq!(
        (&line["limit"], &line["raised_from"]),
        (&5000.into(), &300.into()),
        "{line}"
    );
    let limits =
        std::fs::read_to_string(format!("/proc/{}/limits", worker.process.id().unwrap())).unwrap();
    let row = limits
        .lines()
        .find(|line| line.starts_with("Max open files"))
        .unwrap();
    let soft = row.split_whitespace().nth(3);
    assert_eq!(soft, Some("5000"), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_shows_the_arithmetic_of_slots_that_do_not_fit() {
    let nowhere = format!("ws://127.0.0.1:{}", free_port());
    let directory = tempfile::tempdir().unwrap();
    let variables = [
        ("LIVEKIT_URL", nowhere.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("OPENAI_BASE_URL", "http://127.0.0.1:9"),
        ("VOXPOOL__POOL__CONNECTIONS_MAX", "100"),
        ("VOXPOOL__POOL__CONNECTIONS_PER_HOST_MAX", "30"),
    ];
    let mut command = limited("600:600", &["check"], &variables, &directory);
    let output = within("check ends", command.stderr(Stdio::inherit()).output())
        .await
        .unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let finding = out
        .lines()
        .find(|line| line.contains("file descriptors"))
        .unwrap();
    assert!(finding.starts_with("FAILED"), "{finding}");
    for part in [
        "420 + 100 × 8 = 1220",
        "the limit is 600",
        "22 calls fit",
        "worker.slots_max",
    ] {
        assert!(finding.contains(part), "{part} not in {finding}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_without_descriptors_to_spare_is_refused_and_the_others_go_on() {
    let server = LiveKit::start().await;
    let services = services().await;
    let (url, openai) = (server.url(), services.base_url());
    let variables = [
        ("LIVEKIT_URL", url.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("LIVEKIT_AGENT_NAME", "front-desk"),
        ("OPENAI_BASE_URL", openai.as_str()),
        ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
        ("VOXPOOL__WORKER__LOAD_THRESHOLD", "1"),
        ("VOXPOOL__POOL__CONNECTIONS_MAX", "100"),
        ("VOXPOOL__POOL__CONNECTIONS_PER_HOST_MAX", "30"),
    ];
    let mut worker = Started::limited("440:440", &variables).await;
    worker.logged("registered").await;
    let http = format!("http://{}", worker.address());
    let desk = AgentDispatchClient::with_api_key(&http, API_KEY, API_SECRET);
    for n in 0..3 {
        let request = CreateAgentDispatchRequest {
            room: format!("room-{n}"),
            agent_name: "front-desk".to_owned(),
            ..CreateAgentDispatchRequest::default()
        };
        // The third is passed on to the server, which has no other worker.
        desk.create_dispatch(request).await.ok();
    }
    let line = worker.logged("is passed on").await;
    assert!(line.contains("too few file descriptors left"), "{line}");
    assert!(worker.get("/worker").await.1.contains("\"active_jobs\":2"));
    services.stop().await;
}
