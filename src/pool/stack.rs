//! The layers every call passes, for each service one stack: **this is the place for a new one.**
//!
//! ```text
//! metrics      what a caller sees: one line per call, however often it was tried
//! guard        the gate of the host: circuit breaker
//! deadline     the whole call
//! retry        each attempt anew
//! hedge        a second attempt beside one that is late, for calls that ask for it
//! attempt      a permit (`permits.rs`), the attempt's own deadline, the request
//! ```
//!
//! The breaker sees one outcome per call, the adaptive limit one per attempt, and what they refuse is
//! counted. A layer is a tower
//! layer over `Service<Call, Response = (), Error = CallError>`; its state is shared by all calls of
//! a service.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use tokio::time::Instant;
use tower::retry::RetryLayer;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, layer::layer_fn, service_fn};

use super::Shared;
use super::call::Call;
use super::guard::Guard;
use super::hedge;
use super::recorder::Recorder;
use super::retry::{RetryPolicy, Rules};
use crate::error::{CallError, ErrorKind};

/// A service's way out.
pub(super) type Stack = BoxCloneSyncService<Call, (), CallError>;

/// Builds the stack of one service.
pub(super) fn build(shared: &Arc<Shared>, rules: Rules, recorder: Recorder) -> Stack {
    let shared = Arc::clone(shared);
    let gates = Arc::clone(&shared.gates);
    let (metrics_recorder, hedge_recorder) = (recorder.clone(), recorder.clone());
    let attempt = service_fn(move |call: Call| {
        hedge::attempt(call, Arc::clone(&shared), hedge_recorder.clone())
    });
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            .layer(layer_fn(move |inner| Metrics {
                inner,
                recorder: metrics_recorder.clone(),
            }))
            .layer(layer_fn(move |inner| Guard {
                inner,
                gates: Arc::clone(&gates),
            }))
            .layer(layer_fn(|inner| Deadline { inner }))
            .layer(RetryLayer::new(RetryPolicy::new(rules, recorder)))
            .service(attempt),
    )
}

/// Counts outcomes and measures how long a call took to be answered.
#[derive(Clone)]
struct Metrics<S> {
    inner: S,
    recorder: Recorder,
}

impl<S> tower::Service<Call> for Metrics<S>
where
    S: tower::Service<Call, Response = (), Error = CallError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = CallError;
    type Future = BoxFuture<'static, Result<(), CallError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let operation = call.spec.operation;
        let began = Instant::now();
        let answer = self.inner.call(call);
        let mut unanswered = Unanswered(Some(self.recorder.clone()));
        Box::pin(async move {
            let result = answer.await;
            if let Some(recorder) = unanswered.0.take() {
                match &result {
                    Ok(()) => recorder.answered(operation, began.elapsed()),
                    Err(error) => recorder.failed(operation, error.kind),
                }
            }
            result
        })
    }
}

/// Counts a call as cancelled unless it was answered first.
struct Unanswered(Option<Recorder>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        if let Some(recorder) = self.0.take() {
            recorder.cancelled();
        }
    }
}

/// Ends a call at its deadline.
#[derive(Clone)]
struct Deadline<S> {
    inner: S,
}

impl<S> tower::Service<Call> for Deadline<S>
where
    S: tower::Service<Call, Response = (), Error = CallError>,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = CallError;
    type Future = BoxFuture<'static, Result<(), CallError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Self::Future {
        let (spec, deadline) = (call.spec.clone(), call.deadline);
        let progress = Arc::clone(&call.progress);
        let answer = self.inner.call(call);
        Box::pin(async move {
            // It lives on beyond the deadline, so that it can be seen where it stood.
            let mut answer = std::pin::pin!(answer);
            match tokio::time::timeout_at(deadline, answer.as_mut()).await {
                Ok(result) => result,
                Err(_) if progress.only_waits() => Err(spec.error(ErrorKind::Saturated)),
                Err(_) => Err(spec.error(ErrorKind::Timeout)),
            }
        })
    }
}
