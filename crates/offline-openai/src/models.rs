//! `GET /v1/models`: the names that clients are used to, all answered by the same stand-in.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::routes::App;

/// The models in the list.
const MODELS: &[&str] = &[
    "gpt-4o",
    "gpt-4o-mini",
    "gpt-4.1",
    "gpt-4.1-mini",
    "gpt-4.1-nano",
    "gpt-5-mini",
    "gpt-4o-transcribe",
    "gpt-4o-mini-transcribe",
    "whisper-1",
    "gpt-4o-mini-tts",
    "gpt-realtime",
    "gpt-realtime-mini",
    "tts-1",
    "tts-1-hd",
];

/// Refuses a model that is not in the list, if the server was told to.
pub(crate) fn check(app: &App, model: &str) -> Result<(), ApiError> {
    if app.config.strict_models && !MODELS.contains(&model) {
        return Err(ApiError::unknown_model(model));
    }
    Ok(())
}

pub(crate) async fn list() -> Json<Value> {
    let data: Vec<Value> = MODELS.iter().map(|id| describe(id)).collect();
    Json(json!({ "object": "list", "data": data }))
}

pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    check(&app, &id)?;
    Ok(Json(describe(&id)))
}

fn describe(id: &str) -> Value {
    json!({ "id": id, "object": "model", "created": 1_700_000_000, "owned_by": "offline-stand-in" })
}
