//! LiveKit's dispatch service, answered by the worker itself: an app that asks the worker and not the
//! server for an agent saves the 200 ms that the server takes to choose a worker. Methods and
//! tokens are those of the server, and errors have its form, so its client libraries can be pointed here.
//!
//! What this worker cannot take, it passes on to the server as it came; lists have the server's dispatches,
//! too. `twirp.rs` is the wire form, `elsewhere.rs` the server.
//!
//! Source: livekit-server 1.13.5, `pkg/service/agent_dispatch_service.go`.

mod elsewhere;
mod twirp;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::post;
use livekit_protocol as wire;

use self::elsewhere::Elsewhere;
use self::twirp::{Create, Encoding, Failure, Name};
use crate::pool::{ConnectionPool, EndpointError};
use crate::redact::Pii;
use crate::telemetry::{DispatchFigures, DispatchOutcome, bearer};
use crate::worker::{
    Administrator, DIRECT_PREFIX, DirectDispatch, DispatchRequest, Dispatcher, ServerConfig,
};

/// Longest request that is read: twice what the server takes of metadata and attributes together.
///
/// Source: livekit-server 1.13.5, `pkg/config/config.go`, `max_metadata_size` and
/// `max_attributes_size`.
const REQUEST_BYTES_MAX: usize = 256 * 1024;

/// The service.
pub struct DispatchService {
    livekit: ServerConfig,
    dispatcher: Dispatcher,
    elsewhere: Elsewhere,
    figures: DispatchFigures,
}

impl DispatchService {
    /// Takes dispatches for `dispatcher`, and passes on what it declines to `livekit` through `pool`.
    ///
    /// # Errors
    /// When the server's address cannot be used.
    pub fn new(
        livekit: ServerConfig,
        dispatcher: Dispatcher,
        pool: &ConnectionPool,
        figures: DispatchFigures,
    ) -> Result<Self, EndpointError> {
        Ok(Self {
            elsewhere: Elsewhere::new(&livekit, pool)?,
            livekit,
            dispatcher,
            figures,
        })
    }

    /// Its methods, at the paths where client libraries look for them.
    pub fn routes(self) -> Router {
        Router::new()
            .route(&path("CreateDispatch"), post(create))
            .route(&path("ListDispatch"), post(list))
            .route(&path("DeleteDispatch"), post(delete))
            .layer(DefaultBodyLimit::max(REQUEST_BYTES_MAX))
            .with_state(Arc::new(self))
    }
}

/// Where a method is.
fn path(method: &str) -> String {
    format!("/twirp/livekit.AgentDispatchService/{method}")
}

/// Who asks, and in which encoding: known before anything of the body is read.
struct Caller {
    encoding: Encoding,
    token: Pii<String>,
    administrator: Administrator,
}

impl FromRequestParts<Arc<DispatchService>> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(
        parts: &mut Parts,
        service: &Arc<DispatchService>,
    ) -> Result<Self, Failure> {
        let token = bearer(&parts.headers).and_then(|token| str::from_utf8(token).ok());
        let token = token.unwrap_or_default();
        let administrator = Administrator::of(&service.livekit, token).map_err(|why| {
            Failure::new(StatusCode::UNAUTHORIZED, "unauthenticated", why.to_string())
        })?;
        Ok(Self {
            encoding: Encoding::of(&parts.headers)?,
            token: Pii::new(token.to_owned()),
            administrator,
        })
    }
}

impl Caller {
    /// Lets a request pass that is about this room.
    fn may_ask_for(&self, room: &str) -> Result<(), Failure> {
        if room.is_empty() {
            let why = "room: must name the room";
            return Err(Failure::new(
                StatusCode::BAD_REQUEST,
                "invalid_argument",
                why,
            ));
        }
        match self.administrator.is_of(room) {
            true => Ok(()),
            false => {
                let why = "the token must grant roomAdmin of the room that is asked for";
                Err(Failure::new(
                    StatusCode::FORBIDDEN,
                    "permission_denied",
                    why,
                ))
            }
        }
    }
}

/// The body, or why it was not read.
fn whole(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Failure> {
    body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => {
            let why = format!("the request must have at most {REQUEST_BYTES_MAX} bytes");
            Failure::new(StatusCode::BAD_REQUEST, "invalid_argument", why)
        }
        _ => {
            let why = "the request ended before it was whole";
            Failure::new(StatusCode::BAD_REQUEST, "malformed", why)
        }
    })
}

