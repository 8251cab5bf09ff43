//! The stand-in understands its own voice: a whole spoken conversation over HTTP.

use offline_openai::ServerHandle;
use offline_openai::audio::{SPEECH_RATE_HZ, wav};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use crate::common::{http, real, share_heard};

/// Share of the words that must come back. Below it a conversation stops making sense.
const SHARE_MIN: f64 = 0.7;

/// Speaks a text and returns it as a WAV file of `rate_hz`.
async fn speak(server: &ServerHandle, text: &str) -> Vec<u8> {
    let body =
        json!({ "model": "tts-1", "voice": "alloy", "input": text, "response_format": "pcm" });
    let url = format!("{}/audio/speech", server.base_url());
    let response = http().post(url).json(&body).send().await.unwrap();
    assert!(
        response.status().is_success(),
        "{}",
        response.text().await.unwrap()
    );
    let pcm = response.bytes().await.unwrap();
    let samples: Vec<i16> = pcm
        .chunks_exact(2)
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect();
    wav::write(&samples, SPEECH_RATE_HZ)
}

async fn hear(server: &ServerHandle, file: Vec<u8>) -> String {
    let form = Form::new()
        .text("model", "gpt-4o-mini-transcribe")
        .part("file", Part::bytes(file).file_name("sound.wav"));
    let url = format!("{}/audio/transcriptions", server.base_url());
    let response = http().post(url).multipart(form).send().await.unwrap();
    let body: Value = response.json().await.unwrap();
    body["text"]
        .as_str()
        .unwrap_or_else(|| panic!("no transcript: {body}"))
        .to_owned()
}

/// One answer of the chat endpoint: text, or the name of the tool that it calls.
async fn answer(server: &ServerHandle, messages: &Value) -> Value {
    let body = json!({ "model": "gpt-4o-mini", "messages": messages, "tools": [
        { "type": "function", "function": { "name": "getConnectionPoolStats" } },
        { "type": "function", "function": { "name": "cleanupConnectionPool" } },
    ]});
    let url = format!("{}/chat/completions", server.base_url());
    let body: Value = http()
        .post(url)
        .json(&body)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    body["choices"][0]["message"].clone()
}

#[tokio::test]
async fn the_five_demo_sentences_are_understood_answered_and_their_answers_understood() {
    let server = real().await;
    let mut messages = json!([{ "role": "system", "content": "You are a voice agent." }]);
    let mut answers = Vec::new();
    for sentence in [
        "hello there",
        "my name is john and i live in london",
        "what is my name",
        "show me the connection statistics",
        "please clean up your connections",
    ] {
        let heard = hear(&server, speak(&server, sentence).await).await;
        let share = share_heard(sentence, &heard);
        assert!(share >= SHARE_MIN, "{sentence:?} was heard as {heard:?}");
        let messages = messages.as_array_mut().unwrap();
        messages.push(json!({ "role": "user", "content": heard }));
        let mut message = answer(&server, &json!(messages)).await;
        messages.push(message.clone());
        if let Some(call) = message["tool_calls"].get(0) {
            let result = match call["function"]["name"].as_str().unwrap() {
                "getConnectionPoolStats" => r#"{"connections":{"open":3},"requests":15}"#,
                _ => r#"{"closed":2}"#,
            };
            messages.push(json!({ "role": "tool", "tool_call_id": call["id"], "content": result }));
            message = answer(&server, &json!(messages)).await;
            messages.push(message.clone());
        }
        answers.push(
            message["content"]
                .as_str()
                .expect("an answer in words")
                .to_owned(),
        );
    }
    assert_eq!(answers[2], "Your name is John.");
    assert!(answers[3].contains("three connections"), "{}", answers[3]);
    for answer in answers {
        let heard = hear(&server, speak(&server, &answer).await).await;
        let share = share_heard(&answer, &heard);
        assert!(share >= SHARE_MIN, "{answer:?} was heard as {heard:?}");
    }
}

#[tokio::test]
async fn what_the_brain_says_most_is_understood() {
    let server = real().await;
    for text in [
        "Hello. How can I help you?",
        "Thank you for calling. Goodbye.",
        "You are welcome. Is there anything else?",
        "I am a small test program, not a real assistant.",
        "I can tell you about the connections, and I can remember things for you.",
        "I do not know your name yet. Please tell me.",
        "Okay. I remember that you like green tea.",
        "I am not sure about that. Please ask me something else.",
        "Sorry, I did not hear you. Please say that again.",
        "I am sorry. That did not work.",
        "Everything is working well.",
    ] {
        let heard = hear(&server, speak(&server, text).await).await;
        let share = share_heard(text, &heard);
        assert!(share >= SHARE_MIN, "{text:?} was heard as {heard:?}");
    }
}

#[tokio::test]
async fn silence_has_no_words() {
    let server = real().await;
    assert_eq!(hear(&server, wav::write(&[0; 16_000], 16_000)).await, "");
}

#[tokio::test]
async fn several_callers_are_heard_at_once_and_each_gets_its_own_words() {
    let server = real().await;
    let sentences = [
        "what is my name",
        "hello there",
        "what is my name",
        "hello there",
    ];
    let heard = futures::future::join_all(
        sentences.map(|text| async { hear(&server, speak(&server, text).await).await }),
    );
    assert_eq!(heard.await, sentences);
}
