//! What a caller's app does for the agent, and the keys of a telephone: with LiveKit's official Python SDK.

use std::time::Duration;

use serde_json::{Value, json};
use voxpool::tools::ClientToolConfig;

use super::House;
use super::official::OfficialCaller;

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
