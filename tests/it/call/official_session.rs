//! `lk.agent.session`, with LiveKit's official Python SDK as the front end.

use std::time::Duration;

use offline_openai::Fixed;
use serde_json::{Value, json};
use voxpool::agent::Profile;
use voxpool::session::Greeting;

use super::House;
use super::caller::token_with;
use super::official::{OfficialCaller, pcm_file};
use crate::pool::stages::Options;

impl OfficialCaller {
    /// Asks and waits for the answer.
    pub(super) async fn ask(&mut self, id: &str, name: &str, fields: &Value) -> Value {
        self.command(&format!("ask {id} {name} {fields}")).await;
        let what = format!("an answer to {name}");
        self.until(&what, |event| {
            event["event"] == "response" && event["id"] == id
        })
        .await
    }

    /// Waits for a session event. Each comes in a stream of its own, and streams that are sent close
    /// together may be read in another order: one that was passed over counts as well.
    pub(super) async fn told(&mut self, kind: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let what = format!("a session event {kind}");
        let is_it = |event: &Value| {
            event["event"] == "told" && event["kind"] == kind && is_so(&event["details"])
        };
        let event = match self.passed_over.iter().position(is_it) {
            Some(place) => self.passed_over.remove(place),
            None => self.until(&what, is_it).await,
        };
        event["details"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_end_is_told_what_happens_in_the_session() {
    let house = House::open(None, "Hello, how can I help you?").await;
    let recording = pcm_file(&house.speech("hello there").await);
    let mut caller = OfficialCaller::start(&house.server.url(), "told");
    let is_speaking = |details: &Value| details["new_state"] == "AS_SPEAKING";
    caller.told("agent_state_changed", is_speaking).await;
    let greeting = caller.told("conversation_item_added", |_| true).await;
    let message = &greeting["item"]["message"];
    assert_eq!(message["role"], "ASSISTANT", "{greeting}");
    let metrics = &message["metrics"];
    let (began, ended) = (
        &metrics["started_speaking_at"],
        &metrics["stopped_speaking_at"],
    );
    assert!(
        began.is_string() && ended.is_string() && began != ended,
        "{metrics}"
    );
    assert!(message["id"].as_str().is_some_and(|id| !id.is_empty()));
    assert!(message["created_at"].is_string(), "{greeting}");

    let path = recording.path().display();
    caller.command(&format!("say {path}")).await;
    // Speaking is the first value and so is not written.
    let is_user_speaking = |details: &Value| details["old_state"] == "US_LISTENING";
    caller.told("user_state_changed", is_user_speaking).await;
    let is_final = |details: &Value| details["is_final"] == true;
    let heard = caller.told("user_input_transcribed", is_final).await;
    assert_eq!(heard["transcript"], "hello there");
    let is_user = |details: &Value| details["item"]["message"]["role"] == "USER";
    let said = caller.told("conversation_item_added", is_user).await;
    let metrics = &said["item"]["message"]["metrics"];
    assert!(
        metrics["end_of_turn_delay"].as_f64() > Some(0.4),
        "{metrics}"
    );
    // The greeting's comes first: nothing was heard by then.
    let is_heard = |details: &Value| {
        let used = details["usage"]["model_usage"].to_string();
        used.contains("audio_duration")
    };
    let usage = caller.told("session_usage_updated", is_heard).await;
    let used = usage["usage"]["model_usage"].to_string();
    assert!(used.contains("characters_count"), "{used}");

    let stats = caller.ask("1", "get_rtc_stats", &json!({})).await["details"].clone();
    let received = &stats["subscriber_stats"][0]["inboundRtp"];
    assert_eq!(received["stream"]["kind"], "audio", "{stats}");
    let inbound = &received["inbound"];
    assert!(
        inbound["jitterBufferEmittedCount"].as_f64() > Some(0.0),
        "{stats}"
    );
    assert!(inbound["jitterBufferDelay"].as_f64() > Some(0.0), "{stats}");
    let sent = stats["publisher_stats"].as_array().expect("reports");
    let path = sent.iter().find_map(|stats| stats.get("candidatePair"));
    let path = &path.expect("the path")["candidatePair"];
    assert!(
        path["currentRoundTripTime"].is_number() && path["bytesSent"].as_f64() > Some(0.0),
        "{path}"
    );
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_user_is_listened_to_told_and_answered() {
    let house = House::open(None, "Hello.").await;
    let url = house.server.url();
    let mut caller = OfficialCaller::start(&url, "outsider");
    caller.reads(true, "Hello").await;
    let mut outsider = OfficialCaller::start_as(&url, "outsider", "eve", &[]);
    let joined = outsider.until("she is there", |event| event["event"] == "joined");
    joined.await;
    outsider.command("type my name is Eve").await;
    outsider
        .command("ask 1 run_input {\"text\": \"my name is Eve\"}")
        .await;
    outsider.command("ask 2 get_chat_history {}").await;
    // Her messages have arrived when a method that she calls after them has been answered.
    outsider.command("call getConnectionPoolStats").await;
    let what = "the method's answer and nothing before it";
    let event = outsider.until(what, |event| {
        ["answer", "response", "told"]
            .iter()
            .any(|kind| event["event"] == *kind)
    });
    let refusal = event.await["text"].to_string();
    assert!(refusal.contains("agent.rpc_callers"), "{refusal}");
    caller
        .ask("1", "run_input", &json!({"text": "hello"}))
        .await;
    let history = caller.ask("2", "get_chat_history", &json!({})).await;
    let history = history["details"].to_string();
    assert!(
        history.contains("hello") && !history.contains("Eve"),
        "{history}"
    );
    outsider.hang_up().await;
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_end_is_answered_and_can_run_a_turn() {
    let house = House::open(None, "Hello.").await;
    let mut caller = OfficialCaller::start(&house.server.url(), "asked");
    caller.reads(true, "Hello").await;
    let none = json!({});
    let pong = caller.ask("1", "ping", &none).await;
    assert_eq!(
        (&pong["kind"], &pong["error"]),
        (&json!("pong"), &none["x"])
    );
    let info = caller.ask("2", "get_agent_info", &none).await["details"].clone();
    assert_eq!(info["instructions"], Value::Null, "they are not to be read");
    assert_eq!(info["tools"][0], "getConnectionPoolStats");
    let framework = caller.ask("3", "get_framework_info", &none).await;
    assert_eq!(framework["details"]["sdk"], "voxpool");
    let state = caller.ask("4", "get_session_state", &none).await["details"].clone();
    assert!(state["agent_state"].is_string(), "{state}");
    assert!(state["options"]["endpointing"].is_string(), "{state}");

    let text = json!({"text": "how are the connections"});
    let ran = caller.ask("5", "run_input", &text).await;
    let items = ran["details"]["items"].as_array().expect("items").clone();
    let kinds: Vec<&str> = items
        .iter()
        .flat_map(|item| item.as_object().expect("an item").keys())
        .map(String::as_str)
        .collect();
    assert_eq!(kinds.last(), Some(&"message"), "{kinds:?}");
    let history = caller.ask("6", "get_chat_history", &none).await;
    let history = history["details"]["items"].to_string();
    assert!(history.contains("how are the connections"), "{history}");

    let usage = caller.ask("8", "get_session_usage", &none).await;
    assert_eq!(usage["kind"], "get_session_usage");
    for (id, name, fields) in [
        ("9", "-", &none),
        ("10", "run_input", &json!({"text": " "})),
        ("11", "finalize_simulation", &none),
    ] {
        let refused = caller.ask(id, name, fields).await;
        let error = refused["error"].as_str().expect("an error");
        assert!(error.len() > 20, "{refused}");
    }

    let quiet = json!({"output": {"transcription_enabled": false}});
    let quiet = caller.ask("12", "update_io", &quiet).await;
    assert_eq!(quiet["kind"], "update_io");
    caller
        .ask("13", "run_input", &json!({"text": "hello"}))
        .await;
    let loud = json!({"output": {"transcription_enabled": true}});
    caller.ask("14", "update_io", &loud).await;
    caller.command("type my name is John").await;
    let first = caller.until("a line", |event| event["event"] == "line");
    let first = first.await["text"].to_string();
    assert!(first.contains("Nice to meet you"), "{first}");
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_end_is_told_of_a_noise_and_of_a_failure() {
    let fixed = Fixed {
        transcript: String::new(),
        tone: Duration::from_secs(12),
        ..Fixed::default()
    };
    let change = |profile: &mut Profile| {
        profile.settings.turn.interruption.echo_warm_up = Duration::ZERO;
    };
    let greeting = Greeting::default();
    let house = House::build(Some(fixed), greeting, None, Options::default, change).await;
    let noise = pcm_file(&House::speech_of("one two three four five six").await);
    let mut caller = OfficialCaller::start(&house.server.url(), "noise");
    caller.hears().await;
    caller
        .command(&format!("say {}", noise.path().display()))
        .await;
    let told = caller.told("agent_false_interruption", |_| true).await;
    assert_eq!(told["resumed"], true, "{told}");
    let overlap = caller.told("overlapping_speech", |_| true).await;
    // What is false is not written.
    assert_eq!(overlap["is_interruption"], Value::Null, "{overlap}");
    assert!(overlap["detection_delay"].as_f64() > Some(0.5), "{overlap}");
    let refusal = "chat:unauthorized".parse().expect("a fault");
    house.services.fail(refusal);
    caller.command("type hello").await;
    let told = caller.told("error", |_| true).await;
    let message = told["message"].as_str().expect("words");
    assert!(
        message.contains("openai") && !message.contains("hello"),
        "{message}"
    );
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_end_is_told_of_an_interruption() {
    let change = |profile: &mut Profile| {
        profile.settings.turn.interruption.echo_warm_up = Duration::ZERO;
    };
    let greeting = Greeting {
        text: "Hello, I have a great many things to tell you before you say anything at all."
            .into(),
        ..Greeting::default()
    };
    let house = House::build(None, greeting, None, Options::default, change).await;
    let recording = pcm_file(&house.speech("hello there").await);
    let mut caller = OfficialCaller::start(&house.server.url(), "interrupts");
    caller.hears().await;
    caller
        .command(&format!("say {}", recording.path().display()))
        .await;
    let overlap = caller.told("overlapping_speech", |_| true).await;
    assert_eq!(overlap["is_interruption"], true, "{overlap}");
    let (began, detected) = (&overlap["overlap_started_at"], &overlap["detected_at"]);
    assert!(
        began.is_string() && detected.is_string() && began != detected,
        "{overlap}"
    );
    let is_greeting = |details: &Value| details["item"]["message"]["role"] == "ASSISTANT";
    let greeting = caller.told("conversation_item_added", is_greeting).await;
    assert_eq!(
        greeting["item"]["message"]["interrupted"], true,
        "{greeting}"
    );
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_front_end_can_close_the_agents_ear_and_its_mouth() {
    let house = House::open(None, "Hello.").await;
    let recording = pcm_file(&house.speech("hello there").await);
    let say = format!("say {}", recording.path().display());
    let mut caller = OfficialCaller::start(&house.server.url(), "muted");
    caller.reads(true, "Hello").await;
    let deaf = json!({"input": {"audio_enabled": false}});
    caller.ask("1", "update_io", &deaf).await;
    caller.command(&say).await;
    // Typed after the sentence was spoken.
    caller.command("type my name is John").await;
    caller.reads(true, "Nice to meet you").await;
    let history = caller.ask("2", "get_chat_history", &json!({})).await;
    let history = history["details"]["items"].to_string();
    assert!(!history.contains("hello there"), "{history}");

    let mute = json!({"input": {"audio_enabled": true}, "output": {"audio_enabled": false}});
    caller.ask("3", "update_io", &mute).await;
    // What was said before is still on its way to the ear.
    let hears = async |caller: &mut OfficialCaller| {
        tokio::time::timeout(Duration::from_millis(500), caller.hears()).await
    };
    while hears(&mut caller).await.is_ok() {}
    let n_heard = caller.n_heard;
    caller.command(&say).await;
    caller.reads(false, "hello there").await;
    let is_answer = |details: &Value| {
        let message = &details["item"]["message"];
        message["role"] == "ASSISTANT" && message["metrics"]["e2e_latency"].is_number()
    };
    caller.passed_over.clear();
    caller.told("conversation_item_added", is_answer).await;
    assert_eq!(caller.n_heard, n_heard, "the agent is heard");
    let loud = json!({"output": {"audio_enabled": true}});
    caller.ask("4", "update_io", &loud).await;
    caller.command("type hello").await;
    caller.hears().await;
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_avatars_worker_is_not_the_user() {
    let house = House::open(None, "Hello.").await;
    let url = house.server.url();
    let speaks_for = [("lk.publish_on_behalf", "somebody")];
    let token = token_with("avatar", "avatars", &speaks_for);
    let mut avatar = OfficialCaller::start_by(&url, &token, &[]);
    let joined = avatar.until("it is there", |event| event["event"] == "joined");
    joined.await;
    // The agent is there, and could answer it.
    let state = avatar.until("the agent", |event| event["value"] == "listening");
    state.await;
    avatar.command("type my name is Eve").await;
    let mut caller = OfficialCaller::start(&url, "avatars");
    caller.reads(true, "Hello").await;
    let history = caller.ask("1", "get_chat_history", &json!({})).await;
    let history = history["details"].to_string();
    assert!(
        history.contains("Hello") && !history.contains("Eve"),
        "{history}"
    );
    avatar.hang_up().await;
    caller.hang_up().await;
    house.close().await;
}
