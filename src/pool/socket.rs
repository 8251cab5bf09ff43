//! One WebSocket and the task that reads and writes it.
//!
//! The task answers pings, asks a silent peer whether it is there and notices at once when the peer
//! is gone, also while no session uses the connection. When more is unread than may be, in messages or
//! in bytes, it only sends until the session reads; and it ends when the session does not for long.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, USER_AGENT};
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
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
use crate::excess::Excess;

/// Largest message taken: a minute of audio in one event; services send a second or less at a time.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// Messages that wait to be sent: the longest conversation that a new connection is told of at once
/// (`session.chat_items_max` is at most 10 000) and a minute of sound. Memory is taken as they come.
const OUTGOING_MAX: usize = 12_000;
/// Bytes of all messages that wait to be sent: a minute of audio is 4 MiB, and a new connection is told
/// 8 MiB of the conversation at most (`realtime/dialogue/history.rs`), instructions and tools aside.
const OUTGOING_BYTES_MAX: usize = 32 << 20;
/// Messages that wait to be read; one more is read to see that there is no room for it.
const INCOMING_MAX: usize = 256;
/// Bytes of all messages that wait to be read, the one beyond the bound aside: a minute of audio. A
/// session reads as soon as a message is there, so only a stalled one has more than a few.
const INCOMING_BYTES_MAX: usize = 4 << 20;
/// How often a silent peer is asked whether it is there, and when it counts as gone; and so does a
/// user of the connection who reads nothing although there is too much.
const PING_AFTER: Duration = Duration::from_secs(20);
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// A peer that does not take a message in this time is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the peer may take to close its side.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A message that waits, and its bytes of the bound.
struct Waiting {
    text: String,
    _bytes: OwnedSemaphorePermit,
}

/// An open WebSocket for text messages. Dropping it closes the connection.
pub(super) struct Socket {
    outgoing: mpsc::Sender<Waiting>,
    /// Bytes that may still wait to be sent.
    outgoing_bytes: Arc<Semaphore>,
    incoming: mpsc::Receiver<Waiting>,
    task: AbortHandle,
    pub(super) opened: Instant,
    pub(super) addresses: (SocketAddr, SocketAddr),
}

impl Socket {
    /// Sends a message; never waits. `false` when the connection is gone, and when it takes nothing
    /// any more, which ends it: no message is missing in the middle.
    pub(super) fn send(&self, message: String) -> bool {
        if self.outgoing.is_closed() {
            return false;
        }
        let bytes = Arc::clone(&self.outgoing_bytes).try_acquire_many_owned(n_permits(&message));
        let sent = bytes.map(|bytes| {
            self.outgoing.try_send(Waiting {
                text: message,
                _bytes: bytes,
            })
        });
        match sent {
            Ok(Ok(())) => true,
            Ok(Err(TrySendError::Closed(_))) => false,
            Ok(Err(TrySendError::Full(_))) | Err(_) => {
                Excess::Outgoing.count("what waits to be sent over a WebSocket");
                self.task.abort();
                false
            }
        }
    }

    /// The next message; `None` once the connection is closed.
    ///
    /// Cancel safety: nothing is lost.
    pub(super) async fn next(&mut self) -> Option<String> {
        self.incoming.recv().await.map(|message| message.text)
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
        let connector = match url.scheme() {
            "https" => Connector::Rustls(Arc::new(self.shared().http.socket_tls())),
            _ => Connector::Plain,
        };
        let opening = tokio_tungstenite::client_async_tls_with_config(
            request,
            stream,
            Some(config()),
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

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX))
}

/// Gives the connection its task.
fn start(stream: Stream, addresses: (SocketAddr, SocketAddr)) -> Socket {
    let (outgoing, outgoing_out) = mpsc::channel(OUTGOING_MAX);
    let (incoming, incoming_out) = mpsc::channel(INCOMING_MAX);
    let task = tokio::spawn(drive(stream, outgoing_out, incoming));
    Socket {
        outgoing,
        outgoing_bytes: Arc::new(Semaphore::new(OUTGOING_BYTES_MAX)),
        incoming: incoming_out,
        task: task.abort_handle(),
        opened: Instant::now(),
        addresses,
    }
}

/// Moves messages until either side is done.
async fn drive(
    mut stream: Stream,
    mut outgoing: mpsc::Receiver<Waiting>,
    incoming: mpsc::Sender<Waiting>,
) {
    let room = Arc::new(Semaphore::new(INCOMING_BYTES_MAX));
    let (mut last_heard, mut last_ping) = (Instant::now(), Instant::now());
    // A message that there was no room for; nothing more is read until there is.
    let mut unread: Option<String> = None;
    loop {
        let dead_at = last_heard + SILENCE_MAX;
        let ping_at = last_heard.max(last_ping) + PING_AFTER;
        let message = tokio::select! {
            text = outgoing.recv() => match text {
                Some(waiting) => Some(Message::text(waiting.text)),
                None => break,
            },
            received = stream.next(), if unread.is_none() => {
                last_heard = Instant::now();
                match received {
                    Some(Ok(Message::Text(text))) => {
                        unread = hand_on(&incoming, &room, text.as_str().to_owned());
                        None
                    }
                    Some(Err(tungstenite::Error::Capacity(_))) => {
                        Excess::Message.count("a WebSocket message");
                        return;
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => None,
                }
            }
            reserved = reserve(&incoming, &room, unread.as_deref()), if unread.is_some() => {
                last_heard = Instant::now();
                match (reserved, unread.take()) {
                    (Some((permit, bytes)), Some(text)) => permit.send(Waiting {
                        text,
                        _bytes: bytes,
                    }),
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

/// Hands a message to the reader; gives it back when there is no room for it. One that is gone is
/// found by [`reserve`].
fn hand_on(
    incoming: &mpsc::Sender<Waiting>,
    room: &Arc<Semaphore>,
    text: String,
) -> Option<String> {
    let Ok(bytes) = Arc::clone(room).try_acquire_many_owned(n_permits(&text)) else {
        return Some(text);
    };
    let sent = incoming.try_send(Waiting {
        text,
        _bytes: bytes,
    });
    sent.err().map(|error| error.into_inner().text)
}

/// Waits for room in messages and bytes; `None` when the reader is gone.
///
/// Cancel safety: nothing is taken.
async fn reserve<'a>(
    incoming: &'a mpsc::Sender<Waiting>,
    room: &Arc<Semaphore>,
    text: Option<&str>,
) -> Option<(mpsc::Permit<'a, Waiting>, OwnedSemaphorePermit)> {
    let permit = incoming.reserve().await.ok()?;
    let n_permits = n_permits(text.unwrap_or_default());
    // A reader that goes away drops what it has not read, which frees these.
    let bytes = Arc::clone(room).acquire_many_owned(n_permits).await.ok()?;
    Some((permit, bytes))
}

/// The bytes of a message. A longer one than all that may wait to be read counts as that much, so that
/// there can be room for it.
fn n_permits(text: &str) -> u32 {
    u32::try_from(text.len().min(INCOMING_BYTES_MAX)).unwrap_or(u32::MAX)
}

#[cfg(test)]
#[path = "socket_tests.rs"]
mod tests;
