//! How each fault looks to the client.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures::{Stream, StreamExt, future, stream};

use crate::error::ApiError;
use crate::faults::{Fault, FaultKind};

/// Pieces of a streamed answer that get through before it is cut or stalls.
const PIECES_BEFORE: usize = 2;
/// Gives the pieces time to leave: breaking a connection drops what was not sent yet.
const FLUSH: Duration = Duration::from_millis(30);

/// The answer to a fault that needs nothing from the endpoint; never returns from a hang.
pub(super) async fn instead(fault: Fault) -> Option<Response> {
    let retry_after_s = Some(fault.retry_after_s);
    let error = match fault.kind {
        FaultKind::Unauthorized => ApiError::wrong_key(),
        FaultKind::RateLimited => ApiError::too_many("rate_limit_exceeded", retry_after_s),
        FaultKind::QuotaExceeded => ApiError::too_many("insufficient_quota", None),
        FaultKind::ServerError => ApiError::server("A fault asked for."),
        FaultKind::Hang => future::pending().await,
        FaultKind::Malformed | FaultKind::Cut | FaultKind::Stall | FaultKind::EmptyTranscript => {
            return None;
        }
    };
    Some(error.into_response())
}

/// Damages an endpoint's own answer.
pub(super) fn spoil(kind: FaultKind, response: Response) -> Response {
    match kind {
        FaultKind::Malformed => malformed(response),
        FaultKind::Cut => response.map(|body| {
            let end = stream::once(async {
                tokio::time::sleep(FLUSH).await;
                Err(axum::Error::new("cut by a fault"))
            });
            Body::from_stream(first_part(body).chain(end))
        }),
        FaultKind::Stall => {
            response.map(|body| Body::from_stream(first_part(body).chain(stream::pending())))
        }
        _ => response,
    }
}

fn malformed(response: Response) -> Response {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let is_events =
        content_type.is_some_and(|value| value.as_bytes().starts_with(b"text/event-stream"));
    let (content_type, text) = if is_events {
        (
            "text/event-stream",
            "data: {\"id\":\"cut\",\"choices\":[{\n\ndata: [DONE]\n\n",
        )
    } else {
        ("application/json", "{\"text\": \"cu")
    };
    (
        [(header::CONTENT_TYPE, HeaderValue::from_static(content_type))],
        text,
    )
        .into_response()
}

/// The first pieces of a stream, or the first half of an answer in one piece.
fn first_part(body: Body) -> impl Stream<Item = Result<Bytes, axum::Error>> + Send + 'static {
    let is_whole = axum::body::HttpBody::size_hint(&body).exact().is_some();
    body.into_data_stream()
        .take(PIECES_BEFORE)
        .map(move |piece| {
            piece.map(|bytes| {
                if is_whole {
                    bytes.slice(..bytes.len() / 2)
                } else {
                    bytes
                }
            })
        })
}
