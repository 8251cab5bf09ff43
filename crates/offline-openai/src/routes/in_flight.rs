//! Follows a request from its arrival until its answer is sent or its client has gone.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::response::Response;
use http_body::{Frame, SizeHint};

use super::App;
use crate::stats::Endpoint;

/// Counts one request as in flight; dropped before its end, it was cancelled.
pub(super) struct InFlight {
    app: Arc<App>,
    endpoint: Endpoint,
    ended: bool,
}

impl InFlight {
    pub(super) fn start(
        app: Arc<App>,
        endpoint: Endpoint,
        connection_used: Option<&AtomicBool>,
    ) -> Self {
        app.stats.request_started(endpoint, connection_used);
        Self {
            app,
            endpoint,
            ended: false,
        }
    }

    /// Goes with the body: the request ends when the last byte was handed on.
    pub(super) fn until_sent(self, response: Response) -> Response {
        response.map(|inner| {
            Body::new(Followed {
                inner,
                in_flight: self,
            })
        })
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.app.stats.request_ended(self.endpoint, !self.ended);
    }
}

/// A body that notes when it has been read to its end.
struct Followed {
    inner: Body,
    in_flight: InFlight,
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = self.get_mut();
        let frame = ready!(Pin::new(&mut this.inner).poll_frame(cx));
        // An error ends the body from our side: it is a fault, not a client that left.
        let is_last = !matches!(frame, Some(Ok(_))) || this.inner.is_end_stream();
        this.in_flight.ended |= is_last;
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
