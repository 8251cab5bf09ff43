//! Rates: what passes at once, what is dropped beyond, and what a drop may not break.

use livekit_protocol::RpcRequest;

use super::*;

#[test]
fn a_recording_of_two_mebibytes_passes_at_once() {
    for n_bytes in [15_000, 60_000] {
        let mut scene = Scene::new();
        let recording = vec![3; limits::STREAM_BYTES_MAX];
        scene.send("alice", Value::StreamHeader(header("recording", false)));
        for (n, piece) in recording.chunks(n_bytes).enumerate() {
            scene.send("alice", chunk("recording", n as u64, piece));
        }
        scene.send("alice", trailer("recording"));
        assert!(scene.content["recording"] == recording);
        assert!(scene.failed.is_empty());
    }
}

#[test]
fn what_is_beyond_the_rates_is_dropped_and_counted() {
    let mut scene = Scene::new();
    let passed: usize = (0..5_000).map(|_| scene.send("mallory", user(10))).sum();
    assert_eq!(passed, 1_000);
    assert_eq!(scene.refused(Kind::Message), 4_000);
    scene.advance(Duration::from_secs(1));
    let passed: usize = (0..5_000).map(|_| scene.send("mallory", user(10))).sum();
    assert_eq!(passed, 200);
    assert_eq!(
        scene.send("alice", user(10)),
        1,
        "others have their own rate"
    );
}

#[test]
fn bytes_have_a_rate_of_their_own() {
    let mut scene = Scene::new();
    let passed: usize = (0..200).map(|_| scene.send("mallory", user(60_000))).sum();
    assert_eq!(passed, 4_194_304 / 60_050);
    assert_eq!(scene.refused(Kind::Bytes), 200 - passed as u64);
    assert_eq!(scene.refused(Kind::Message), 0);
}

#[test]
fn all_participants_together_have_a_rate() {
    let mut scene = Scene::new();
    let senders: Vec<String> = (0..50).map(|n| format!("m{n}")).collect();
    for _ in 0..1_000 {
        senders.iter().for_each(|sender| {
            scene.send(sender, user(10));
        });
    }
    assert_eq!(scene.n_passed, limits::CONNECTION.messages_burst as usize);
}

#[test]
fn participants_that_come_and_go_are_forgotten() {
    let mut scene = Scene::new();
    for n in 0..10_000 {
        scene.send(&format!("guest{n}"), user(10));
        scene.advance(Duration::from_millis(10));
    }
    assert_eq!(scene.n_passed, 10_000, "none of them sends too much");
    assert!(scene.guard.n_senders() <= limits::SENDERS_MAX);
}

#[test]
fn a_dropped_chunk_ends_its_stream_and_a_trailer_always_passes() {
    let mut scene = Scene::new();
    for id in ["gap", "whole"] {
        scene.send("alice", Value::StreamHeader(header(id, false)));
        scene.send("alice", chunk(id, 0, b"first"));
    }
    while scene.send("alice", user(10)) == 1 {}
    scene.send("alice", chunk("gap", 1, b"second"));
    scene.send("alice", trailer("whole"));
    assert!(scene.client.is_empty(), "nothing stays open in the client");
    assert_eq!(scene.failed, HashSet::from(["gap".to_owned()]));
    assert_eq!(scene.content["whole"], b"first");
}

#[test]
fn rpc_requests_of_both_versions_share_a_rate() {
    let mut scene = Scene::new();
    let passed: usize = (0..500)
        .map(|n| {
            let value = if n % 2 == 0 {
                Value::RpcRequest(RpcRequest::default())
            } else {
                Value::StreamHeader(Header {
                    topic: "lk.rpc_request".to_owned(),
                    inline_content: Some(b"{}".to_vec()),
                    ..text_header(&n.to_string(), false)
                })
            };
            scene.send("mallory", value)
        })
        .sum();
    assert_eq!(passed, limits::RPC_BURST as usize);
    assert_eq!(scene.refused(Kind::Rpc), 450);
    scene.advance(Duration::from_secs(1));
    assert_eq!(
        scene.send("mallory", Value::RpcRequest(RpcRequest::default())),
        1
    );
}
