//! Words as LiveKit's official Python SDK reads them, and those it recorded before the agent came.

use std::collections::HashMap;

use serde_json::Value;

use super::House;
use super::official::{OfficialCaller, pcm_file};

#[tokio::test(flavor = "multi_thread")]
async fn both_speakers_are_read_as_streams_and_as_packets() {
    let house = House::open(
        None,
        "Hello, how can I help you on this fine day in spring?",
    )
    .await;
    let recording = pcm_file(&house.speech("hello there").await);
    let mut caller = OfficialCaller::start(&house.server.url(), "words");
    let mut packets: HashMap<String, Vec<Value>> = HashMap::new();
    let mut lines: Vec<Value> = Vec::new();
    let mut read = async |caller: &mut OfficialCaller, words: &str| {
        // Both tell the end; which one is told first is up to the SDK.
        let mut n_ends = 0;
        while n_ends < 2 {
            let event = caller.until(words, |event| {
                event["event"] == "line" || event["event"] == "packet"
            });
            let event = event.await;
            let text = event["text"].as_str().unwrap_or_default();
            n_ends += usize::from(event["final"] == true && text.contains(words));
            if event["event"] == "line" {
                lines.push(event);
            } else {
                let id = event["id"].as_str().unwrap_or_default().to_owned();
                packets.entry(id).or_default().push(event);
            }
        }
    };
    read(&mut caller, "fine day in spring").await;
    let path = recording.path().display().to_string();
    caller.command(&format!("say {path}")).await;
    read(&mut caller, "hello there").await;

    let greeting = &lines[0];
    assert_ne!(greeting["speaker"], "caller");
    assert_eq!(greeting["final"], true, "the trailer makes it final");
    assert!(
        greeting["pieces"].as_u64() >= Some(6),
        "word by word, as it is heard: {greeting}"
    );
    for line in &lines {
        let attributes = &line["attributes"];
        let segment = attributes["lk.segment_id"].as_str().expect("a segment");
        assert!(segment.starts_with("SG_"), "{line}");
        let track = attributes["lk.transcribed_track_id"].as_str();
        assert!(
            track.is_some_and(|track| track.starts_with("TR_")),
            "{line}"
        );
        let beside = &packets[segment];
        assert!(
            beside
                .iter()
                .all(|packet| packet["speaker"] == line["speaker"])
        );
    }
    let said: Vec<&Value> = lines.iter().filter(|l| l["speaker"] == "caller").collect();
    let last = said.last().expect("the caller's words");
    assert_eq!(
        (&last["final"], &last["text"]),
        (&true.into(), &"hello there".into())
    );
    let segment = |line: &Value| line["attributes"]["lk.segment_id"].clone();
    assert!(said.iter().all(|line| segment(line) == segment(last)));
    for packets in packets.values() {
        let texts: Vec<&str> = packets.iter().filter_map(|p| p["text"].as_str()).collect();
        let grows = texts.windows(2).all(|two| two[1].starts_with(two[0]));
        assert!(grows, "all of the segment each time: {texts:?}");
    }
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_the_agent_came_is_heard() {
    let house = House::open(None, "Hello.").await;
    let recording = pcm_file(&house.speech("hello there").await);
    let path = recording.path().display().to_string();
    let url = house.server.url();
    let mut caller = OfficialCaller::start_with(&url, "preconnect", &[&path]);
    caller.reads(false, "hello there").await;
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_cannot_be_read_costs_only_itself() {
    let house = House::open(None, "Hello.").await;
    let broken = tempfile::Builder::new().suffix(".webm").tempfile().unwrap();
    std::fs::write(broken.path(), b"no recording").unwrap();
    let path = broken.path().display().to_string();
    let mut caller = OfficialCaller::start_with(&house.server.url(), "broken", &[&path]);
    caller.reads(true, "Hello").await;
    let recording = pcm_file(&house.speech("hello there").await);
    let path = recording.path().display().to_string();
    caller.command(&format!("say {path}")).await;
    caller.reads(false, "hello there").await;
    caller.hang_up().await;
    house.close().await;
}
