//! What a caller's app does for the agent, and the keys of a telephone: with LiveKit's official Python SDK.

use std::cell::RefCell;
use std::time::Duration;

use serde_json::{Value, json};
use voxpool::agent::Profile;
use voxpool::session::{Greeting, SessionMethod};
use voxpool::tools::ClientToolConfig;

use super::House;
use super::official::OfficialCaller;
use super::realtime_calls::in_speech;
use crate::pool::aimock::Aimock;
use crate::pool::stages::Options;

/// A tool of the app, named so that the stand-in for the model calls it when asked what it knows.
fn look_up() -> ClientToolConfig {
    ClientToolConfig {
        name: "lookUpProfile".to_owned(),
        description: "Looks up what the caller's app knows about the caller.".to_owned(),
        parameters: json!({"type": "object", "properties": {"query": {"type": "string"}}}),
        timeout: Duration::from_secs(5),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tool_of_the_callers_app_is_called_and_the_model_has_its_answer() {
    let house = House::with_client_tools(vec![look_up()]).await;
    let mut caller = OfficialCaller::start(&house.server.url(), "app");
    caller
        .command("serve lookUpProfile You prefer green tea.")
        .await;
    caller.hears().await;
    caller.command("type what do you know about me").await;
    let called = caller.until("the app is asked", |event| event["event"] == "called");
    let called = called.await;
    assert_eq!(called["method"], "lookUpProfile");
    let payload: Value = serde_json::from_str(called["payload"].as_str().unwrap()).unwrap();
    assert!(payload.is_object(), "{payload}");
    let ran = |event: &Value| event["kind"] == "function_tools_executed";
    let ran = caller.until("the tool has run", ran).await;
    let details = ran["details"].to_string();
    assert!(details.contains("You prefer green tea."), "{details}");
    caller.hears().await;
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_without_the_method_is_an_answer_and_the_call_goes_on() {
    let house = House::with_client_tools(vec![look_up()]).await;
    let mut caller = OfficialCaller::start(&house.server.url(), "no-app");
    caller.hears().await;
    caller.command("type what do you know about me").await;
    let ran = |event: &Value| event["kind"] == "function_tools_executed";
    let ran = caller.until("the tool has run", ran).await;
    let details = ran["details"].to_string();
    assert!(
        details.contains("the user's app cannot do this"),
        "{details}"
    );
    caller.command("type my name is John").await;
    caller.reads(true, "Nice to meet you").await;
    caller.hang_up().await;
    house.close().await;
}

impl OfficialCaller {
    /// Calls a method of the agent and returns its answer, or the words of its refusal.
    async fn call(&mut self, method: &str, payload: &Value) -> String {
        self.command(&format!("call {method} {payload}")).await;
        let answer = self.until(method, |event| event["event"] == "answer");
        answer.await["text"].as_str().unwrap_or_default().to_owned()
    }

    /// Also reads the agent's line with `words` that comes of it, before the answer or after it.
    async fn call_and_read(
        &mut self,
        method: &str,
        payload: &Value,
        words: &str,
    ) -> (String, String) {
        self.command(&format!("call {method} {payload}")).await;
        let seen = RefCell::new((None, None));
        self.until(method, |event| {
            let mut seen = seen.borrow_mut();
            let text = event["text"].as_str().unwrap_or_default();
            match event["event"].as_str() {
                Some("answer") => seen.0 = Some(text.to_owned()),
                Some("line") if text.contains(words) && event["speaker"] != "caller" => {
                    seen.1 = Some(text.to_owned());
                }
                _ => {}
            }
            seen.0.is_some() && seen.1.is_some()
        })
        .await;
        let (answer, line) = seen.into_inner();
        (answer.expect("an answer"), line.expect("a line"))
    }
}

/// What the model says when it is asked to press keys; aimock, as the stand-in presses none.
const PRESSES: &str = r#"{"fixtures":[
  {"match":{"userMessage":"extension","hasToolResult":true},"response":{"content":"It rings."}},
  {"match":{"userMessage":"extension","hasToolResult":false},
   "response":{"toolCalls":[{"name":"send_dtmf_events","arguments":"{\"keys\":\"4*0#\"}"}]}}
]}"#;

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_the_agent_presses_arrive_at_the_callers_line() {
    let model = Aimock::with(PRESSES).await.expect("aimock");
    let options = || {
        let mut options = Options::default();
        options.llm.base_url = model.base_url.clone();
        options
    };
    let change = |profile: &mut Profile| profile.send_dtmf = true;
    let house = House::build(None, Greeting::default(), None, options, change).await;
    let mut caller = OfficialCaller::start(&house.server.url(), "dials");
    caller.hears().await;
    caller.command("type please dial the extension").await;
    let mut pressed = Vec::new();
    for key in ["4", "*", "0", "#"] {
        let event = caller.until(key, |event| event["event"] == "pressed").await;
        pressed.push((event["key"].clone(), event["code"].clone()));
    }
    let expected = [("4", 4), ("*", 10), ("0", 0), ("#", 11)];
    let expected = expected.map(|(key, code)| (json!(key), json!(code)));
    assert_eq!(pressed, expected);
    caller.reads(true, "It rings.").await;
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_lets_the_agent_say_something_answer_and_be_silent() {
    is_asked_by_an_app(Options::default).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_app_reaches_the_agent_in_speech_to_speech_too() {
    is_asked_by_an_app(in_speech).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listed_app_may_call_methods_and_another_participant_may_not() {
    let change = |profile: &mut Profile| {
        profile.session_methods = vec![SessionMethod::Say];
        profile.rpc_callers = vec!["parcel-*".to_owned()];
    };
    let greeting = Greeting::default();
    let house = House::build(None, greeting, None, Options::default, change).await;
    let url = house.server.url();
    let mut caller = OfficialCaller::start(&url, "listed");
    caller.reads(true, "How can I help").await;
    let text = json!({"text": "Your parcel is here."});
    let mut answers = Vec::new();
    for identity in ["eve", "parcel-app"] {
        let mut other = OfficialCaller::start_as(&url, "listed", identity, &[]);
        let joined = other.until("it is there", |event| event["event"] == "joined");
        joined.await;
        answers.push(other.call("say", &text).await);
        answers.push(other.call("cleanupConnectionPool", &json!({})).await);
        other.hang_up().await;
    }
    assert!(answers[0].contains("agent.rpc_callers"), "{answers:?}");
    assert!(answers[1].contains("agent.rpc_callers"), "{answers:?}");
    assert_eq!(answers[2], r#"{"end":null}"#);
    assert!(answers[3].contains("is_done"), "{answers:?}");
    caller.reads(true, "Your parcel is here").await;
    caller.hang_up().await;
    house.close().await;
}

/// A call of either kind in which an app asks for everything.
async fn is_asked_by_an_app(options: fn() -> Options) {
    let methods = [
        SessionMethod::Say,
        SessionMethod::GenerateReply,
        SessionMethod::Interrupt,
    ];
    let change = |profile: &mut Profile| profile.session_methods = methods.to_vec();
    let house = House::build(None, Greeting::default(), None, options, change).await;
    let mut caller = OfficialCaller::start(&house.server.url(), "announced");
    caller.reads(true, "How can I help").await;
    let text = json!({"text": "Your parcel is here.", "wait": true});
    let (end, _) = caller.call_and_read("say", &text, "Your parcel is").await;
    assert_eq!(end, r#"{"end":"finished"}"#);

    let about = json!({"userInput": "my name is John", "wait": true, "isInterruptible": false});
    let (end, _) = caller.call_and_read("generateReply", &about, "John").await;
    assert_eq!(end, r#"{"end":"finished"}"#);

    let story = "one two three four five six seven eight nine ten ".repeat(6);
    let end = caller.call("say", &json!({ "text": story })).await;
    assert_eq!(end, r#"{"end":null}"#);
    caller.hears().await;
    let silence = caller.call_and_read("interrupt", &json!({}), "one").await;
    assert_eq!(silence.0, r#"{"end":null}"#);
    assert!(silence.1.len() < story.len() / 2, "{}", silence.1);

    let refused = caller.call("say", &json!({"words": "secret"})).await;
    assert!(refused.contains("must be a JSON object"), "{refused}");
    assert!(!refused.contains("secret"), "{refused}");
    let refused = caller.call("say", &json!({"text": " "})).await;
    assert!(refused.contains("text is missing"), "{refused}");
    caller.hang_up().await;
    house.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_a_telephone_are_what_the_user_says() {
    let house = House::open(None, "Please enter your number.").await;
    let mut caller = OfficialCaller::start(&house.server.url(), "keypad");
    caller.hears().await;
    for key in ["4", "2", "#", "7"] {
        caller.command(&format!("press {key}")).await;
    }
    for keys in ["I pressed 42 on", "I pressed 7 on"] {
        let is_it = |event: &Value| {
            event["kind"] == "conversation_item_added"
                && event["details"].to_string().contains(keys)
        };
        caller.until(keys, is_it).await;
    }
    caller.hang_up().await;
    house.close().await;
}
