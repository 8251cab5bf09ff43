//! Services that refuse parts of our requests, by name or without a word.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::server::{Answer, Service, bad_request, calls, last, says, whole};
use super::{talk, two_turns};

fn messages(body: &Value) -> &[Value] {
    body["messages"].as_array().expect("messages")
}

fn tool_calls(body: &Value) -> impl Iterator<Item = &Value> {
    messages(body)
        .iter()
        .flat_map(|message| message["tool_calls"].as_array())
        .flatten()
}

/// Calls a tool for each turn and then says so; refuses as `refuses` says.
async fn calling(call: Value, refuses: impl Fn(&Value) -> bool + Send + Sync + 'static) -> Service {
    Service::start(move |body| match last(body)["role"].as_str() {
        _ if refuses(body) => bad_request(),
        Some("tool") => says("There you are."),
        _ => calls(&call),
    })
    .await
}

fn recall(id: &str) -> Value {
    json!({"index": 0, "id": id, "function": {"name": "recall", "arguments": "{\"query\":\"q\"}"}})
}

/// Whether a history is one that no service takes: calls without outputs, ids that stand twice.
fn is_confused(body: &Value) -> bool {
    let mut ids = HashSet::new();
    let all = messages(body);
    all.iter().enumerate().any(|(place, message)| {
        let calls = message["tool_calls"].as_array().into_iter().flatten();
        calls.enumerate().any(|(n, call)| {
            let id = call["id"].as_str().unwrap_or_default();
            let is_plain = id.len() == 9 && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let answer = all.get(place + 1 + n).map(|it| &it["tool_call_id"]);
            !is_plain || !ids.insert(id.to_owned()) || answer != Some(&call["id"])
        })
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_that_repeat_are_missing_or_are_long_become_ours() {
    for id in ["look:0", "", "call_PTLP8xhu3uwZk4l3nlnrrJha"] {
        let service = calling(recall(id), is_confused).await;
        two_turns(&service, &[], "There you are.", id).await;
        let asked = service.asked();
        let last = asked.last().expect("it was asked");
        assert_eq!(tool_calls(last).count(), 2);
        assert!(
            !last.to_string().contains("the conversation went on"),
            "{last}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_gets_back_what_it_wrote_beside_its_call() {
    let mut call = recall("a");
    call["extra_content"] = json!({"google": {"thought_signature": "abc"}});
    let lacks = |body: &Value| {
        tool_calls(body).any(|call| call["extra_content"]["google"]["thought_signature"] != "abc")
    };
    let service = calling(call, lacks).await;
    two_turns(&service, &[], "There you are.", "a signature").await;
    assert_eq!(service.asked().len(), 4, "nothing was refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invented_tool_is_answered_and_spoils_no_history() {
    let mut call = recall("a");
    call["function"]["name"] = json!("multi_tool_use.parallel");
    let is_poisoned = |body: &Value| {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
        tool_calls(body).any(|call| {
            let name = call["function"]["name"].as_str().unwrap_or_default();
            name.is_empty() || name.len() > 64 || !name.chars().all(is_plain)
        })
    };
    let service = calling(call, is_poisoned).await;
    two_turns(&service, &[], "There you are.", "an invented name").await;
    let asked = service.asked();
    assert_eq!(asked.len(), 4, "nothing was refused");
    assert!(asked[1].to_string().contains("there is no such tool"));
}

#[tokio::test(flavor = "multi_thread")]
async fn tools_are_there_as_long_as_the_history_has_calls() {
    let rounds = AtomicUsize::new(0);
    let service = Service::start(move |body| {
        if tool_calls(body).next().is_some() && body["tools"].is_null() {
            return bad_request();
        }
        match body["tool_choice"] == "none" {
            true => says("There you are."),
            false => calls(&recall(&rounds.fetch_add(1, Ordering::SeqCst).to_string())),
        }
    })
    .await;
    two_turns(&service, &[], "There you are.", "calls in each round").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_calls_without_end_still_answers() {
    let service = Service::start(|body| {
        let text = last(body)["content"].as_str().unwrap_or_default();
        match text.contains("enough tool calls") {
            true => says("There you are."),
            false => calls(&recall("a")),
        }
    })
    .await;
    two_turns(&service, &[], "There you are.", "calls without end").await;
}

/// Whether a chat template takes a history: first the user, then in turns, tools left out.
fn breaks_the_template(body: &Value) -> bool {
    let turns: Vec<&str> = messages(body)
        .iter()
        .filter(|it| it["tool_calls"].is_null())
        .filter_map(|it| it["role"].as_str())
        .filter(|role| !["system", "tool"].contains(role))
        .collect();
    turns
        .iter()
        .enumerate()
        .any(|(place, role)| *role != ["user", "assistant"][place % 2])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_is_as_the_chat_template_takes_it() {
    let service = Service::start(|body| match breaks_the_template(body) {
        true => bad_request(),
        false => says("Hi there."),
    })
    .await;
    two_turns(&service, &[], "Hi there.", "a template").await;
    assert_eq!(service.asked().len(), 3, "learnt once");
    let service = calling(recall("a"), breaks_the_template).await;
    two_turns(&service, &[], "There you are.", "a template and tools").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_part_that_is_refused_is_left_out_from_then_on() {
    type Refuses = fn(&Value) -> bool;
    let cases: [(&str, Refuses); 6] = [
        ("strict", |body| {
            body["tools"].to_string().contains("\"strict\"")
        }),
        ("stream_options", |body| !body["stream_options"].is_null()),
        ("system role", |body| messages(body)[0]["role"] != "user"),
        ("streaming is not supported", |body| {
            !body["stream"].is_null()
        }),
        ("tools are not supported", |body| !body["tools"].is_null()),
        ("max_completion_tokens", |body| {
            !body["max_completion_tokens"].is_null()
        }),
    ];
    for (name, refuses) in cases {
        for is_named in [true, false] {
            let message = if is_named { name } else { "Bad Request" };
            let error = json!({"error": {"message": message, "type": "invalid_request_error"}});
            let error = error.to_string();
            let service = Service::start(move |body| match refuses(body) {
                true => Answer::Refusal(400, error.clone()),
                false => says("Hi there."),
            })
            .await;
            let limit = ("VOXPOOL__LLM__MAX_COMPLETION_TOKENS", "200");
            two_turns(&service, &[limit], "Hi there.", name).await;
            let asked = service.asked();
            let n_refused = asked.iter().filter(|body| refuses(body)).count();
            assert!(!refuses(asked.last().expect("asked")), "{name}: learnt");
            if is_named {
                assert_eq!(
                    (asked.len(), n_refused),
                    (3, 1),
                    "{name}: one question more"
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_inside_a_stream_is_learnt_from_too() {
    let refuses = |body: &Value| body["tools"].to_string().contains("\"strict\"");
    let service = Service::start(move |body| match refuses(body) {
        true => {
            Answer::Body("data: {\"error\":{\"message\":\"unknown field strict\"}}\n\n".to_owned())
        }
        false => says("Hi there."),
    })
    .await;
    two_turns(&service, &[], "Hi there.", "in a stream").await;
    assert_eq!(service.asked().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_set_by_hand_is_not_asked_for_otherwise() {
    let service = Service::start(|_| says("Hi there.")).await;
    let variables = [
        ("VOXPOOL__LLM__COMPATIBILITY__STREAM_OPTIONS", "off"),
        ("VOXPOOL__LLM__COMPATIBILITY__INSTRUCTIONS", "developer"),
    ];
    two_turns(&service, &variables, "Hi there.", "by hand").await;
    for body in service.asked() {
        assert!(body["stream_options"].is_null());
        assert_eq!(messages(&body)[0]["role"], "developer");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_that_is_too_long_loses_its_oldest_exchanges() {
    let error = "event: error\ndata: {\"error\":{\"message\":\"too long\",\"type\":\"invalid_request_error\",\"code\":400}}\n\n";
    let service = Service::start(move |body| match messages(body).len() > 6 {
        true => Answer::Body(error.to_owned()),
        false => says("Hi there."),
    })
    .await;
    let lines = ["one", "two", "three", "four", "five"];
    let talk = talk(&service, &[], &lines).await;
    assert_eq!(talk.answers, ["Hi there."; 5], "{}", talk.errors);
    assert_eq!(talk.code, 0);
    let asked = service.asked();
    let last = messages(asked.last().expect("asked"));
    assert_eq!(last[0]["role"], "system");
    let users = last.iter().filter(|it| it["role"] == "user");
    let users: Vec<_> = users.filter_map(|it| it["content"].as_str()).collect();
    assert_eq!(users.last(), Some(&"five"));
    assert!(
        !users.contains(&"one") && users.contains(&"four"),
        "{users:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_memory_learns_from_a_service_that_knows_no_schema() {
    let is_schema = |body: &Value| body["response_format"]["type"] == "json_schema";
    let formats: std::sync::Arc<std::sync::Mutex<Vec<Value>>> = Default::default();
    let seen = formats.clone();
    let service = Service::for_all(move |body| {
        if body["stream"] == true {
            return says("Hi there.");
        }
        seen.lock()
            .expect("a test failed")
            .push(body["response_format"]["type"].clone());
        match is_schema(body) {
            true => Answer::Refusal(
                400,
                json!({"error": "response_format.type must be text or json_object"}).to_string(),
            ),
            false => Answer::Body(whole("{\"memories\":[]}")),
        }
    })
    .await;
    two_turns(&service, &[], "Hi there.", "no schema").await;
    let formats = formats.lock().expect("a test failed").clone();
    assert_eq!(
        formats.iter().filter(|it| *it == "json_schema").count(),
        1,
        "{formats:?}"
    );
    assert!(formats.iter().any(|it| it == "json_object"), "{formats:?}");
}
