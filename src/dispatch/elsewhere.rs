//! The same service of LiveKit's server, for what this worker cannot take: on the pool, with the token
//! that the request came with.

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use livekit_protocol as wire;
use prost::Message;
use reqwest::Method;

use super::path;
use super::twirp::{Encoding, Failure};
use crate::error::{CallError, ErrorKind, Service};
use crate::pool::{ConnectionPool, Endpoint, EndpointError, HttpClient, Refusal};
use crate::redact::Pii;
use crate::worker::ServerConfig;

/// A little less than LiveKit's client libraries wait, so that they hear why.
///
/// Source: livekit-api 0.10, `services/failover.rs`: 10 s.
const TIMEOUT: Duration = Duration::from_secs(8);

/// See the module.
pub(super) struct Elsewhere(HttpClient);

impl Elsewhere {
    /// # Errors
    /// When the server's address cannot be used.
    pub(super) fn new(
        livekit: &ServerConfig,
        pool: &ConnectionPool,
    ) -> Result<Self, EndpointError> {
        // `ws` and `wss` are `http` and `https` for everything but the sockets.
        let url = livekit.url.trim();
        let url = match url.strip_prefix("ws") {
            Some(rest) => format!("http{rest}"),
            None => url.to_owned(),
        };
        let endpoint = Endpoint::of(Service::LiveKit, &url, HeaderMap::new())?;
        let endpoint = endpoint.explained_by(|_, error| explained(error));
        Ok(Self(pool.http(&endpoint, TIMEOUT)))
    }

    /// Has the server answer a request as it came, which may hold fields that we do not know.
    pub(super) async fn pass_on(
        &self,
        (operation, method): (&'static str, &str),
        encoding: Encoding,
        request: Bytes,
        token: &Pii<String>,
    ) -> Result<Bytes, Failure> {
        let token = token.clone();
        let prepare = move |builder: reqwest::RequestBuilder| {
            builder
                .bearer_auth(token.expose())
                .header(header::CONTENT_TYPE, encoding.media_type())
                .body(request.clone())
        };
        let path = path(method);
        let answer = self.0.send(operation, Method::POST, &path, prepare).await;
        answer.map_err(|error| {
            let refusal = refusal(&error).map(tracing::field::display);
            tracing::warn!(%error, refusal, "LiveKit's server does not take it");
            failure(&error)
        })
    }

    /// The server's dispatches for a room: the one of this id, or all. None for a room that it does not
    /// know.
    pub(super) async fn list(
        &self,
        dispatch_id: String,
        room: String,
        token: &Pii<String>,
    ) -> Result<Vec<wire::AgentDispatch>, Failure> {
        let request = wire::ListAgentDispatchRequest { dispatch_id, room };
        let request = request.encode_to_vec().into();
        let method = ("dispatch.list", "ListDispatch");
        let answer = self.pass_on(method, Encoding::Protobuf, request, token);
        let answer = match answer.await {
            Err(failure) if failure.says_that_there_is_no_room() => return Ok(Vec::new()),
            answer => answer?,
        };
        let answer = wire::ListAgentDispatchResponse::decode(answer);
        let answer = answer.map_err(|_| {
            let why = "LiveKit's server has answered what cannot be read";
            Failure::new(StatusCode::BAD_GATEWAY, "unavailable", why)
        })?;
        Ok(answer.agent_dispatches)
    }
}

/// What the server answers in this protocol is no sign that it is in trouble, whatever the status: also
/// that nobody serves a room is "unavailable".
fn explained(mut error: CallError) -> CallError {
    let is_an_answer = refusal(&error).is_some_and(|refusal| !refusal.code.is_empty());
    if is_an_answer && error.kind == ErrorKind::Unavailable {
        error.kind = ErrorKind::Rejected;
    }
    error
}

fn refusal(error: &CallError) -> Option<&Refusal> {
    let cause = error.cause.as_ref()?;
    cause.downcast_ref::<Refusal>()
}

/// What the app is told.
fn failure(error: &CallError) -> Failure {
    if let Some(refusal) = refusal(error)
        && !refusal.code.is_empty()
    {
        let message = format!("LiveKit's server: {}", refusal.message.expose());
        return Failure::relayed(refusal.status, &refusal.code, message);
    }
    let (status, code) = match error.kind {
        ErrorKind::Timeout => (StatusCode::REQUEST_TIMEOUT, "deadline_exceeded"),
        ErrorKind::Saturated => (StatusCode::TOO_MANY_REQUESTS, "resource_exhausted"),
        _ => (StatusCode::SERVICE_UNAVAILABLE, "unavailable"),
    };
    Failure::new(status, code, format!("LiveKit's server: {}", error.kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::Config;

    #[test]
    fn every_address_a_worker_registers_at_can_be_asked() {
        let pool = ConnectionPool::new(Config::default()).unwrap();
        for url in [
            "ws://127.0.0.1:7880",
            "wss://x.livekit.cloud/prefix/",
            "https://x.livekit.cloud",
        ] {
            let livekit = ServerConfig {
                url: url.to_owned(),
                ..ServerConfig::default()
            };
            assert!(Elsewhere::new(&livekit, &pool).is_ok(), "{url}");
        }
    }
}
