//! Realtime sessions over a real WebSocket.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::{SinkExt, StreamExt};
use offline_openai::ServerHandle;
use offline_openai::audio::{RECOGNISER_RATE_HZ, SPEECH_RATE_HZ, resample::resample, tone};
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::common::{fixed, http, real, share_heard};

/// A client of a session.
struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    async fn open(server: &ServerHandle, query: &str) -> Self {
        let (socket, _) = connect_async(url(server, query)).await.unwrap();
        let mut client = Self(socket);
        client.until("session.created").await;
        client
    }

    async fn send(&mut self, event: Value) {
        self.0.send(Message::text(event.to_string())).await.unwrap();
    }

    /// The next event.
    async fn next(&mut self) -> Value {
        let message = tokio::time::timeout(Duration::from_secs(20), self.0.next());
        let Message::Text(text) = message.await.unwrap().unwrap().unwrap() else {
            panic!("not an event");
        };
        let event: Value = serde_json::from_str(&text).unwrap();
        assert!(event["event_id"].is_string(), "{event}");
        event
    }

    /// All events to the first of a kind, sound left out.
    async fn until(&mut self, kind: &str) -> Vec<Value> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await;
            events.push(event);
            if events[events.len() - 1]["type"] == kind {
                return events;
            }
        }
    }

    /// Sends sound as a caller does, and faster.
    async fn say(&mut self, samples: &[i16]) {
        for piece in samples.chunks(1200) {
            let bytes: Vec<u8> = piece.iter().flat_map(|it| it.to_le_bytes()).collect();
            let audio = BASE64_STANDARD.encode(bytes);
            let append = json!({"type": "input_audio_buffer.append", "audio": audio});
            self.send(append).await;
        }
    }

    async fn update(&mut self, session: Value) -> Value {
        self.send(json!({"type": "session.update", "session": session}))
            .await;
        self.until("session.updated").await.pop().unwrap()
    }
}

fn url(server: &ServerHandle, query: &str) -> String {
    let base = server.base_url().replace("http", "ws");
    format!("{base}/realtime{query}")
}

/// Speech with silence around it, from the stand-in's own voice.
async fn voice(server: &ServerHandle, text: &str) -> Vec<i16> {
    let body =
        json!({ "model": "tts-1", "voice": "alloy", "input": text, "response_format": "pcm" });
    let url = format!("{}/audio/speech", server.base_url());
    let response = http().post(url).json(&body).send().await.unwrap();
    let pcm = response.bytes().await.unwrap();
    let mut samples = vec![0; 12_000];
    samples.extend(
        pcm.chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]])),
    );
    samples.extend([0; 36_000]);
    samples
}

async fn words_of(server: &ServerHandle, sound: &[i16]) -> String {
    let at_16k = resample(sound, SPEECH_RATE_HZ, RECOGNISER_RATE_HZ);
    let file = offline_openai::audio::wav::write(&at_16k, RECOGNISER_RATE_HZ);
    let form = Form::new()
        .text("model", "whisper-1")
        .part("file", Part::bytes(file).file_name("sound.wav"));
    let url = format!("{}/audio/transcriptions", server.base_url());
    let response = http().post(url).multipart(form).send().await.unwrap();
    let body: Value = response.json().await.unwrap();
    body["text"].as_str().unwrap().to_owned()
}

fn kinds(events: &[Value]) -> Vec<&str> {
    let kinds = events.iter().map(|it| it["type"].as_str().unwrap());
    let mut kinds: Vec<_> = kinds.collect();
    kinds.dedup();
    kinds
}

fn sound_of(events: &[Value]) -> Vec<i16> {
    let deltas = events
        .iter()
        .filter(|it| it["type"] == "response.output_audio.delta");
    let bytes = deltas.flat_map(|it| {
        BASE64_STANDARD
            .decode(it["delta"].as_str().unwrap())
            .unwrap()
    });
    let bytes: Vec<u8> = bytes.collect();
    let pairs = bytes.chunks_exact(2);
    pairs
        .map(|pair| i16::from_le_bytes([pair[0], pair[1]]))
        .collect()
}

