//! Answers in the forms that services send.

use serde_json::{Value, json};

use super::server::{Answer, Service, calls, events, last, says};
use super::{talk, two_turns};

const STOP: &str = r#"{"choices":[{"delta":{},"finish_reason":"stop"}]}"#;

/// One piece with this content.
fn piece(content: &Value) -> String {
    json!({"choices": [{"index": 0, "delta": {"content": content}}]}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_readable_is_read() {
    let hi = piece(&json!("Hi there."));
    let lines = format!("{}\n{}\n", piece(&json!("Hi ")), piece(&json!("there.")));
    let odd = r#"{"choices":[{"index":0,"finish_reason":null,"message":{"role":"assistant","content":"Hi"},"delta":{"content":"Hi there."}}]}"#;
    let twice = r#"{"choices":[{"index":"0","delta":{"content":"Hi there.","content":null}}],"created":"x","created":[],"usage":"none"}"#;
    let nan = r#"{"choices":[{"delta":{"content":"Hi there."},"logprobs":{"content":[{"logprob":-Infinity}]}}]}"#;
    let parts = piece(&json!([
        {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
        {"type": "text", "text": "Hi there."},
    ]));
    let ollama =
        r#"{"model":"m","message":{"role":"assistant","content":"Hi there."},"done":true}"#;
    let (growing, grown) = (piece(&json!("Hi")), piece(&json!("Hi there.")));
    for (why, body) in [
        ("a field of another type", events(&[odd, STOP, "[DONE]"])),
        ("a field twice", events(&[twice, STOP, "[DONE]"])),
        ("numbers that are none", events(&[nan, "[DONE]"])),
        ("parts", events(&[&parts, STOP])),
        ("no end", events(&[&hi])),
        ("an early end", events(&[STOP, &hi, "[DONE]"])),
        (
            "a piece that is cut",
            events(&[r#"{"choices":[{"del"#, &hi, "?", "[DONE]"]),
        ),
        ("single line breaks", format!("data:{hi}\ndata:[DONE]\n")),
        ("lines of JSON", lines),
        ("another dialect", ollama.to_owned()),
        ("one document", super::server::whole("Hi there.")),
        ("text that grows", events(&[&growing, &grown, "[DONE]"])),
        (
            "thoughts beside",
            events(&[r#"{"choices":[{"delta":{"reasoning":"hm"}}]}"#, &hi]),
        ),
    ] {
        let service = Service::start(move |_| Answer::Body(body.clone())).await;
        two_turns(&service, &[], "Hi there.", why).await;
        assert_eq!(service.asked().len(), 2, "{why}: each was asked once");
    }
    let number = events(&[r#"{"choices":[{"delta":{"content":6}}]}"#, STOP]);
    let service = Service::start(move |_| Answer::Body(number.clone())).await;
    two_turns(&service, &[], "6", "a number").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_never_ends_is_over_after_its_finish_reason() {
    let body = events(&[&piece(&json!("Hi there.")), STOP]);
    let service = Service::start(move |_| Answer::Open(body.clone())).await;
    two_turns(&service, &[], "Hi there.", "open").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_behind_a_sentence_is_an_answer() {
    let body = events(&[&piece(&json!("Hi there."))]);
    let service = Service::start(move |_| Answer::Cut(body.clone())).await;
    let talk = talk(&service, &[], &["hello", "and again"]).await;
    assert_eq!(talk.answers, ["Hi there.", "Hi there."], "{}", talk.errors);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_off_in_a_sentence_is_heard_that_far_and_apologised_for() {
    let body = events(&[&piece(&json!("The answer is"))]);
    let service = Service::start(move |_| Answer::Cut(body.clone())).await;
    let talk = talk(&service, &[], &["hello"]).await;
    let said = talk.answers.join(" ");
    assert!(said.starts_with("The answer is"), "{said}");
    assert!(said.contains("I'm sorry"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_word_is_asked_for_again_and_then_apologised_for() {
    let thought = piece(&json!("<think>hm</think>\n"));
    for (why, body) in [
        ("nothing", events(&[STOP, "[DONE]"])),
        ("no body", String::new()),
        ("blank", events(&[&piece(&json!(" \n")), STOP])),
        ("thoughts", events(&[&thought, STOP])),
    ] {
        let (empty, is_first) = (body.clone(), std::sync::atomic::AtomicBool::new(true));
        let once = Service::start(move |_| {
            match is_first.swap(false, std::sync::atomic::Ordering::SeqCst) {
                true => Answer::Body(empty.clone()),
                false => says("Hi there."),
            }
        });
        let once = once.await;
        two_turns(&once, &[], "Hi there.", why).await;
        assert_eq!(once.asked().len(), 3, "{why}");
        let always = Service::start(move |_| Answer::Body(body.clone())).await;
        let talk = talk(&always, &[], &["hello"]).await;
        assert!(
            talk.answers.concat().contains("I'm sorry"),
            "{why}: {:?}",
            talk.answers
        );
        assert!(
            talk.errors.contains("answer without a word"),
            "{why}: {}",
            talk.errors
        );
        assert_eq!(always.asked().len(), 2, "{why}: once more, and no more");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_a_word_after_a_tool_is_no_silence() {
    let service = Service::start(|body| match last(body)["role"].as_str() {
        Some("tool") => Answer::Body(events(&[STOP, "[DONE]"])),
        _ => calls(
            &json!({"index": 0, "id": "a", "function": {"name": "recall", "arguments": "{}"}}),
        ),
    })
    .await;
    let talk = talk(&service, &[], &["hello", "and again"]).await;
    assert_eq!(talk.answers.len(), 2, "{:?}", talk.answers);
    for answer in &talk.answers {
        assert!(answer.contains("I'm sorry"), "{answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn thoughts_without_an_opening_tag_are_a_setting() {
    let pieces = ["The user wants", " a greeting.</thi", "nk>\n\nHi there."];
    let pieces = pieces.map(|text| piece(&json!(text)));
    let body = events(&[&pieces[0], &pieces[1], &pieces[2], "[DONE]"]);
    let service = Service::start(move |_| Answer::Body(body.clone())).await;
    let setting = (
        "VOXPOOL__LLM__COMPATIBILITY__THOUGHTS_WITHOUT_OPENING_TAG",
        "true",
    );
    two_turns(&service, &[setting], "Hi there.", "thoughts").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_at_fault_inside_a_stream_is_not_an_outage() {
    for body in [
        "event: error\ndata: {\"error\":{\"message\":\"no\",\"type\":\"invalid_request_error\",\"code\":401}}\n\n",
        "data: {\"error\":{\"message\":\"bad key\",\"type\":\"authentication_error\"}}\n\n",
        "{\"error\":\"invalid api key\"}",
    ] {
        let service = Service::start(move |_| Answer::Body(body.to_owned())).await;
        let talk = talk(&service, &[], &["hello"]).await;
        assert!(
            talk.answers.concat().contains("I'm sorry"),
            "{:?}",
            talk.answers
        );
        assert_eq!(service.asked().len(), 1, "not asked again: {body}");
    }
}
