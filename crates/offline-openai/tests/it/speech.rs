//! Speech in every shape.

use async_openai::types::audio::{
    CreateSpeechRequest, CreateSpeechRequestArgs, SpeechModel, SpeechResponseFormat, Voice,
};
use futures::StreamExt;
use offline_openai::audio::{SPEECH_RATE_HZ, tone::strength, wav};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::common::{client, fixed, http, real};

fn request(input: &str, format: SpeechResponseFormat) -> CreateSpeechRequest {
    CreateSpeechRequestArgs::default()
        .model(SpeechModel::Other("gpt-4o-mini-tts".to_owned()))
        .voice(Voice::Alloy)
        .input(input)
        .response_format(format)
        .build()
        .unwrap()
}

fn samples(pcm: &[u8]) -> Vec<i16> {
    pcm.chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

#[tokio::test]
async fn fixed_speech_is_its_tone_as_pcm_and_wav() {
    let server = fixed().await;
    let client = client(&server);
    let pcm = client
        .audio()
        .speech()
        .create(request("x", SpeechResponseFormat::Pcm))
        .await;
    let pcm = samples(&pcm.unwrap().bytes);
    assert_eq!(pcm.len(), 48_000);
    assert!(strength(&pcm, 440.0, SPEECH_RATE_HZ) > 16_000.0);
    let file = client
        .audio()
        .speech()
        .create(request("x", SpeechResponseFormat::Wav))
        .await;
    let sound = wav::read(&file.unwrap().bytes).unwrap();
    assert_eq!((sound.rate_hz, sound.samples), (SPEECH_RATE_HZ, pcm));
}

#[tokio::test]
async fn events_carry_the_same_sound() {
    use async_openai::types::audio::CreateSpeechResponseStreamEvent::SpeechAudioDelta;
    use base64::Engine;
    let server = fixed().await;
    let client = client(&server);
    let request = request("x", SpeechResponseFormat::Pcm);
    let mut stream = client
        .audio()
        .speech()
        .create_stream(request)
        .await
        .unwrap();
    let mut pcm = Vec::new();
    while let Some(event) = stream.next().await {
        if let SpeechAudioDelta(delta) = event.unwrap() {
            pcm.extend(
                base64::prelude::BASE64_STANDARD
                    .decode(delta.audio)
                    .unwrap(),
            );
        }
    }
    assert_eq!(pcm.len(), 96_000);
}

#[tokio::test]
async fn speed_changes_how_long_speech_is() {
    let server = real().await;
    let client = client(&server);
    let mut lengths = Vec::new();
    for speed in [1.0, 2.0] {
        let request = CreateSpeechRequest {
            speed: Some(speed),
            ..request("Hello there, how are you today?", SpeechResponseFormat::Pcm)
        };
        lengths.push(
            client
                .audio()
                .speech()
                .create(request)
                .await
                .unwrap()
                .bytes
                .len() as f64,
        );
    }
    let ratio = lengths[0] / lengths[1];
    assert!(
        (1.7..2.3).contains(&ratio),
        "twice as fast is {ratio} times shorter"
    );
}

#[tokio::test]
async fn the_first_sentence_is_sent_before_the_last_is_made() {
    let server = real().await;
    let input = "Hello there. ".repeat(200);
    let body =
        json!({ "model": "tts-1", "voice": "alloy", "input": input, "response_format": "pcm" });
    let url = format!("{}/audio/speech", server.base_url());
    let mut response = http().post(url).json(&body).send().await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    // Two hundred sentences cannot have been made and sent: nobody has read them yet.
    assert_eq!(server.stats().endpoints.speech.in_flight, 1);
}

#[tokio::test]
async fn what_cannot_be_spoken_is_refused_with_a_reason() {
    let server = fixed().await;
    let url = format!("{}/audio/speech", server.base_url());
    let good =
        json!({ "model": "tts-1", "voice": "alloy", "input": "x", "response_format": "pcm" });
    for (field, value, reason) in [
        ("response_format", json!("mp3"), "mp3"),
        ("voice", json!("nobody"), "nobody"),
        ("speed", json!(9), "speed"),
        ("input", json!(""), "empty"),
        ("input", json!("x".repeat(5_000)), "5000"),
    ] {
        let mut body = good.clone();
        body[field] = value;
        let response = http().post(&url).json(&body).send().await.unwrap();
        assert_eq!(response.status(), StatusCode::BAD_REQUEST);
        let body: Value = response.json().await.unwrap();
        let message = body["error"]["message"].as_str().unwrap();
        assert!(message.contains(reason), "{message}");
    }
}
