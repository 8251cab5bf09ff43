//! One WebSocket to the server's worker endpoint, registered or not at all.

use std::time::Duration;

use futures::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode, header};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use super::address::{AddressError, AgentUrl};
use super::config::{Config, ServerConfig};
use super::proto::{Incoming, Outgoing};
use super::token::{TokenError, worker_token};
use crate::tls;

/// Largest message taken from the server: its own limit for ours.
///
/// Source: livekit-server `pkg/config/config.go`, `agent_signal_message_size_limit`.
const MESSAGE_BYTES_MAX: usize = 2 << 20;

/// A peer that does not take a message in this time is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(5);

/// How long the server may take to close its side when we are done.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why there is no registered connection. The text says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// `LIVEKIT_URL` cannot be used.
    #[error("LIVEKIT_URL {0}")]
    Address(#[from] AddressError),
    /// Key or secret cannot be used.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// 401 or 403.
    #[error("the server refuses the key; check LIVEKIT_API_KEY and LIVEKIT_API_SECRET")]
    Unauthorized,
    /// Something answers that is no LiveKit server.
    #[error("no worker endpoint there (HTTP status {0}); check LIVEKIT_URL")]
    NoEndpoint(u16),
    /// 429 or 5xx.
    #[error("the server is not ready (HTTP status {0})")]
    NotReady(u16),
    /// No TCP or TLS connection, or one that broke.
    #[error("the server cannot be reached ({0}); check LIVEKIT_URL and that it is up")]
    Unreachable(String),
    /// It did not answer in time.
    #[error("no registration within {} s", .0.as_secs_f32())]
    TimedOut(Duration),
    /// The first message was none that registers us.
    #[error("the server did not confirm the registration")]
    NotRegistered,
}

impl ConnectError {
    /// Whether trying again helps only after somebody has changed something.
    pub fn needs_operator(&self) -> bool {
        matches!(
            self,
            Self::Address(_) | Self::Token(_) | Self::Unauthorized | Self::NoEndpoint(_)
        )
    }
}

impl From<tungstenite::Error> for ConnectError {
    fn from(error: tungstenite::Error) -> Self {
        match error {
            tungstenite::Error::Http(response) => match response.status() {
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Unauthorized,
                status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                    Self::NotReady(status.as_u16())
                }
                status => Self::NoEndpoint(status.as_u16()),
            },
            // The address may hold the worker token, and these errors may hold the address.
            tungstenite::Error::Url(_) | tungstenite::Error::HttpFormat(_) => {
                Self::Address(AddressError::NotAUrl)
            }
            other => Self::Unreachable(other.to_string()),
        }
    }
}

/// What the server said when it took us.
#[derive(Clone, Debug)]
pub(super) struct Registration {
    pub(super) worker_id: String,
    pub(super) server_version: String,
}

/// What came over the connection.
pub(super) enum Received {
    /// A message of the protocol.
    Message(Incoming),
    /// Something harmless: a ping, a frame that cannot be read.
    Other,
    /// The connection is over; why.
    Closed(String),
}

/// A connection that is registered.
pub(super) struct Connection {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

impl Connection {
    /// Connects and registers, within the register timeout.
    ///
    /// # Errors
    /// When there is no registered connection in the end.
    pub(super) async fn open(
        server: &ServerConfig,
        config: &Config,
    ) -> Result<(Self, Registration), ConnectError> {
        timeout(config.register_timeout, Self::connect(server, config))
            .await
            .map_err(|_| ConnectError::TimedOut(config.register_timeout))?
    }

    async fn connect(
        server: &ServerConfig,
        config: &Config,
    ) -> Result<(Self, Registration), ConnectError> {
        let address = AgentUrl::new(server)?;
        let mut request = address.expose().into_client_request()?;
        let bearer = format!("Bearer {}", worker_token(server)?.expose());
        let mut bearer = HeaderValue::try_from(bearer).map_err(|_| ConnectError::Unauthorized)?;
        bearer.set_sensitive(true);
        request.headers_mut().insert(header::AUTHORIZATION, bearer);
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MESSAGE_BYTES_MAX))
            .max_frame_size(Some(MESSAGE_BYTES_MAX));
        let connector = if address.expose().starts_with("wss:") {
            Connector::Rustls(
                tls::client_config()
                    .map_err(|error| ConnectError::Unreachable(error.to_string()))?,
            )
        } else {
            Connector::Plain
        };
        let (socket, _) = tokio_tungstenite::connect_async_tls_with_config(
            request,
            Some(limits),
            true,
            Some(connector),
        )
        .await?;
        Self { socket }.register(config).await
    }

    async fn register(mut self, config: &Config) -> Result<(Self, Registration), ConnectError> {
        self.send(&Outgoing::Register {
            agent_name: config.agent_name.clone(),
            deployment: config.deployment.clone(),
        })
        .await
        .map_err(ConnectError::Unreachable)?;
        loop {
            match self.next().await {
                Received::Message(Incoming::Registered {
                    worker_id,
                    server_version,
                }) => {
                    let registration = Registration {
                        worker_id,
                        server_version,
                    };
                    return Ok((self, registration));
                }
                Received::Message(_) => return Err(ConnectError::NotRegistered),
                Received::Other => {}
                Received::Closed(why) => return Err(ConnectError::Unreachable(why)),
            }
        }
    }

    /// Sends one message.
    ///
    /// # Errors
    /// When the connection is over; why.
    pub(super) async fn send(&mut self, message: &Outgoing) -> Result<(), String> {
        self.send_frame(Message::binary(message.encode())).await
    }

    /// Sends a ping, so that a live peer is heard.
    ///
    /// # Errors
    /// When the connection is over; why.
    pub(super) async fn ping(&mut self) -> Result<(), String> {
        self.send_frame(Message::Ping(Vec::new().into())).await
    }

    async fn send_frame(&mut self, frame: Message) -> Result<(), String> {
        match timeout(SEND_TIMEOUT, self.socket.send(frame)).await {
            Ok(sent) => sent.map_err(|error| error.to_string()),
            Err(_) => Err("the server takes no messages".to_owned()),
        }
    }

    /// What comes next. Pings are answered on the way.
    ///
    /// Cancel safety: nothing is lost.
    pub(super) async fn next(&mut self) -> Received {
        match self.socket.next().await {
            Some(Ok(Message::Binary(bytes))) => match Incoming::decode(&bytes) {
                Ok(message) => Received::Message(message),
                Err(error) => {
                    tracing::warn!(%error, bytes = bytes.len(), "unreadable frame skipped");
                    Received::Other
                }
            },
            Some(Ok(Message::Text(text))) => {
                tracing::warn!(
                    bytes = text.len(),
                    "text frame skipped; binary ones are spoken"
                );
                Received::Other
            }
            Some(Ok(Message::Close(frame))) => Received::Closed(match frame {
                Some(frame) => format!("closed by the server, code {}", u16::from(frame.code)),
                None => "closed by the server".to_owned(),
            }),
            Some(Ok(_)) => Received::Other,
            Some(Err(error)) => Received::Closed(error.to_string()),
            None => Received::Closed("closed by the server".to_owned()),
        }
    }

    /// Says goodbye and waits, shortly, until the server has read all that was sent.
    pub(super) async fn close(mut self) {
        let goodbye = async {
            if self.socket.close(None).await.is_ok() {
                while !matches!(self.next().await, Received::Closed(_)) {}
            }
        };
        if timeout(CLOSE_TIMEOUT, goodbye).await.is_err() {
            tracing::debug!("the server did not close the connection in time");
        }
    }
}
