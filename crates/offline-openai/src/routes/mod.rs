//! The addresses of the server, and what every request passes on its way in.
//!
//! A request of the API is counted, checked for its key, and given its fault if one is due, before its
//! endpoint sees it. The control pages need no key and are not counted: they are for whoever measures.

mod in_flight;
mod trouble;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use tokio::sync::watch;

use crate::config::Config;
use crate::engine::Engine;
use crate::error::ApiError;
use crate::faults::{Fault, FaultRule, Faults};
use crate::stats::{Endpoint, Stats};
use crate::{STAND_IN, chat, models, realtime, speech, transcriptions};
use in_flight::InFlight;

/// Bytes of a sound that is transcribed, with the form around it.
///
/// Source: OpenAI "Speech to text" guide: files up to 25 MB.
const SOUND_BYTES_MAX: usize = 26 << 20;
/// Bytes of any other request: a conversation of many hours.
const JSON_BYTES_MAX: usize = 8 << 20;

/// What all requests share.
pub(crate) struct App {
    pub(crate) config: Config,
    pub(crate) engine: Engine,
    pub(crate) stats: Stats,
    pub(crate) faults: Faults,
}

/// Travels with each request: the connection it came on.
#[derive(Clone)]
pub(crate) struct Connection {
    /// Whether it has carried a request of the API.
    used: Arc<AtomicBool>,
    stopping: watch::Receiver<bool>,
    /// Counts it until nobody has it any more.
    _open: Arc<OpenConnection>,
}

impl Connection {
    pub(crate) fn new(open: OpenConnection, stopping: watch::Receiver<bool>) -> Self {
        Self {
            used: Arc::default(),
            stopping,
            _open: Arc::new(open),
        }
    }

    /// Waits until the server stops.
    pub(crate) async fn stopping(&self) {
        // An error means that the server is gone already.
        self.stopping.clone().wait_for(|it| *it).await.ok();
    }
}

/// Counts a connection from accept until it is closed, however that comes about.
pub(crate) struct OpenConnection(Arc<App>);

impl OpenConnection {
    pub(crate) fn new(app: Arc<App>) -> Self {
        app.stats.connection_opened();
        Self(app)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.stats.connection_closed();
    }
}

/// All addresses of the server.
pub(crate) fn router(app: Arc<App>) -> Router {
    let api = Router::new()
        .route("/chat/completions", post(chat::complete))
        .route("/audio/speech", post(speech::speak))
        .route("/realtime", get(realtime::open))
        .route("/models", get(models::list))
        .route("/models/{id}", get(models::one))
        .layer(DefaultBodyLimit::max(JSON_BYTES_MAX))
        .merge(
            Router::new()
                .route("/audio/transcriptions", post(transcriptions::transcribe))
                .layer(DefaultBodyLimit::max(SOUND_BYTES_MAX)),
        );
    Router::new()
        .nest("/v1", api)
        .route("/", get(STAND_IN))
        .route("/health", get("ok"))
        .route("/stats", get(show_stats))
        .route("/stats/reset", post(reset_stats))
        .route(
            "/faults",
            get(show_faults).post(add_fault).delete(clear_faults),
        )
        .fallback(no_route)
        .method_not_allowed_fallback(no_method)
        .layer(from_fn_with_state(Arc::clone(&app), around))
        .with_state(app)
}

/// What every request passes.
async fn around(
    State(app): State<Arc<App>>,
    connection: Option<Extension<Connection>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match Endpoint::of_path(request.uri().path()) {
        Some(endpoint) => {
            let used = connection
                .as_ref()
                .map(|Extension(connection)| connection.used.as_ref());
            let in_flight = InFlight::start(Arc::clone(&app), endpoint, used);
            let answer = answer(&app, endpoint, request, next).await;
            in_flight.until_sent(answer)
        }
        None => next.run(request).await,
    };
    let server = HeaderValue::from_static("offline-openai (stand-in)");
    response.headers_mut().insert(header::SERVER, server);
    response
}

async fn answer(app: &App, endpoint: Endpoint, mut request: Request, next: Next) -> Response {
    if !is_let_in(app.config.api_key.as_deref(), request.headers()) {
        return ApiError::wrong_key().into_response();
    }
    let fault = match own_fault(request.headers()) {
        Ok(own) => own.or_else(|| app.faults.take(endpoint)),
        Err(error) => return error.into_response(),
    };
    let Some(fault) = fault else {
        return next.run(request).await;
    };
    app.stats.fault_made(endpoint);
    if let Some(response) = trouble::instead(fault).await {
        return response;
    }
    request.extensions_mut().insert(fault);
    if endpoint == Endpoint::Realtime {
        // What a session does badly is not in the answer that begins it.
        return next.run(request).await;
    }
    trouble::spoil(fault.kind, next.run(request).await)
}

fn is_let_in(key: Option<&str>, headers: &HeaderMap) -> bool {
    let Some(key) = key else { return true };
    let sent = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    sent.and_then(|value| value.strip_prefix("Bearer ")) == Some(key)
}

/// The fault that a request asks for itself.
fn own_fault(headers: &HeaderMap) -> Result<Option<Fault>, ApiError> {
    let Some(value) = headers.get("x-fault") else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    let fault = text
        .parse()
        .map_err(|why| ApiError::bad_request(format!("x-fault: {why}")))?;
    Ok(Some(fault))
}

async fn show_stats(State(app): State<Arc<App>>) -> Response {
    Json(app.stats.snapshot()).into_response()
}

async fn reset_stats(State(app): State<Arc<App>>) -> Response {
    app.stats.reset();
    Json(app.stats.snapshot()).into_response()
}

async fn show_faults(State(app): State<Arc<App>>) -> Response {
    Json(app.faults.pending()).into_response()
}

async fn add_fault(State(app): State<Arc<App>>, body: Bytes) -> Response {
    let rule: FaultRule = match serde_json::from_slice(&body) {
        Ok(rule) => rule,
        Err(why) => return ApiError::bad_request(format!("fault: {why}")).into_response(),
    };
    if !app.faults.add(rule) {
        return ApiError::bad_request("too many faults are pending").into_response();
    }
    Json(app.faults.pending()).into_response()
}

async fn clear_faults(State(app): State<Arc<App>>) -> Response {
    app.faults.clear();
    Json(app.faults.pending()).into_response()
}

async fn no_route(method: Method, uri: Uri) -> ApiError {
    ApiError::no_route(StatusCode::NOT_FOUND, method.as_str(), uri.path())
}

async fn no_method(method: Method, uri: Uri) -> ApiError {
    ApiError::no_route(StatusCode::METHOD_NOT_ALLOWED, method.as_str(), uri.path())
}
