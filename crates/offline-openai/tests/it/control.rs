//! What surrounds the API: counters, keys, unknown addresses, stopping.

use std::time::Duration;

use futures::StreamExt;
use offline_openai::{Config, Delays, Fixed, ServerHandle, StatsSnapshot};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::timeout;

use crate::common::{chat_body, control_url, fixed, http, start};

async fn stats(server: &ServerHandle, http: &reqwest::Client) -> StatsSnapshot {
    http.get(control_url(server, "/stats"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap()
}

/// Waits until the counters satisfy a claim; a client's going away is noticed a little later.
async fn until(server: &ServerHandle, claim: impl Fn(&StatsSnapshot) -> bool) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let reached = timeout(Duration::from_secs(20), async {
        while !claim(&server.stats()) {
            ticks.tick().await;
        }
    });
    assert!(reached.await.is_ok(), "never reached: {:?}", server.stats());
}

#[tokio::test]
async fn a_reused_connection_is_counted_once_and_looking_does_not_count() {
    let server = fixed().await;
    let url = format!("{}/chat/completions", server.base_url());
    let pooled = http();
    for _ in 0..3 {
        let response = pooled
            .post(&url)
            .json(&chat_body("hello", false))
            .send()
            .await
            .unwrap();
        response.bytes().await.unwrap();
    }
    let seen = stats(&server, &http()).await;
    assert_eq!((seen.connections.api, seen.connections.accepted), (1, 2));
    assert_eq!(
        (seen.endpoints.chat.requests, seen.endpoints.chat.in_flight),
        (3, 0)
    );
    assert_eq!(seen.total.requests, 3);
    assert!(seen.stand_in);

    let reset = pooled
        .post(control_url(&server, "/stats/reset"))
        .send()
        .await
        .unwrap();
    let reset: StatsSnapshot = reset.json().await.unwrap();
    assert_eq!((reset.total.requests, reset.connections.accepted), (0, 0));
    assert!(reset.connections.open >= 1);
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_is_counted_as_cancelled() {
    let delays = Delays {
        llm_token: Duration::from_secs(60),
        ..Delays::default()
    };
    let server = start(Config {
        fixed: Some(Fixed::default()),
        delays,
        ..Config::default()
    })
    .await;
    let url = format!("{}/chat/completions", server.base_url());
    let response = http()
        .post(url)
        .json(&chat_body("hello", true))
        .send()
        .await
        .unwrap();
    let mut body = response.bytes_stream();
    body.next().await.unwrap().unwrap();
    assert_eq!(server.stats().endpoints.chat.in_flight, 1);
    drop(body);
    until(&server, |stats| stats.endpoints.chat.cancelled == 1).await;
    assert_eq!(server.stats().endpoints.chat.in_flight, 0);
    until(&server, |stats| stats.connections.open == 0).await;
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_counted_as_cancelled() {
    let server = fixed().await;
    let url = format!("{}/chat/completions", server.base_url());
    let request = http()
        .post(url)
        .header("x-fault", "hang")
        .json(&chat_body("hello", true));
    let waiting = tokio::spawn(request.send());
    until(&server, |stats| stats.endpoints.chat.in_flight == 1).await;
    waiting.abort();
    until(&server, |stats| stats.endpoints.chat.cancelled == 1).await;
}

#[tokio::test]
async fn only_the_right_key_is_let_in_and_no_key_is_repeated() {
    let config = Config {
        api_key: Some("right".to_owned()),
        fixed: Some(Fixed::default()),
        ..Config::default()
    };
    let server = start(config).await;
    let url = format!("{}/models", server.base_url());
    let status = |key: Option<&str>| {
        let request = http().get(&url);
        let request = if let Some(key) = key {
            request.bearer_auth(key)
        } else {
            request
        };
        async move {
            let response = request.send().await.unwrap();
            (response.status(), response.text().await.unwrap())
        }
    };
    assert_eq!(status(Some("right")).await.0, StatusCode::OK);
    for key in [Some("wrong-key"), None] {
        let (status, body) = status(key).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        let error: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(error["error"]["code"], "invalid_api_key");
        assert!(
            !body.contains("wrong-key") && !body.contains("right\""),
            "{body}"
        );
    }
    assert!(
        http()
            .get(control_url(&server, "/stats"))
            .send()
            .await
            .unwrap()
            .status()
            .is_success()
    );
}

#[tokio::test]
async fn errors_have_openais_shape() {
    let server = start(Config {
        strict_models: true,
        fixed: Some(Fixed::default()),
        ..Config::default()
    })
    .await;
    let unknown_model = r#"{"model":"gpt-0","messages":[{"role":"user","content":"a"}]}"#;
    for (method, path, body, status) in [
        (Method::POST, "/chat/completions", "{", 400),
        (
            Method::POST,
            "/chat/completions",
            r#"{"model":"m","messages":[]}"#,
            400,
        ),
        (Method::POST, "/chat/completions", r#"{"messages":[]}"#, 400),
        (Method::POST, "/chat/completions", unknown_model, 404),
        (Method::POST, "/audio/speech", "[]", 400),
        (Method::POST, "/audio/transcriptions", "no form", 400),
        (Method::GET, "/models/gpt-0", "", 404),
        (Method::GET, "/nothing", "", 404),
        (Method::GET, "/chat/completions", "", 405),
    ] {
        let url = format!("{}{path}", server.base_url());
        let response = http().request(method, url).body(body).send().await.unwrap();
        assert_eq!(response.status(), status, "{path} {body}");
        let error: Value = response.json().await.unwrap();
        let error = &error["error"];
        assert!(
            error["message"].is_string() && error["type"].is_string(),
            "{path}: {error}"
        );
        assert!(
            error.get("param").is_some() && error.get("code").is_some(),
            "{path}: {error}"
        );
    }
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let server = fixed().await;
    let url = format!("{}/chat/completions", server.base_url());
    let response = http()
        .post(url)
        .body(vec![b' '; 9 << 20])
        .send()
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn every_answer_says_that_it_is_a_stand_in() {
    let server = fixed().await;
    let response = http()
        .get(control_url(&server, "/health"))
        .send()
        .await
        .unwrap();
    let name = response.headers()["server"].to_str().unwrap().to_owned();
    assert!(name.contains("stand-in"), "{name}");
    let page = http()
        .get(control_url(&server, "/"))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(page.contains("not an AI"), "{page}");
}

#[tokio::test]
async fn a_stopped_server_lets_answers_finish_and_then_takes_no_more() {
    let delays = Delays {
        llm_first_token: Duration::from_millis(300),
        ..Delays::default()
    };
    let server = start(Config {
        fixed: Some(Fixed::default()),
        delays,
        ..Config::default()
    })
    .await;
    let url = format!("{}/chat/completions", server.base_url());
    let request = http().post(&url).json(&chat_body("hello", false));
    let under_way = tokio::spawn(request.send());
    until(&server, |stats| stats.endpoints.chat.in_flight == 1).await;
    server.stop().await;
    assert_eq!(under_way.await.unwrap().unwrap().status(), StatusCode::OK);
    assert!(http().get(&url).send().await.unwrap_err().is_connect());
}

#[tokio::test]
async fn a_server_with_a_stalled_stream_still_stops() {
    let server = fixed().await;
    let url = format!("{}/chat/completions", server.base_url());
    let request = http()
        .post(url)
        .header("x-fault", "stall")
        .json(&chat_body("hello", true));
    let mut response = request.send().await.unwrap();
    response.chunk().await.unwrap();
    timeout(Duration::from_secs(60), server.stop())
        .await
        .unwrap();
    while let Ok(Some(_)) = response.chunk().await {}
}
