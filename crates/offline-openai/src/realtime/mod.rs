//! `GET /v1/realtime`: a WebSocket on which a caller is heard and answered, or only written down.
//!
//! Both kinds of session that OpenAI has: `realtime` (speech to speech) and, with
//! `?intent=transcription`, `transcription`. In reading order: `session` is one connection,
//! `settings` what it was told to be like, `buffer` the sound that comes in and `detection` the voice
//! in it, `conversation` what was said, `answer` and
//! `response` what is answered, `transcription` what was heard.
//!
//! Source: OpenAI's Realtime API as generally available (no `OpenAI-Beta` header), its API reference
//! for client and server events.

mod answer;
mod buffer;
mod client;
mod connection;
mod conversation;
mod detection;
mod event;
mod response;
mod session;
mod settings;
mod transcription;

use std::sync::Arc;

use axum::Extension;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;

use self::settings::{Kind, Settings};
use crate::error::ApiError;
use crate::faults::Fault;
use crate::models;
use crate::routes::{App, Connection};

#[derive(Deserialize)]
pub(crate) struct Asked {
    model: Option<String>,
    intent: Option<String>,
}

/// Begins a session.
pub(crate) async fn open(
    State(app): State<Arc<App>>,
    connection: Option<Extension<Connection>>,
    fault: Option<Extension<Fault>>,
    Query(asked): Query<Asked>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = upgrade
        .map_err(|_| ApiError::bad_request("a realtime session is a WebSocket; ask for one"))?;
    let kind = match asked.intent.as_deref() {
        None => Kind::Realtime,
        Some("transcription") => Kind::Transcription,
        Some(_) => {
            let error = ApiError::bad_request("`intent` is not `transcription`");
            return Err(error.with_param("intent"));
        }
    };
    if let Some(model) = &asked.model {
        models::check(&app, model)?;
    } else if kind == Kind::Realtime {
        let error = ApiError::bad_request("you must provide a model parameter");
        return Err(error.with_param("model").with_code("missing_model"));
    }
    let settings = Settings::new(kind, asked.model.as_deref());
    let fault = fault.map(|Extension(fault)| fault.kind);
    let connection = connection.map(|Extension(connection)| connection);
    Ok(upgrade.on_upgrade(move |socket| connection::run(app, socket, settings, fault, connection)))
}
