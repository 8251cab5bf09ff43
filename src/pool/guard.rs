//! The layer before the gate of each host: its circuit breaker, see `gate.rs`.

use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;

use super::call::{Call, Progress};
use super::gate::{Entry, Gates};
use crate::error::CallError;

/// Lets calls in and settles their outcome.
#[derive(Clone)]
pub(super) struct Guard<S> {
    pub(super) inner: S,
    pub(super) gates: Arc<Gates>,
}

impl<S> tower::Service<Call> for Guard<S>
where
    S: tower::Service<Call, Response = (), Error = CallError> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = CallError;
    type Future = BoxFuture<'static, Result<(), CallError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), CallError>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Call) -> Self::Future {
        // The one that was polled ready is the one to call; its copy waits for the next call.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let gate = self.gates.get(&call.spec);
        Box::pin(async move {
            let entry = Arc::new(gate.enter(&call.spec)?);
            call.entry = Some(Arc::clone(&entry));
            let mut unsettled = Unsettled(Some((entry, Arc::clone(&call.progress))));
            let result = inner.call(call).await;
            unsettled.settle(Some(&result));
            result
        })
    }
}

/// Settles a call that is dropped before its outcome, as an interruption does: it says nothing
/// about the service, and a probe gives its place back.
struct Unsettled(Option<(Arc<Entry>, Arc<Progress>)>);

impl Unsettled {
    fn settle(&mut self, result: Option<&Result<(), CallError>>) {
        if let Some((entry, progress)) = self.0.take() {
            entry.settle(result, &progress);
        }
    }
}

impl Drop for Unsettled {
    fn drop(&mut self) {
        self.settle(None);
    }
}
