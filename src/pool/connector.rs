//! Notes each connection that opens, and opens none that is not needed.
//!
//! hyper asks for a connection when none is idle, and takes one that becomes idle meanwhile; the one
//! that it asked for is then left over. That is so when a request has just ended, as its connection is
//! still on its way back. Here it is given a moment, and what nobody waits for any more is not opened.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::connections::Ledger;

/// How long a connection whose answer has been read may be on its way back: that takes microseconds
/// where the processor is not busy, and who waits for it has it at once.
const BACK_WITHIN: Duration = Duration::from_millis(50);
/// How long one that was dropped may still be open.
const GONE_WITHIN: Duration = Duration::from_millis(5);
const PAUSE: Duration = Duration::from_millis(1);

tokio::task_local! {
    /// Set while a connector is polled by the request that asked for the connection. hyper leaves
    /// what that no longer needs to a task of its own.
    static AWAITED: ();
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Runs a request, so that the connector can tell whether somebody still waits for a connection.
pub(super) async fn awaited<T>(request: impl Future<Output = T>) -> T {
    AWAITED.scope((), request).await
}

fn is_awaited() -> bool {
    AWAITED.try_with(|()| ()).is_ok()
}

/// Until when no other connection is to be opened, as one is still on its way; clones share it.
#[derive(Clone, Default)]
pub(super) struct Underway {
    until: Arc<Mutex<Option<Instant>>>,
    /// Where many requests ask for the one connection that they will share: it is opened once.
    turn: Option<Arc<Semaphore>>,
}

impl Underway {
    /// For a connection that many requests ask for before it is there. As hyper learns only from the
    /// connection itself that it can be shared, it would open one for each of them.
    pub(super) fn one_by_one() -> Self {
        Self {
            turn: Some(Arc::new(Semaphore::new(1))),
            ..Self::default()
        }
    }

    /// The client's own comes back.
    pub(super) fn comes_back(&self) {
        *self.lock() = Some(Instant::now() + BACK_WITHIN);
    }

    /// Another one is closed in favour of the client's.
    pub(super) fn makes_room(&self) {
        *self.lock() = Some(Instant::now() + GONE_WITHIN);
    }

    /// Whether one is on its way.
    pub(super) fn is_expected(&self) -> bool {
        self.lock().is_some_and(|until| Instant::now() < until)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for the turn to open one, where one is enough for all, and fails when the request has got
    /// the one that another has opened.
    async fn turn(&self) -> Result<Option<OwnedSemaphorePermit>, BoxError> {
        let Some(turn) = &self.turn else {
            return Ok(None);
        };
        loop {
            if let Ok(turn) = Arc::clone(turn).try_acquire_owned() {
                return Ok(Some(turn));
            }
            tokio::time::sleep(PAUSE).await;
            if !is_awaited() {
                return Err("the request shares a connection that another has opened".into());
            }
        }
    }

    /// Returns when none is on its way any more, and fails when the request has got it.
    async fn settled(&self) -> Result<(), BoxError> {
        let asked = Instant::now();
        // Those that many share come back all the time.
        while self.is_expected() && asked.elapsed() < BACK_WITHIN {
            tokio::time::sleep(PAUSE).await;
            if !is_awaited() {
                return Err("nobody waits for this connection any more".into());
            }
        }
        Ok(())
    }
}

/// Wraps reqwest's connector.
#[derive(Clone)]
pub(super) struct ConnectorLayer {
    pub(super) ledger: Ledger,
    pub(super) underway: Underway,
}

impl<S> tower::Layer<S> for ConnectorLayer {
    type Service = Connector<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Connector {
            inner,
            layer: self.clone(),
        }
    }
}

/// A connector that notes what it opened.
#[derive(Clone)]
pub(super) struct Connector<S> {
    inner: S,
    layer: ConnectorLayer,
}

impl<S, Destination> tower::Service<Destination> for Connector<S>
where
    S: tower::Service<Destination> + Clone + Send + 'static,
    S::Response: Connection + Send + 'static,
    S::Error: Into<BoxError> + Send + 'static,
    S::Future: Send + 'static,
    Destination: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<S::Response, BoxError>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, destination: Destination) -> Self::Future {
        // The one that was polled is ready.
        let next = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, next);
        let ConnectorLayer { ledger, underway } = self.layer.clone();
        Box::pin(async move {
            let turn = underway.turn().await?;
            underway.settled().await?;
            let result = inner.call(destination).await;
            if turn.is_some() && result.is_ok() {
                // The next one has it in a moment.
                underway.comes_back();
            }
            match &result {
                Ok(connection) => {
                    let mut extensions = http::Extensions::new();
                    connection.connected().get_extras(&mut extensions);
                    if let Some(info) = extensions.get::<HttpInfo>() {
                        ledger.opened((info.local_addr(), info.remote_addr()));
                    }
                }
                Err(_) => ledger.failed(),
            }
            result.map_err(Into::into)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_on_its_way_is_waited_for_but_not_for_long() {
        let underway = Underway::default();
        let waited = async || {
            let began = Instant::now();
            awaited(underway.settled()).await.unwrap();
            began.elapsed()
        };
        assert_eq!(waited().await, Duration::ZERO);
        underway.comes_back();
        assert_eq!(waited().await, BACK_WITHIN);
        assert_eq!(waited().await, Duration::ZERO, "it did not come back");
        underway.makes_room();
        assert_eq!(waited().await, GONE_WITHIN);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_waits_for_any_more_is_not_opened() {
        let (underway, began) = (Underway::default(), Instant::now());
        underway.comes_back();
        assert!(underway.settled().await.is_err());
        assert_eq!(began.elapsed(), PAUSE);
    }
}
