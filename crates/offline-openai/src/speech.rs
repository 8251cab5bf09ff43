//! `POST /v1/audio/speech`: speaks sentence by sentence, so that sound comes while later sentences are
//! still in the making.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryStreamExt};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::audio::resample::resample;
use crate::audio::{SPEECH_RATE_HZ, bytes_of, wav};
use crate::engine::{Engine, EngineError, flite::Voice};
use crate::error::ApiError;
use crate::models;
use crate::routes::App;
use crate::sentences::sentences;

/// Source: OpenAI API reference, "Create speech", parameter `input`.
const INPUT_CHARS_MAX: usize = 4096;
/// Bytes of one piece of the answer: 100 ms.
const PIECE_BYTES: usize = SPEECH_RATE_HZ as usize / 10 * 2;
/// Sentences in the making at once: the one that is being sent and the next.
const SENTENCES_AHEAD: usize = 2;

#[derive(Deserialize)]
struct SpeechRequest {
    model: String,
    input: String,
    voice: Value,
    response_format: Option<String>,
    speed: Option<f64>,
    stream_format: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Pcm,
    Wav,
}

/// Speech as it is made: pieces of 24 kHz mono PCM.
pub(crate) type Pieces = BoxStream<'static, Result<Bytes, EngineError>>;

pub(crate) async fn speak(
    State(app): State<Arc<App>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body.map_err(|_| ApiError::too_large())?;
    let request: SpeechRequest = serde_json::from_slice(&body)
        .map_err(|why| ApiError::bad_request(format!("cannot read the request: {why}")))?;
    models::check(&app, &request.model)?;
    let format = request.format()?;
    let voice = request.voice()?;
    let speed = request.speed()?;
    request.check_input()?;
    let is_events = request.stream_format.as_deref() == Some("sse");
    let delay = app.config.delays.tts_first_byte;

    let mut pieces = pieces(app, &request.input, voice, speed);
    // The first piece decides between an answer and an error.
    let first = pieces.next().await.transpose()?;
    sleep(delay).await;
    let pieces = stream::iter(first.map(Ok)).chain(pieces).boxed();
    Ok(if is_events {
        events(pieces)
    } else {
        bytes(pieces, format)
    })
}

impl SpeechRequest {
    fn format(&self) -> Result<Format, ApiError> {
        // The service's own default is mp3, which is not made here.
        match self.response_format.as_deref().unwrap_or("mp3") {
            "pcm" => Ok(Format::Pcm),
            "wav" => Ok(Format::Wav),
            other => Err(ApiError::bad_request(format!(
                "The stand-in makes no {other}; set response_format to pcm or wav."
            ))
            .with_param("response_format")),
        }
    }

    fn voice(&self) -> Result<Voice, ApiError> {
        match &self.voice {
            Value::String(name) => Voice::named(name).ok_or_else(|| {
                let names = Voice::names().join(", ");
                ApiError::bad_request(format!("Unknown voice `{name}`; there are {names}."))
                    .with_param("voice")
            }),
            // A custom voice, given as an object with its id.
            Value::Object(_) => Ok(Voice::default()),
            _ => Err(ApiError::bad_request("`voice` is not a name").with_param("voice")),
        }
    }

    /// Source: OpenAI API reference, "Create speech", parameter `speed`.
    fn speed(&self) -> Result<f64, ApiError> {
        match self.speed.unwrap_or(1.0) {
            speed if (0.25..=4.0).contains(&speed) => Ok(speed),
            _ => Err(ApiError::bad_request("`speed` is not within 0.25 and 4").with_param("speed")),
        }
    }

    fn check_input(&self) -> Result<(), ApiError> {
        match self.input.chars().count() {
            0 => Err(ApiError::bad_request("`input` is empty").with_param("input")),
            1..=INPUT_CHARS_MAX => Ok(()),
            n => Err(ApiError::bad_request(format!(
                "`input` has {n} characters; send at most {INPUT_CHARS_MAX}"
            ))
            .with_param("input")
            .with_code("string_above_max_length")),
        }
    }
}

/// Speaks a text.
pub(crate) fn pieces(app: Arc<App>, input: &str, voice: Voice, speed: f64) -> Pieces {
    if let Engine::Fixed { speech, .. } = &app.engine {
        return stream::iter(cut(speech.clone())).map(Ok).boxed();
    }
    stream::iter(sentences(input))
        .map(move |sentence| {
            let app = Arc::clone(&app);
            async move { say(&app, &sentence, voice, speed).await }
        })
        .buffered(SENTENCES_AHEAD)
        .map_ok(|speech| stream::iter(cut(speech)).map(Ok))
        .try_flatten()
        .boxed()
}

/// Speaks one sentence.
async fn say(app: &App, sentence: &str, voice: Voice, speed: f64) -> Result<Bytes, EngineError> {
    let Engine::Real { voice: flite, .. } = &app.engine else {
        return Ok(Bytes::new());
    };
    let sound = flite.speak(sentence, voice, speed).await?;
    Ok(Bytes::from(bytes_of(&resample(
        &sound.samples,
        sound.rate_hz,
        SPEECH_RATE_HZ,
    ))))
}

/// Cuts speech into pieces without copying it.
fn cut(mut speech: Bytes) -> Vec<Bytes> {
    let mut pieces = Vec::new();
    while !speech.is_empty() {
        pieces.push(speech.split_to(PIECE_BYTES.min(speech.len())));
    }
    pieces
}

/// The sound itself. A failure after the first piece breaks the connection, as it must: the length was
/// never said, so nothing else would tell the client that something is missing.
fn bytes(pieces: Pieces, format: Format) -> Response {
    match format {
        Format::Pcm => (
            [(header::CONTENT_TYPE, "audio/pcm")],
            Body::from_stream(pieces),
        )
            .into_response(),
        Format::Wav => {
            let header = Bytes::from(wav::stream_header(SPEECH_RATE_HZ));
            let pieces = stream::iter([Ok(header)]).chain(pieces);
            (
                [(header::CONTENT_TYPE, "audio/wav")],
                Body::from_stream(pieces),
            )
                .into_response()
        }
    }
}

/// The sound as server-sent events with base64 in them.
///
/// Source: OpenAI API reference, "speech.audio.delta" and "speech.audio.done".
fn events(pieces: Pieces) -> Response {
    let event = |data: Value| Bytes::from(format!("data: {data}\n\n"));
    let usage = json!({ "input_tokens": 0, "output_tokens": 0, "total_tokens": 0 });
    let done = event(json!({ "type": "speech.audio.done", "usage": usage }));
    let deltas = pieces.map_ok(move |piece| {
        let audio = BASE64_STANDARD.encode(&piece);
        event(json!({ "type": "speech.audio.delta", "audio": audio }))
    });
    let events = deltas.chain(stream::iter([Ok(done)]));
    (
        [(header::CONTENT_TYPE, "text/event-stream")],
        Body::from_stream(events),
    )
        .into_response()
}
