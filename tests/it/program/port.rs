//! The HTTP port of the real program under hostile clients.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

use super::Started;
use crate::common::livekit::{API_KEY, API_SECRET};
use crate::common::{free_port, within};

/// The shortest environment of a worker whose LiveKit server does not exist.
fn variables(server_url: &str) -> Vec<(&str, &str)> {
    vec![
        ("LIVEKIT_URL", server_url),
        ("LIVEKIT_API_KEY", API_KEY),
        ("LIVEKIT_API_SECRET", API_SECRET),
        ("OPENAI_API_KEY", "unused"),
        ("VOXPOOL__HTTP__HOST", "127.0.0.1"),
    ]
}

fn nowhere() -> String {
    format!("ws://127.0.0.1:{}", free_port())
}

/// A connection from this address of the loopback network.
async fn connect_from(source: &str, port: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(format!("{source}:0").parse().unwrap()).unwrap();
    socket.connect(port).await.unwrap()
}

/// Sends a request as it stands and reads the status of its answer and the answer.
async fn ask(connection: &mut TcpStream, request: &str) -> (u16, String) {
    connection.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    within("an answer", async {
        loop {
            let n_bytes = connection.read_buf(&mut answer).await.unwrap();
            assert!(n_bytes > 0, "closed after {} bytes", answer.len());
            if is_whole(&answer) {
                break;
            }
        }
    })
    .await;
    let answer = String::from_utf8(answer).unwrap();
    let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
    (status, answer)
}

fn is_whole(answer: &[u8]) -> bool {
    let answer = String::from_utf8_lossy(answer);
    let Some((head, body)) = answer.split_once("\r\n\r\n") else {
        return false;
    };
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("content-length: ")?
            .parse()
            .ok()
    });
    length.is_none_or(|length: usize| body.len() >= length)
}

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
}

/// The value of this row of the metrics page.
fn row(page: &str, name: &str) -> f64 {
    let line = page
        .lines()
        .find(|line| line.starts_with(&format!("{name} ")));
    let line = line.unwrap_or_else(|| panic!("{name} not in\n{page}"));
    line[name.len() + 1..].parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_open_connections_shut_nobody_out() {
    voxpool::host::raise_descriptor_limit();
    let nowhere = nowhere();
    let worker = Started::limited("1024:1024", &variables(&nowhere)).await;
    let port = worker.address();

    let mut operator = connect_from("127.0.0.1", port).await;
    assert_eq!(ask(&mut operator, &get("/")).await.0, 503);
    let mut half_open = Vec::new();
    for source in ["127.0.0.2", "127.0.0.3"] {
        for _ in 0..550 {
            let mut connection = connect_from(source, port).await;
            // A connection that the port has closed already is as good.
            connection.write_all(b"GET / HTTP/1.1\r\n").await.ok();
            half_open.push(connection);
        }
    }

    let mut probe = connect_from("127.0.0.1", port).await;
    assert_eq!(ask(&mut probe, &get("/")).await.0, 503, "a new probe");
    let (status, page) = ask(&mut operator, &get("/metrics")).await;
    assert_eq!(status, 200, "the operator's connection goes on");
    assert!(
        row(&page, "voice_agent_http_port_connections") <= 256.0,
        "{page}"
    );
    let displaced = "voice_agent_http_port_refused_total{reason=\"displaced\"}";
    assert!(row(&page, displaced) >= 800.0, "{page}");

    // Also a probe whose address is the flood's own is answered.
    for _ in 0..300 {
        half_open.push(connect_from("127.0.0.1", port).await);
    }
    let mut probe = connect_from("127.0.0.1", port).await;
    assert_eq!(
        ask(&mut probe, &get("/")).await.0,
        503,
        "a probe in the flood"
    );

    let closed = async {
        for connection in &mut half_open {
            while connection
                .read(&mut [0; 1024])
                .await
                .is_ok_and(|n_bytes| n_bytes > 0)
            {}
        }
    };
    within("the port closes every half-open connection", closed).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_of_this_machine_too() {
    let nowhere = nowhere();
    let mut variables = variables(&nowhere);
    variables.push(("VOXPOOL_HTTP_TOKEN", "a-token-of-16-characters"));
    let worker = Started::with(&variables).await;
    let mut connection = connect_from("127.0.0.1", worker.address()).await;

    assert_eq!(
        ask(&mut connection, &get("/")).await.0,
        503,
        "probes need none"
    );
    for path in ["/metrics", "/worker", "/pool"] {
        assert_eq!(ask(&mut connection, &get(path)).await.0, 401, "{path}");
        let with = "Host: 127.0.0.1\r\nAuthorization: Bearer a-token-of-16-characters";
        let request = get(path).replace("Host: 127.0.0.1", with);
        assert_eq!(ask(&mut connection, &request).await.0, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_on_this_machine_passes_on_is_not_of_this_machine() {
    let nowhere = nowhere();
    let worker = Started::with(&variables(&nowhere)).await;
    let port = worker.address();
    let pool = format!("GET /pool HTTP/1.1\r\nHost: {port}\r\n\r\n");
    let asked = |request: String| async move {
        ask(&mut connect_from("127.0.0.1", port).await, &request)
            .await
            .0
    };
    assert_eq!(asked(pool.clone()).await, 200);
    // The head that nginx sends for `proxy_pass http://127.0.0.1:8081;`.
    let nginx = pool
        .replace("HTTP/1.1", "HTTP/1.0")
        .replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n");
    assert_eq!(asked(nginx).await, 401);
    for header in [
        "Via: 1.1 proxy",
        "X-Forwarded-Proto: https",
        "X-Envoy-Internal: true",
        "Origin: https://evil.example",
    ] {
        let request = pool.replace("\r\n\r\n", &format!("\r\n{header}\r\n\r\n"));
        assert_eq!(asked(request).await, 401, "{header}");
    }
    // A sidecar hands on the name or address that its client asked for.
    let sidecar = pool.replace(&port.to_string(), "10.1.2.3:8081");
    assert_eq!(asked(sidecar).await, 401);
}