#[tokio::test]
async fn a_caller_is_heard_understood_and_answered_with_a_voice() {
    let server = real().await;
    let mut client = Client::open(&server, "?model=gpt-realtime").await;
    let transcription = json!({"model": "gpt-4o-mini-transcribe"});
    let updated = client
        .update(json!({"type": "realtime", "instructions": "Be kind.",
            "audio": {"input": {"transcription": transcription}, "output": {"voice": "marin"}}}))
        .await;
    assert_eq!(updated["session"]["audio"]["output"]["voice"], "marin");
    let sound = voice(&server, "what is the weather like today").await;
    client.say(&sound).await;
    let events = client.until("response.done").await;
    let seen = kinds(&events);
    let begins = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
    ];
    assert_eq!(seen[..begins.len()], begins);
    let ends = [
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "conversation.item.done",
        "response.output_item.done",
        "response.done",
    ];
    assert_eq!(seen[seen.len() - ends.len()..], ends);
    let of = |kind: &str| events.iter().find(|it| it["type"] == kind).unwrap();
    let heard = &of("conversation.item.input_audio_transcription.completed")["transcript"];
    let share = share_heard("what is the weather like today", heard.as_str().unwrap());
    assert!(share >= 0.7, "{heard}");
    let said = &of("response.output_audio_transcript.done")["transcript"];
    let spoken = words_of(&server, &sound_of(&events)).await;
    let share = share_heard(said.as_str().unwrap(), &spoken);
    assert!(share >= 0.6, "{said} was heard as {spoken}");
}

