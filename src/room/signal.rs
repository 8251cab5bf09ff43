//! The WebSocket that a room is joined over, in place of the one that LiveKit's client would open.
//!
//! Its own leaves Nagle's algorithm on: a message that follows another one waits until the server's
//! kernel has acknowledged the first, which takes that 40 ms. The agent's track is published by such a
//! message, right behind the ICE candidates. It also reads the system's certificates for each call.

use std::io;
use std::sync::{Arc, Once, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use http::{HeaderName, HeaderValue};
use livekit_net::{Header, TransportError, WsClient, WsConnectResult, WsConnection};
use rustls::ClientConfig;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::{Error, Message, handshake::client::Request};
use tokio_tungstenite::{Connector, MaybeTlsStream, WebSocketStream};

use crate::tls;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// From now on LiveKit's client joins rooms over our connections.
pub(super) fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| livekit_net::set_ws_client(Arc::new(SignalClient::default())));
}

/// Opens connections; the certificates to trust are read once.
#[derive(Default)]
struct SignalClient {
    tls: OnceLock<Arc<ClientConfig>>,
}

impl SignalClient {
    async fn open(&self, url: &str, headers: &[Header]) -> Result<Socket, TransportError> {
        let request = request(url, headers)?;
        let connector = match url.starts_with("wss:") {
            true => Connector::Rustls(self.tls()?),
            false => Connector::Plain,
        };
        let without_nagle = true;
        tokio_tungstenite::connect_async_tls_with_config(
            request,
            None,
            without_nagle,
            Some(connector),
        )
        .await
        .map(|(socket, _)| socket)
        .map_err(refused)
    }

    fn tls(&self) -> Result<Arc<ClientConfig>, TransportError> {
        if let Some(config) = self.tls.get() {
            return Ok(Arc::clone(config));
        }
        let config = tls::client_config();
        let config = config.map_err(|error| TransportError::Connection(error.to_string()))?;
        Ok(Arc::clone(self.tls.get_or_init(|| config)))
    }
}

#[async_trait]
impl WsClient for SignalClient {
    async fn connect(
        &self,
        url: String,
        headers: Vec<Header>,
        timeout_ms: u64,
    ) -> Result<WsConnectResult, TransportError> {
        let timeout = Duration::from_millis(timeout_ms);
        let socket = tokio::time::timeout(timeout, self.open(&url, &headers))
            .await
            .map_err(|_| TransportError::Timeout)??;
        let (sink, stream) = socket.split();
        let connection = Arc::new(SignalConnection {
            sink: Mutex::new(sink),
            stream: Mutex::new(stream),
        });
        Ok(WsConnectResult { connection })
    }
}

/// An open connection. Its halves are used by one task each.
struct SignalConnection {
    sink: Mutex<SplitSink<Socket, Message>>,
    stream: Mutex<SplitStream<Socket>>,
}

#[async_trait]
impl WsConnection for SignalConnection {
    async fn send(&self, frame: Vec<u8>) -> Result<(), TransportError> {
        let sent = self.sink.lock().await.send(Message::binary(frame)).await;
        sent.map_err(refused)
    }

    async fn recv(&self) -> Result<Option<Vec<u8>>, TransportError> {
        let mut stream = self.stream.lock().await;
        loop {
            match stream.next().await {
                Some(Ok(Message::Binary(bytes))) => return Ok(Some(bytes.into())),
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                // Pings are answered on the way, and nothing of signalling is text.
                Some(Ok(_)) => {}
                Some(Err(error)) if is_end(&error) => return Ok(None),
                Some(Err(error)) => return Err(refused(error)),
            }
        }
    }

    async fn close(&self) {
        // A peer that is gone already has nothing to be told.
        self.sink.lock().await.close().await.ok();
    }
}

fn request(url: &str, headers: &[Header]) -> Result<Request, TransportError> {
    let mut request = url.into_client_request().map_err(refused)?;
    for Header { name, value } in headers {
        let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value))
        else {
            return Err(TransportError::Other("a header cannot be sent".to_owned()));
        };
        value.set_sensitive(true);
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// Whether the peer has just gone, with or without a word.
fn is_end(error: &Error) -> bool {
    match error {
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => true,
        Error::Io(error) => error.kind() == io::ErrorKind::UnexpectedEof,
        _ => false,
    }
}

fn refused(error: Error) -> TransportError {
    match error {
        Error::Http(response) => TransportError::Http {
            status: response.status().as_u16(),
        },
        // The address holds what we tell the server of us, and these errors may hold the address.
        Error::Url(_) | Error::HttpFormat(_) => {
            TransportError::Connection("the server's address cannot be used".to_owned())
        }
        other => TransportError::Connection(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    const SECONDS_5: u64 = 5_000;

    async fn server() -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("ws://{}/rtc", listener.local_addr().unwrap());
        (listener, url)
    }

    #[tokio::test]
    async fn messages_do_not_wait_for_each_other() {
        let (listener, url) = server().await;
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            tokio_tungstenite::accept_async(stream).await.unwrap()
        };
        let client = SignalClient::default();
        let (socket, _server) = tokio::join!(client.open(&url, &[]), serve);
        let MaybeTlsStream::Plain(stream) = socket.unwrap().into_inner() else {
            panic!("TLS without being asked for");
        };
        assert!(stream.nodelay().unwrap());
    }

    #[tokio::test]
    async fn frames_go_both_ways_until_the_peer_closes() {
        let (listener, url) = server().await;
        let echo = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
            socket.send(Message::text("not for us")).await.unwrap();
            socket
                .send(Message::Ping(b"?".as_slice().into()))
                .await
                .unwrap();
            let frame = loop {
                let message = socket.next().await.unwrap().unwrap();
                if let Message::Binary(frame) = message {
                    break frame;
                }
            };
            socket.send(Message::Binary(frame)).await.unwrap();
            socket.close(None).await.unwrap();
        };
        let talk = async {
            let client = SignalClient::default();
            let opened = client.connect(url, Vec::new(), SECONDS_5).await;
            let connection = opened.ok().unwrap().connection;
            connection.send(vec![1, 2, 3]).await.unwrap();
            assert_eq!(connection.recv().await.unwrap(), Some(vec![1, 2, 3]));
            assert_eq!(connection.recv().await.unwrap(), None);
            connection.close().await;
        };
        tokio::join!(echo, talk);
    }

    #[tokio::test]
    async fn a_refusal_comes_with_its_status_and_without_the_token() {
        let (listener, url) = server().await;
        let refuse = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            let n_bytes = stream.read(&mut request).await.unwrap();
            let answer = b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n";
            stream.write_all(answer).await.unwrap();
            String::from_utf8(request[..n_bytes].to_vec()).unwrap()
        };
        let client = SignalClient::default();
        let header = Header {
            name: "Authorization".to_owned(),
            value: "Bearer secret".to_owned(),
        };
        let (opened, request) = tokio::join!(client.connect(url, vec![header], SECONDS_5), refuse);
        let error = opened.err().unwrap();
        assert!(
            matches!(error, TransportError::Http { status: 401 }),
            "{error}"
        );
        assert!(
            request
                .to_lowercase()
                .contains("authorization: bearer secret")
        );
        assert!(!error.to_string().contains("secret"));
    }
}
