//! The way to the service, and what else a call waits for.

use futures::future::BoxFuture;

use super::Connected;
use super::call::Event;
use crate::error::CallError;
use crate::pool::TakenSocket;

/// The way to the service.
pub(super) enum Line {
    Opening(BoxFuture<'static, Result<Connected, CallError>>),
    Open(TakenSocket),
}

/// What is under way beside the conversation, if it is.
pub(super) type Pending<T> = Option<BoxFuture<'static, T>>;

/// Waits for ever while nothing is under way.
///
/// Cancel safety: nothing is lost.
pub(super) async fn pending<T>(pending: &mut Pending<T>) -> T {
    let Some(future) = pending else {
        return std::future::pending().await;
    };
    let output = future.await;
    *pending = None;
    output
}

impl Line {
    /// Cancel safety: nothing is lost.
    pub(super) async fn next(&mut self) -> Event {
        match self {
            Self::Opening(opening) => match opening.await {
                Ok(connected) => Event::Connected(connected),
                Err(error) => Event::NotConnected(error),
            },
            Self::Open(socket) => match socket.next().await {
                Some(message) => Event::Message(message),
                None => Event::Lost,
            },
        }
    }
}
