//! Measures how many requests a second a running server answers.
//!
//! `cargo run --release -p offline-openai --example load -- http://127.0.0.1:8100/v1 16 5`
//! asks with 16 clients for 5 seconds on each endpoint. Start the server with `--fixed`.

use std::time::Duration;

use offline_openai::audio::{tone::tone, wav};
use reqwest::RequestBuilder;
use reqwest::multipart::{Form, Part};
use serde_json::json;
use tokio::time::Instant;

/// The endpoints that are measured.
#[derive(Debug, Clone, Copy)]
enum Call {
    ChatStream,
    Speech,
    Transcription,
}

fn request(http: &reqwest::Client, base: &str, call: Call, sound: &[u8]) -> RequestBuilder {
    match call {
        Call::ChatStream => http.post(format!("{base}/chat/completions")).json(&json!({
            "model": "gpt-4o-mini", "stream": true,
            "messages": [{ "role": "user", "content": "hello there" }],
        })),
        Call::Speech => http.post(format!("{base}/audio/speech")).json(&json!({
            "model": "tts-1", "voice": "alloy", "input": "hello", "response_format": "pcm",
        })),
        Call::Transcription => {
            let part = Part::bytes(sound.to_vec()).file_name("sound.wav");
            let form = Form::new().text("model", "whisper-1").part("file", part);
            http.post(format!("{base}/audio/transcriptions"))
                .multipart(form)
        }
    }
}

/// Asks one after the other until the time is over, and counts the answers.
async fn ask(http: reqwest::Client, base: String, call: Call, until: Instant) -> u64 {
    let sound = wav::write(&tone(440.0, 2_000, 16_000), 16_000);
    let mut n_answers = 0;
    while Instant::now() < until {
        let request = request(&http, &base, call, &sound);
        let response = request.send().await.expect("the server answers");
        assert!(
            response.status().is_success(),
            "status {}",
            response.status()
        );
        response.bytes().await.expect("the answer is whole");
        n_answers += 1;
    }
    n_answers
}

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let base = arguments
        .next()
        .unwrap_or_else(|| "http://127.0.0.1:8100/v1".to_owned());
    let n_clients: usize = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(16);
    let seconds: u64 = arguments
        .next()
        .and_then(|text| text.parse().ok())
        .unwrap_or(5);
    let http = reqwest::Client::builder()
        .build()
        .expect("a client without options is built");
    for call in [Call::ChatStream, Call::Speech, Call::Transcription] {
        let until = Instant::now() + Duration::from_secs(seconds);
        let asking: Vec<_> = (0..n_clients)
            .map(|_| tokio::spawn(ask(http.clone(), base.clone(), call, until)))
            .collect();
        let mut n_answers = 0;
        for client in asking {
            n_answers += client.await.expect("no client fails");
        }
        println!("{call:?}: {} requests a second", n_answers / seconds.max(1));
    }
}
