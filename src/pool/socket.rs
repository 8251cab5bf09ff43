//! One WebSocket and the task that reads and writes it.
//!
//! The task answers pings, asks a silent peer whether it is there and notices at once when the peer
//! is gone, also while nobody uses the connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::header::{AUTHORIZATION, USER_AGENT};
use reqwest::Url;
use tokio::net::TcpStream;
use tokio::sync::mpsc;
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
/// Messages that wait to be sent: some seconds of sound.
const OUTGOING_MAX: usize = 512;
/// Messages that wait to be read.
const INCOMING_MAX: usize = 256;
/// How often a silent peer is asked whether it is there, and when it counts as gone.
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
    pub(super) opened: Instant,
    pub(super) addresses: (SocketAddr, SocketAddr),
}

impl Socket {
    /// Sends a message; never waits. `false` when the connection is gone or takes nothing any more.
    pub(super) fn send(&self, message: String) -> bool {
        self.outgoing.try_send(message).is_ok()
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
    tokio::spawn(drive(stream, outgoing_out, incoming));
    Socket {
        outgoing,
        incoming: incoming_out,
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
    loop {
        let dead_at = last_heard + SILENCE_MAX;
        let ping_at = last_heard.max(last_ping) + PING_AFTER;
        let message = tokio::select! {
            text = outgoing.recv() => match text {
                Some(text) => Some(Message::text(text)),
                None => break,
            },
            received = stream.next() => {
                last_heard = Instant::now();
                match received {
                    Some(Ok(Message::Text(text))) => {
                        if incoming.send(text.as_str().to_owned()).await.is_err() {
                            break;
                        }
                        None
                    }
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                    Some(Ok(_)) => None,
                }
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
