//! Trouble on demand, as a client sees it.

use std::time::Duration;

use offline_openai::audio::{tone::tone, wav};
use offline_openai::{Config, FaultRule, Fixed, ServerHandle};
use reqwest::multipart::{Form, Part};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::common::{chat_body, control_url, fixed, http, start};

async fn chat(server: &ServerHandle, fault: Option<&str>, stream: bool) -> Response {
    let url = format!("{}/chat/completions", server.base_url());
    let request = http().post(url).json(&chat_body("hello", stream));
    let request = if let Some(fault) = fault {
        request.header("x-fault", fault)
    } else {
        request
    };
    request.send().await.unwrap()
}

#[tokio::test]
async fn error_faults_answer_with_their_status() {
    let server = fixed().await;
    for (fault, status, code) in [
        ("unauthorized", 401, json!("invalid_api_key")),
        ("rate_limited:7", 429, json!("rate_limit_exceeded")),
        ("quota_exceeded", 429, json!("insufficient_quota")),
        ("server_error", 500, Value::Null),
    ] {
        let response = chat(&server, Some(fault), true).await;
        assert_eq!(response.status(), status, "{fault}");
        let retry_after = response.headers().get("retry-after").cloned();
        assert_eq!(retry_after.is_some(), fault.starts_with("rate"), "{fault}");
        assert!(retry_after.is_none_or(|seconds| seconds == "7"));
        let body: Value = response.json().await.unwrap();
        assert_eq!(body["error"]["code"], code, "{fault}");
    }
    assert_eq!(
        chat(&server, Some("explode"), true).await.status(),
        StatusCode::BAD_REQUEST
    );
    assert_eq!(server.stats().endpoints.chat.faults, 4);
}

#[tokio::test]
async fn malformed_answers_are_no_json() {
    let server = fixed().await;
    let whole = chat(&server, Some("malformed"), false).await;
    assert_eq!(whole.status(), StatusCode::OK);
    assert!(serde_json::from_slice::<Value>(&whole.bytes().await.unwrap()).is_err());
    let events = chat(&server, Some("malformed"), true)
        .await
        .text()
        .await
        .unwrap();
    let first = events
        .lines()
        .next()
        .unwrap()
        .strip_prefix("data: ")
        .unwrap();
    assert!(serde_json::from_str::<Value>(first).is_err(), "{first}");
}

#[tokio::test]
async fn a_cut_stream_begins_and_breaks_off() {
    let server = fixed().await;
    for stream in [true, false] {
        let mut response = chat(&server, Some("cut"), stream).await;
        assert_eq!(response.status(), StatusCode::OK);
        let mut received = Vec::new();
        let broken = loop {
            match response.chunk().await {
                Ok(Some(piece)) => received.extend(piece),
                Ok(None) => break false,
                Err(_) => break true,
            }
        };
        assert!(broken, "the stream ended as if it were whole");
        assert!(!received.is_empty(), "nothing came before the break");
        assert!(!String::from_utf8(received).unwrap().contains("[DONE]"));
    }
    assert_eq!(
        server.stats().endpoints.chat.cancelled,
        0,
        "a cut is ours, not the client's"
    );
}

#[tokio::test]
async fn a_stalled_stream_begins_and_stays_open() {
    let server = fixed().await;
    let mut response = chat(&server, Some("stall"), true).await;
    let first = response.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(b"data: "));
    let rest = async { while let Ok(Some(_)) = response.chunk().await {} };
    assert!(
        timeout(Duration::from_millis(300), rest).await.is_err(),
        "the stream ended"
    );
}

#[tokio::test]
async fn a_rule_hits_the_next_requests_of_its_endpoint_and_then_no_more() {
    let faults = vec!["chat:server_error:2".parse::<FaultRule>().unwrap()];
    let server = start(Config {
        faults,
        fixed: Some(Fixed::default()),
        ..Config::default()
    })
    .await;
    let models = http()
        .get(format!("{}/models", server.base_url()))
        .send()
        .await
        .unwrap();
    assert_eq!(models.status(), StatusCode::OK);
    for expected in [500, 500, 200] {
        assert_eq!(chat(&server, None, false).await.status(), expected);
    }
}

#[tokio::test]
async fn rules_are_added_shown_and_cleared_over_http() {
    let server = fixed().await;
    let url = control_url(&server, "/faults");
    let rule = json!({ "endpoint": "any", "kind": "rate_limited", "count": 3, "retry_after_s": 9 });
    let added = http().post(&url).json(&rule).send().await.unwrap();
    assert_eq!(added.json::<Value>().await.unwrap(), json!([rule]));
    assert_eq!(chat(&server, None, false).await.status(), 429);
    let pending: Value = http().get(&url).send().await.unwrap().json().await.unwrap();
    assert_eq!(pending[0]["count"], 2);
    http().delete(&url).send().await.unwrap();
    assert_eq!(chat(&server, None, false).await.status(), 200);
    for wrong in [
        "{",
        r#"{"endpoint":"chat"}"#,
        r#"{"endpoint":"chat","kind":"explode"}"#,
    ] {
        let refused = http().post(&url).body(wrong).send().await.unwrap();
        assert_eq!(refused.status(), StatusCode::BAD_REQUEST, "{wrong}");
    }
    assert!(server.fail("speech:hang".parse().unwrap()));
}

#[tokio::test]
async fn an_empty_transcript_is_an_answer_without_words() {
    let server = fixed().await;
    let sound = Part::bytes(wav::write(&tone(440.0, 500, 16_000), 16_000)).file_name("sound.wav");
    let form = Form::new().text("model", "whisper-1").part("file", sound);
    let url = format!("{}/audio/transcriptions", server.base_url());
    let request = http()
        .post(url)
        .header("x-fault", "empty_transcript")
        .multipart(form);
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.json::<Value>().await.unwrap()["text"], "");
}
