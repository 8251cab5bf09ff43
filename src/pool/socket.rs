//! One WebSocket and the task that reads and writes it.
//!
//! The task answers pings, asks a silent peer whether it is there and notices at once when the peer
//! is gone, also while nobody uses the connection. When more is unread than may be, it only sends,
//! until somebody reads; and it ends when nobody does for long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, USER_AGENT};
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::call::Lease;
use super::classify;
use super::endpoint::Endpoint;
use crate::error::{CallError, ErrorKind};

/// Largest message taken: an event carries a few seconds of sound at most.
const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// Messages that wait to be sent: the longest conversation that a new connection is told of at once
/// (`session.chat_items_max` is at most 10 000) and a minute of sound. Memory is taken as they come.
const OUTGOING_MAX: usize = 12_000;
/// Messages that wait to be read; one more is read to see that there is no place for it.
const INCOMING_MAX: usize = 256;
/// How often a silent peer is asked whether it is there, and when it counts as gone; and so does a
/// user of the connection who reads nothing although there is too much.
const PING_AFTER: Duration = Duration::from_secs(20);
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// A peer that does not take a message in this time is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the peer may take to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// An open WebSocket for text messages. Dropping it closes the connection.
pub(super) struct Socket {
    outgoing: mpsc::Sender<String>,
    incoming: mpsc::Receiver<String>,
    task: AbortHandle,
    pub(super) opened: Instant,
    pub(super) addresses: (SocketAddr, SocketAddr),
}

impl Socket {
    /// Sends a message; never waits. `false` when the connection is gone, and when it takes nothing
    /// any more, which ends it: no message is missing in the middle.
    pub(super) fn send(&self, message: String) -> bool {
        let result = self.outgoing.try_send(message);
        if let Err(TrySendError::Full(_)) = result {
            self.task.abort();
        }
        result.is_ok()
    }

    /// The next message; `None` once the connection is closed.
    ///
    /// Cancel safety: nothing is lost.
    pub(super) async fn next(&mut self) -> Option<String> {
        self.incoming.recv().await
    }

    /// Forgets what came while nobody listened; `false` when the connection is gone.
    pub(super) fn refresh(&mut self) -> bool {
        while self.incoming.try_recv().is_ok() {}
        !self.incoming.is_closed() && !self.outgoing.is_closed()
    }
}

impl Lease {
    /// Opens a WebSocket at an endpoint; `path` starts with a slash and may have a query.
    ///
    /// # Errors
    /// When there is no connection, or the answer to the handshake is not the wanted one.
    pub(super) async fn open_socket(
        &self,
        endpoint: &Endpoint,
        path: &str,
    ) -> Result<Socket, CallError> {
        let url =
            Url::parse(&endpoint.url(path)).map_err(|_| self.spec().error(ErrorKind::Rejected))?;
        let stream = self.connect(&url).await?;
        let addresses = (stream.local_addr(), stream.peer_addr());
        let (Ok(local), Ok(remote)) = addresses else {
            return Err(self.spec().error(ErrorKind::Unavailable));
        };
        self.shared().ledger.opened((local, remote));
        let address = url.as_str().replacen("http", "ws", 1);
        let mut request = address
            .into_client_request()
            .map_err(|_| self.spec().error(ErrorKind::Rejected))?;
        request.headers_mut().extend(endpoint.headers().clone());
        let agent = concat!("voxpool/", env!("CARGO_PKG_VERSION"));
        request
            .headers_mut()
            .insert(USER_AGENT, http::HeaderValue::from_static(agent));
        if let Some(key) = request.headers_mut().get_mut(AUTHORIZATION) {
            key.set_sensitive(true);
        }
        let config = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let connector = match url.scheme() {
            "https" => Connector::Rustls(Arc::new(self.shared().http.socket_tls())),
            _ => Connector::Plain,
        };
        let opening = tokio_tungstenite::client_async_tls_with_config(
            request,
            stream,
            Some(config),
            Some(connector),
        );
        let (stream, _) = opening.await.map_err(|error| self.handshake(error))?;
        Ok(start(stream, (local, remote)))
    }

    fn handshake(&self, error: tungstenite::Error) -> CallError {
        let spec = self.spec();
        match error {
            tungstenite::Error::Http(response) => {
                let body = response.body().as_deref().unwrap_or_default();
                let asked = (spec.service, spec.operation);
                classify::refusal_of(asked, response.status(), response.headers(), body)
            }
            // Others may show the address, and that what was sent.
            tungstenite::Error::Io(error) => spec.error(ErrorKind::Unavailable).because(error),
            _ => spec.error(ErrorKind::Unavailable),
        }
    }
}

/// Gives the connection its task.
fn start(stream: Stream, addresses: (SocketAddr, SocketAddr)) -> Socket {
    let (outgoing, outgoing_out) = mpsc::channel(OUTGOING_MAX);
    let (incoming, incoming_out) = mpsc::channel(INCOMING_MAX);
    let task = tokio::spawn(drive(stream, outgoing_out, incoming));
    Socket {
        outgoing,
        incoming: incoming_out,
        task: task.abort_handle(),
        opened: Instant::now(),
        addresses,
    }
}

/// Moves messages until either side is done.
async fn drive(
    mut stream: Stream,
    mut outgoing: mpsc::Receiver<String>,
    incoming: mpsc::Sender<String>,
) {
    let (mut last_heard, mut last_ping) = (Instant::now(), Instant::now());
    // What there was no place for; nothing more is read until there is one.
    let mut unread = None;
    loop {
        let dead_at = last_heard + SILENCE_MAX;
        let ping_at = last_heard.max(last_ping) + PING_AFTER;
        let message = tokio::select! {
            text = outgoing.recv() => match text {
                Some(text) => Some(Message::text(text)),
                None => break,
            },
            received = stream.next(), if unread.is_none() => {
                last_heard = Instant::now();
                match received {
                    Some(Ok(Message::Text(text))) => {
                        match incoming.try_send(text.as_str().to_owned()) {
                            Ok(()) => {}
                            Err(TrySendError::Full(text)) => unread = Some(text),
                            Err(TrySendError::Closed(_)) => break,
                        }
                        None
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => None,
                }
            }
            place = incoming.reserve(), if unread.is_some() => {
                last_heard = Instant::now();
                match (place, unread.take()) {
                    (Ok(place), Some(text)) => place.send(text),
                    _ => break,
                }
                None
            }
            () = sleep_until(ping_at.min(dead_at)) => {
                if Instant::now() >= dead_at {
                    return;
                }
                last_ping = Instant::now();
                Some(Message::Ping(Default::default()))
            }
        };
        if let Some(message) = message {
            match timeout(SEND_TIMEOUT, stream.send(message)).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }
    // A peer that does not answer is left.
    timeout(CLOSE_TIMEOUT, stream.close(None)).await.ok();
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
