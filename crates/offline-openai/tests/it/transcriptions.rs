//! Transcriptions in every shape, as async-openai reads them.

use async_openai::types::InputSource;
use async_openai::types::audio::{
    AudioInput, AudioResponseFormat, CreateTranscriptionRequest, CreateTranscriptionRequestArgs,
};
use offline_openai::audio::{tone::tone, wav};
use reqwest::StatusCode;
use reqwest::multipart::{Form, Part};
use serde_json::Value;

use crate::common::{client, fixed, http};

/// A second of a tone, which fixed mode "understands".
fn request(format: AudioResponseFormat) -> CreateTranscriptionRequest {
    let bytes = wav::write(&tone(440.0, 1_000, 48_000), 48_000).into();
    let source = InputSource::Bytes {
        filename: "sound.wav".to_owned(),
        bytes,
    };
    CreateTranscriptionRequestArgs::default()
        .file(AudioInput { source })
        .model("gpt-4o-mini-transcribe")
        .response_format(format)
        .build()
        .unwrap()
}

#[tokio::test]
async fn json_verbose_json_and_text_carry_the_transcript() {
    let server = fixed().await;
    let client = client(&server);
    let transcription = client.audio();
    let transcription = transcription.transcription();
    let json = transcription
        .create(request(AudioResponseFormat::Json))
        .await
        .unwrap();
    assert_eq!(json.text, "hello there");
    let verbose = transcription.create_verbose_json(request(AudioResponseFormat::VerboseJson));
    let verbose = verbose.await.unwrap();
    assert_eq!(verbose.text, "hello there");
    assert!((verbose.duration - 1.0).abs() < 0.01);
    assert_eq!(verbose.segments.unwrap()[0].text, "hello there");
    let text = transcription
        .create_raw(request(AudioResponseFormat::Text))
        .await
        .unwrap();
    assert_eq!(text, "hello there\n".as_bytes());
}

/// Posts a form and returns the status and the error's message.
async fn refused(form: Form) -> (StatusCode, String) {
    let server = fixed().await;
    let url = format!("{}/audio/transcriptions", server.base_url());
    let response = http().post(url).multipart(form).send().await.unwrap();
    let status = response.status();
    let body: Value = response.json().await.unwrap();
    (
        status,
        body["error"]["message"].as_str().unwrap().to_owned(),
    )
}

fn form(file: Vec<u8>) -> Form {
    Form::new()
        .text("model", "whisper-1")
        .part("file", Part::bytes(file).file_name("sound.wav"))
}

#[tokio::test]
async fn what_is_no_sound_is_refused_with_a_reason() {
    let short = wav::write(&[0; 100], 16_000);
    for (form, reason) in [
        (form(b"not a sound".to_vec()), "not a WAV"),
        (form(short), "too short"),
        (Form::new().text("model", "whisper-1"), "missing"),
        (
            form(wav::write(&[0; 9_000], 16_000)).text("response_format", "srt"),
            "srt",
        ),
    ] {
        let (status, message) = refused(form).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(message.contains(reason), "{message}");
    }
}
