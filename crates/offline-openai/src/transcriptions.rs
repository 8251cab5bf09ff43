//! `POST /v1/audio/transcriptions`: a WAV in a form, the words out.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::multipart::{Multipart, MultipartError, MultipartRejection};
use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, http::header};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::audio::{RECOGNISER_RATE_HZ, resample::resample, wav};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::faults::{Fault, FaultKind};
use crate::models;
use crate::routes::App;

/// Source: the service's message "Audio file is too short. Minimum audio length is 0.1 seconds."
const SECONDS_MIN: f64 = 0.1;

/// The fields of the form that mean something here.
#[derive(Default)]
struct Form {
    file: Option<Bytes>,
    model: Option<String>,
    language: Option<String>,
    response_format: Option<String>,
    stream: Option<String>,
}

pub(crate) async fn transcribe(
    State(app): State<Arc<App>>,
    fault: Option<Extension<Fault>>,
    form: Result<Multipart, MultipartRejection>,
) -> Result<Response, ApiError> {
    let form = form.map_err(|_| ApiError::bad_request("send the sound as multipart/form-data"))?;
    let form = Form::read(form).await?;
    let missing = |name| ApiError::bad_request("a part of the form is missing").with_param(name);
    let file = form.file.clone().ok_or_else(|| missing("file"))?;
    models::check(&app, form.model.as_deref().ok_or_else(|| missing("model"))?)?;
    let format = form.format()?;

    let sound = read(file).await?;
    let is_empty = fault.is_some_and(|Extension(fault)| fault.kind == FaultKind::EmptyTranscript);
    let text = match &app.engine {
        _ if is_empty => String::new(),
        Engine::Fixed { fixed, .. } => fixed.transcript.clone(),
        Engine::Real { recogniser, .. } => recogniser.transcribe(sound.samples_16k).await?,
    };
    sleep(app.config.delays.stt).await;
    let language = form.language.as_deref().unwrap_or("english");
    Ok(format.answer(&text, sound.seconds, language))
}

impl Form {
    async fn read(mut form: Multipart) -> Result<Self, ApiError> {
        let mut read = Self::default();
        while let Some(field) = form.next_field().await.map_err(form_error)? {
            let name = field.name().unwrap_or_default().to_owned();
            if name == "file" {
                read.file = Some(field.bytes().await.map_err(form_error)?);
                continue;
            }
            let value = Some(field.text().await.map_err(form_error)?);
            match name.as_str() {
                "model" => read.model = value,
                "language" => read.language = value,
                "response_format" => read.response_format = value,
                "stream" => read.stream = value,
                _ => {}
            }
        }
        Ok(read)
    }

    fn format(&self) -> Result<Format, ApiError> {
        let is_streamed = self.stream.as_deref() == Some("true");
        match self.response_format.as_deref().unwrap_or("json") {
            "json" if is_streamed => Ok(Format::Events),
            "json" => Ok(Format::Json),
            "text" => Ok(Format::Text),
            "verbose_json" => Ok(Format::VerboseJson),
            other => Err(ApiError::bad_request(format!(
                "The stand-in gives no {other}; set response_format to json, verbose_json or text."
            ))
            .with_param("response_format")),
        }
    }
}

fn form_error(error: MultipartError) -> ApiError {
    match error.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(),
        _ => ApiError::bad_request(format!("cannot read the form: {error}")),
    }
}

/// A sound as the recogniser takes it.
struct Heard {
    samples_16k: Vec<i16>,
    seconds: f64,
}

/// Reads the file and brings it to 16 kHz, off the runtime's threads: it may be minutes long.
async fn read(file: Bytes) -> Result<Heard, ApiError> {
    let reading = tokio::task::spawn_blocking(move || {
        let sound = wav::read(&file)
            .map_err(|why| ApiError::bad_request(why.to_string()).with_param("file"))?;
        let seconds = sound.seconds();
        if seconds < SECONDS_MIN {
            let message = "Audio file is too short. Minimum audio length is 0.1 seconds.";
            let error = ApiError::bad_request(message).with_param("file");
            return Err(error.with_code("audio_too_short"));
        }
        let samples_16k = resample(&sound.samples, sound.rate_hz, RECOGNISER_RATE_HZ);
        Ok(Heard {
            samples_16k,
            seconds,
        })
    });
    reading
        .await
        .map_err(|_| ApiError::server("reading the sound failed"))?
}

/// The shapes of an answer.
enum Format {
    Json,
    VerboseJson,
    Text,
    Events,
}

impl Format {
    fn answer(&self, text: &str, seconds: f64, language: &str) -> Response {
        let usage = json!({ "type": "duration", "seconds": seconds.ceil() });
        match self {
            Self::Json => Json(json!({ "text": text, "usage": usage })).into_response(),
            Self::VerboseJson => {
                let segments = if text.is_empty() {
                    json!([])
                } else {
                    segments(text, seconds)
                };
                Json(json!({
                    "task": "transcribe", "language": language, "duration": seconds,
                    "text": text, "segments": segments, "usage": usage,
                }))
                .into_response()
            }
            Self::Text => format!("{text}\n").into_response(),
            Self::Events => {
                let delta = json!({ "type": "transcript.text.delta", "delta": text });
                let done = json!({ "type": "transcript.text.done", "text": text });
                let events = format!("data: {delta}\n\ndata: {done}\n\ndata: [DONE]\n\n");
                ([(header::CONTENT_TYPE, "text/event-stream")], events).into_response()
            }
        }
    }
}

/// One segment over the whole sound. The confidence figures are those of a good transcript; nothing
/// here measures them.
fn segments(text: &str, seconds: f64) -> Value {
    json!([{
        "id": 0, "seek": 0, "start": 0.0, "end": seconds, "text": text, "tokens": [],
        "temperature": 0.0, "avg_logprob": -0.2, "compression_ratio": 1.0, "no_speech_prob": 0.01,
    }])
}
