//! `POST /v1/chat/completions`: reads the request, asks the brain, and answers whole or as a stream.

mod request;
mod response;

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse, Response};
use tokio::time::sleep;

use crate::brain::{self, Conversation, Reply};
use crate::engine::Engine;
use crate::error::ApiError;
use crate::models;
use crate::routes::App;
use request::ChatRequest;
use response::Completion;

pub(crate) async fn complete(
    State(app): State<Arc<App>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, ApiError> {
    let body = body.map_err(|_| ApiError::too_large())?;
    let request = ChatRequest::read(&body)?;
    models::check(&app, &request.model)?;
    let (model, stream, include_usage) = (
        request.model.clone(),
        request.stream,
        request.include_usage(),
    );
    let conversation = request.into_conversation();
    let reply = reply(&app, &conversation);
    let completion = Completion::new(model, reply, conversation.n_words());
    let delays = app.config.delays;
    sleep(delays.llm_first_token).await;
    if stream {
        Ok(completion.into_events(include_usage, delays.llm_token))
    } else {
        Ok(Json(completion.whole()).into_response())
    }
}

/// A fixed reply is for conversations; whoever asks for JSON gets JSON.
pub(crate) fn reply(app: &App, conversation: &Conversation) -> Reply {
    let fixed = match &app.engine {
        Engine::Fixed { fixed, .. } if conversation.schema.is_none() => fixed.reply.clone(),
        _ => None,
    };
    fixed.map_or_else(|| brain::reply(conversation), Reply::Say)
}
