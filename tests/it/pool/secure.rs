//! The program itself, whose WebSockets go over TLS and through a proxy.

use std::net::SocketAddr;
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use real_parts::tls::{Door, make_certificate};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;

use super::aimock::Aimock;
use crate::common::livekit::{API_KEY, API_SECRET};
use crate::common::{eventually, free_port};
use crate::program::voxpool;

/// What became of opening WebSockets, as `GET /pool` tells, and the kinds of all errors.
async fn opened(variables: &[(&str, &str)], directory: &TempDir) -> (Value, Value) {
    let (port, nowhere) = (free_port().to_string(), free_port());
    let livekit = format!("ws://127.0.0.1:{nowhere}");
    let mut all = vec![
        ("LIVEKIT_URL", livekit.as_str()),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("OPENAI_API_KEY", "unused"),
        ("VOXPOOL__STT__MODE", "realtime"),
        ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
        ("VOXPOOL__MEMORY__STORE", "none"),
        ("VOXPOOL__POOL__PREWARM_CONNECTIONS", "1"),
    ];
    all.extend(variables);
    let mut worker = voxpool(&["start", "--port", &port], &all, directory)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let seen = eventually("a WebSocket is opened, or not", async || {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/pool")).await;
        let stats: Value = serde_json::from_str(&answer.ok()?.text().await.ok()?).ok()?;
        let services = stats["services"].as_array()?;
        let openai = services.iter().find(|it| it["service"] == "openai")?;
        let opening = openai["operations"]["transcription.connect"].clone();
        let is_settled = opening["errors"] != 0 || !opening["latency"]["p50_ms"].is_null();
        (opening.is_object() && is_settled).then(|| (opening, openai["errors"].clone()))
    })
    .await;
    worker.kill().await.expect("the program ends");
    seen
}

/// Aimock's Realtime server behind a door with TLS.
async fn behind_a_door(certificates: &TempDir) -> (Aimock, Door, String) {
    let server = Aimock::with(r#"{"fixtures":[]}"#).await.expect("aimock");
    let address = server.base_url.trim_start_matches("http://");
    let address = address.trim_end_matches("/v1");
    let address: SocketAddr = address.parse().expect("an address");
    let door = Door::open(certificates.path(), address).await;
    let base_url = format!("https://{}/v1", door.address);
    (server, door, base_url)
}

/// A proxy for CONNECT, and the heads of the requests that it got.
struct Proxy {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
    _task: AbortOnDropHandle<()>,
}

impl Proxy {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::<Mutex<Vec<String>>>::default();
        let noted = Arc::clone(&heads);
        let task = tokio::spawn(async move {
            while let Ok((inside, _)) = listener.accept().await {
                tokio::spawn(pass(inside, Arc::clone(&noted)));
            }
        });
        Self {
            address,
            heads,
            _task: AbortOnDropHandle::new(task),
        }
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().expect("no panic while noting").clone()
    }
}

async fn pass(inside: TcpStream, heads: Arc<Mutex<Vec<String>>>) -> Option<()> {
    let mut inside = BufReader::new(inside);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        inside.read_line(&mut head).await.ok().filter(|n| *n > 0)?;
    }
    let to = head.split(' ').nth(1)?.to_owned();
    heads.lock().expect("no panic while noting").push(head);
    let mut outside = TcpStream::connect(to).await.ok()?;
    let answer = b"HTTP/1.1 200 Connection established\r\n\r\n";
    inside.write_all(answer).await.ok()?;
    copy_bidirectional(&mut inside, &mut outside).await.ok()?;
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_goes_over_tls_to_whom_the_certificates_trust() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = make_certificate(directory.path());
    let certificate = certificate.to_str().expect("plain characters");
    let (_server, door, base_url) = behind_a_door(&directory).await;
    let trusting = [
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("SSL_CERT_FILE", certificate),
    ];
    let (opening, errors) = opened(&trusting, &directory).await;
    assert_eq!(opening["errors"], 0, "{errors}");
    assert!(door.accepted() >= 1);

    let other = tempfile::tempdir().expect("a temporary directory");
    let strangers = make_certificate(other.path());
    let strict = [
        ("OPENAI_BASE_URL", base_url.as_str()),
        (
            "SSL_CERT_FILE",
            strangers.to_str().expect("plain characters"),
        ),
    ];
    let (opening, errors) = opened(&strict, &directory).await;
    assert!(opening["errors"].as_u64() >= Some(1), "{opening}");
    assert!(errors["unavailable"].as_u64() >= Some(1), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_websocket_takes_the_proxy_of_the_environment() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let certificate = make_certificate(directory.path());
    let certificate = certificate.to_str().expect("plain characters");
    let (server, door, base_url) = behind_a_door(&directory).await;
    let proxy = Proxy::start().await;
    let address = format!("http://me:secret@{}", proxy.address);
    for (base_url, variable) in [
        (base_url.as_str(), "HTTPS_PROXY"),
        (server.base_url.as_str(), "http_proxy"),
    ] {
        let n_before = proxy.heads().len();
        let variables = [
            ("OPENAI_BASE_URL", base_url),
            ("SSL_CERT_FILE", certificate),
            (variable, address.as_str()),
        ];
        let (opening, errors) = opened(&variables, &directory).await;
        assert_eq!(opening["errors"], 0, "{errors}");
        let accepted = door.accepted();
        let heads = proxy.heads();
        // Nothing came to the door by another way.
        assert!(accepted as usize <= heads.len(), "{heads:?}");
        let host = base_url.split('/').nth(2).expect("a host");
        let connect = format!("CONNECT {host} HTTP/1.1\r\n");
        let of_ours = heads[n_before..].iter().find(|it| it.starts_with(&connect));
        let of_ours = of_ours.unwrap_or_else(|| panic!("{heads:?}"));
        // "me:secret"
        assert!(of_ours.contains("Basic bWU6c2VjcmV0"), "{of_ours}");
    }
    let n_heads = proxy.heads().len();
    let excepted = [
        ("OPENAI_BASE_URL", base_url.as_str()),
        ("SSL_CERT_FILE", certificate),
        ("HTTPS_PROXY", address.as_str()),
        ("NO_PROXY", "127.0.0.1"),
    ];
    let (opening, errors) = opened(&excepted, &directory).await;
    assert_eq!(opening["errors"], 0, "{errors}");
    assert_eq!(proxy.heads().len(), n_heads);
    assert!(door.accepted() >= 2);
}