async fn create(
    State(service): State<Arc<DispatchService>>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let (encoding, body) = (caller.encoding, whole(body)?);
    let request: Create = encoding.read(&body)?;
    caller.may_ask_for(&request.room)?;
    let declined = match service.dispatcher.create(request.into()).await {
        Ok(dispatch) => {
            service.figures.count(DispatchOutcome::Taken);
            let (job_id, dispatch_id) = (&dispatch.job_id, &dispatch.id);
            tracing::info!(job_id, dispatch_id, "the dispatch was asked of this worker");
            return encoding.write(&described(dispatch));
        }
        Err(declined) => declined,
    };
    tracing::info!(reason = %declined, "a dispatch is passed on to LiveKit's server");
    let method = ("dispatch.create", "CreateDispatch");
    let passed_on = service
        .elsewhere
        .pass_on(method, encoding, body, &caller.token);
    let passed_on = passed_on.await;
    service.figures.count(match passed_on {
        Ok(_) => DispatchOutcome::PassedOn,
        Err(_) => DispatchOutcome::Refused,
    });
    match passed_on {
        Ok(answer) => Ok(encoding.answer(answer)),
        Err(failure) => Err(failure.after(&declined.to_string())),
    }
}

async fn list(
    State(service): State<Arc<DispatchService>>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let Name { dispatch_id, room } = caller.encoding.read(&whole(body)?)?;
    caller.may_ask_for(&room)?;
    let mut all = service.dispatcher.list(&room).await;
    if !dispatch_id.is_empty() {
        all.retain(|dispatch| dispatch.id == dispatch_id);
    }
    let mut all: Vec<_> = all.into_iter().map(described).collect();
    if !dispatch_id.starts_with(DIRECT_PREFIX) {
        let theirs = service.elsewhere.list(dispatch_id, room, &caller.token);
        all.extend(theirs.await?);
    }
    caller.encoding.write(&wire::ListAgentDispatchResponse {
        agent_dispatches: all,
    })
}

async fn delete(
    State(service): State<Arc<DispatchService>>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let (encoding, body) = (caller.encoding, whole(body)?);
    let Name { dispatch_id, room } = encoding.read(&body)?;
    caller.may_ask_for(&room)?;
    if !dispatch_id.starts_with(DIRECT_PREFIX) {
        let method = ("dispatch.delete", "DeleteDispatch");
        let answer = service
            .elsewhere
            .pass_on(method, encoding, body, &caller.token);
        return Ok(encoding.answer(answer.await?));
    }
    let deleted = service.dispatcher.delete(&room, &dispatch_id).await;
    let deleted = deleted.ok_or_else(|| {
        let why = "no job of this dispatch runs on this worker";
        Failure::new(StatusCode::NOT_FOUND, "not_found", why)
    })?;
    encoding.write(&described(deleted))
}

impl From<Create> for DispatchRequest {
    fn from(request: Create) -> Self {
        Self {
            agent_name: request.agent_name,
            deployment: request.deployment,
            room: request.room,
            metadata: request.metadata,
            attributes: request.attributes,
        }
    }
}

/// A dispatch of ours, as the server describes its own.
fn described(dispatch: DirectDispatch) -> wire::AgentDispatch {
    let identity = dispatch.identity();
    let DirectDispatch {
        id,
        job_id,
        request,
        worker_id,
        created_at,
    } = dispatch;
    let since_epoch = created_at.duration_since(std::time::UNIX_EPOCH);
    let nanos = since_epoch.unwrap_or_default().as_nanos();
    let created_at = i64::try_from(nanos).unwrap_or(i64::MAX);
    let job = wire::Job {
        id: job_id,
        dispatch_id: id.clone(),
        r#type: wire::JobType::JtRoom.into(),
        room: Some(wire::Room {
            name: request.room.clone(),
            ..wire::Room::default()
        }),
        agent_name: request.agent_name.clone(),
        metadata: request.metadata.expose().clone(),
        deployment: request.deployment.clone(),
        attributes: request.attributes.expose().clone(),
        state: Some(wire::JobState {
            status: wire::JobStatus::JsRunning.into(),
            started_at: created_at,
            updated_at: created_at,
            participant_identity: identity,
            worker_id,
            ..wire::JobState::default()
        }),
        ..wire::Job::default()
    };
    wire::AgentDispatch {
        id,
        agent_name: request.agent_name,
        room: request.room,
        metadata: request.metadata.expose().clone(),
        deployment: request.deployment,
        attributes: request.attributes.expose().clone(),
        state: Some(wire::AgentDispatchState {
            jobs: vec![job],
            created_at,
            deleted_at: 0,
        }),
        ..wire::AgentDispatch::default()
    }
}