#[tokio::test]
async fn tools_are_called_and_their_answers_spoken_of() {
    let server = fixed().await;
    let mut client = Client::open(&server, "?model=gpt-realtime").await;
    let tool = json!({"type": "function", "name": "getConnectionPoolStats",
        "parameters": {"type": "object", "properties": {}}});
    client
        .update(json!({"type": "realtime", "tools": [tool]}))
        .await;
    let said = json!({"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "show me the connection statistics"}]});
    client
        .send(json!({"type": "conversation.item.create", "item": said}))
        .await;
    client.send(json!({"type": "response.create"})).await;
    let events = client.until("response.done").await;
    let call = &events.last().unwrap()["response"]["output"][0];
    assert_eq!(call["name"], "getConnectionPoolStats", "{events:#?}");
    let done = events
        .iter()
        .find(|it| it["type"] == "response.output_item.done");
    assert_eq!(done.unwrap()["item"]["call_id"], call["call_id"]);
    let output = json!({"type": "function_call_output", "call_id": call["call_id"],
        "output": "{\"connections\": {\"opened\": 3}}"});
    client
        .send(json!({"type": "conversation.item.create", "item": output}))
        .await;
    client
        .send(json!({"type": "response.create", "response": {"output_modalities": ["text"]}}))
        .await;
    let events = client.until("response.done").await;
    assert!(kinds(&events).contains(&"response.output_text.delta"));
    assert_eq!(server.stats().endpoints.responses.requests, 2);
}

#[tokio::test]
async fn an_answer_is_cancelled_by_a_voice_or_the_client_and_its_sound_cut_where_it_was_heard() {
    let server = fixed().await;
    // It has begun and goes on.
    server.fail("responses:stall".parse().unwrap());
    let real_voice = real().await;
    let sound = voice(&real_voice, "stop it now please").await;
    let mut client = Client::open(&server, "?model=gpt-realtime").await;
    client.send(json!({"type": "response.create"})).await;
    let events = client.until("response.output_audio.delta").await;
    let item = events.last().unwrap()["item_id"].clone();
    client.say(&sound).await;
    let events = client.until("response.done").await;
    let done = &events.last().unwrap()["response"];
    assert_eq!(done["status"], "cancelled", "{done}");
    assert_eq!(done["status_details"]["reason"], "turn_detected");
    client.until("response.created").await;
    client.until("response.done").await;
    server.fail("responses:stall".parse().unwrap());
    client.send(json!({"type": "response.create"})).await;
    client.until("response.output_audio.delta").await;
    client.send(json!({"type": "response.cancel"})).await;
    let done = client.until("response.done").await.pop().unwrap();
    assert_eq!(
        done["response"]["status_details"]["reason"],
        "client_cancelled"
    );

    let truncate = |item: &Value, ms: u64| {
        json!({"type": "conversation.item.truncate", "item_id": item, "content_index": 0,
            "audio_end_ms": ms, "event_id": "mine"})
    };
    client.send(truncate(&item, 50)).await;
    let events = client.until("conversation.item.truncated").await;
    assert_eq!(events.last().unwrap()["audio_end_ms"], 50);
    // The sound before a voice is kept until it is known to be none.
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    for (event, code) in [
        (truncate(&item, 999_999), "invalid_value"),
        (truncate(&json!("nobody"), 0), "item_not_found"),
        (
            json!({"type": "response.cancel", "event_id": "mine"}),
            "response_cancel_not_active",
        ),
        (
            json!({"type": "input_audio_buffer.commit", "event_id": "mine"}),
            "input_audio_buffer_commit_empty",
        ),
        (
            json!({"type": "session.close", "event_id": "mine"}),
            "invalid_value",
        ),
    ] {
        client.send(event).await;
        let error = client.until("error").await.pop().unwrap()["error"].clone();
        assert_eq!(
            (&error["code"], &error["event_id"]),
            (&json!(code), &json!("mine"))
        );
    }
}

#[tokio::test]
async fn a_session_may_only_write_down_what_is_committed() {
    let server = fixed().await;
    let mut client = Client::open(&server, "?intent=transcription").await;
    client
        .update(json!({"type": "transcription", "audio": {"input": {
            "transcription": {"model": "gpt-4o-mini-transcribe"}, "turn_detection": null}}}))
        .await;
    client.say(&tone::tone(440.0, 500, SPEECH_RATE_HZ)).await;
    client
        .send(json!({"type": "input_audio_buffer.clear"}))
        .await;
    client.until("input_audio_buffer.cleared").await;
    client.say(&tone::tone(440.0, 500, SPEECH_RATE_HZ)).await;
    client
        .send(json!({"type": "input_audio_buffer.commit"}))
        .await;
    let completed = "conversation.item.input_audio_transcription.completed";
    let events = client.until(completed).await;
    assert_eq!(events.last().unwrap()["transcript"], "hello there");
    client.send(json!({"type": "response.create"})).await;
    client.until("error").await;
}

#[tokio::test]
async fn trouble_comes_at_the_door_or_in_the_middle_of_an_answer() {
    let server = fixed().await;
    server.fail("realtime:unauthorized".parse().unwrap());
    let refused = connect_async(url(&server, "?model=gpt-realtime")).await;
    let Err(tungstenite::Error::Http(response)) = refused else {
        panic!("let in");
    };
    assert_eq!(response.status(), 401);
    let Err(tungstenite::Error::Http(response)) = connect_async(url(&server, "")).await else {
        panic!("let in without a model");
    };
    assert_eq!(response.status(), 400);

    let mut client = Client::open(&server, "?model=gpt-realtime").await;
    for (fault, code) in [
        ("responses:server_error", "server_error"),
        ("responses:rate_limited", "rate_limit_exceeded"),
    ] {
        server.fail(fault.parse().unwrap());
        client.send(json!({"type": "response.create"})).await;
        let done = client.until("response.done").await.pop().unwrap();
        assert_eq!(done["response"]["status"], "failed");
        assert_eq!(done["response"]["status_details"]["error"]["code"], code);
    }
    server.fail("responses:cut".parse().unwrap());
    client.send(json!({"type": "response.create"})).await;
    client.until("response.output_audio.delta").await;
    while let Some(Ok(_)) = client.0.next().await {}
    let stats = server.stats().endpoints;
    assert_eq!((stats.realtime.faults, stats.responses.faults), (1, 3));
}

#[tokio::test]
async fn sessions_end_with_the_server() {
    let server = fixed().await;
    let mut client = Client::open(&server, "?model=gpt-realtime").await;
    assert_eq!(server.stats().connections.open, 1);
    let (closed, ()) = tokio::join!(client.0.next(), server.stop());
    assert!(matches!(closed, Some(Ok(Message::Close(_)))), "{closed:?}");
}
