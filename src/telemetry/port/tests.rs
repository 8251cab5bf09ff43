//! Connections over pipes in memory, in virtual time.

use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;

/// Bytes that a pipe holds: less than the long answer.
const PIPE_BYTES: usize = 16 * 1024;

/// A port with one connection.
struct Test {
    state: PortState,
    client: DuplexStream,
    served: JoinHandle<()>,
    stop: CancellationToken,
    began: Instant,
}

fn connected() -> Test {
    let routes = Router::new()
        .route("/", get(async || "OK"))
        .route("/slow", get(async || sleep(Duration::from_secs(1)).await))
        .route("/long", get(async || "x".repeat(1 << 20)))
        .route("/body", post(async |body: String| body));
    let state = PortState::new(1);
    let peer = "127.0.0.1:1".parse().unwrap();
    let connection = state.open(peer).unwrap();
    let (client, server) = duplex(PIPE_BYTES);
    let stop = CancellationToken::new();
    let served = connection.serve(TokioIo::new(server), routes, stop.clone());
    Test {
        state,
        client,
        served: tokio::spawn(served),
        stop,
        began: Instant::now(),
    }
}

impl Test {
    async fn send(&mut self, text: &str) {
        self.client.write_all(text.as_bytes()).await.unwrap();
    }

    /// All that comes until the connection is closed.
    async fn rest(&mut self) -> String {
        let mut text = String::new();
        self.client.read_to_string(&mut text).await.unwrap();
        text
    }

    /// The head of the next answer and what came with it.
    async fn answer(&mut self) -> String {
        let mut chunk = [0; 1024];
        let n_bytes = self.client.read(&mut chunk).await.unwrap();
        String::from_utf8_lossy(&chunk[..n_bytes]).into_owned()
    }

    fn seconds(&self) -> u64 {
        self.began.elapsed().as_secs()
    }
}

#[tokio::test(start_paused = true)]
async fn half_a_head_is_waited_for_10_seconds() {
    let mut test = connected();
    test.send("GET / HTTP/1.1\r\nHost: a\r\n").await;
    test.rest().await;
    assert_eq!(test.seconds(), 10);
    test.served.await.unwrap();
    assert_eq!(test.state.n_connections(), 0);
    assert_eq!(test.state.refused(PortRefusal::Timeout), 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_used_again_and_closed_after_10_seconds() {
    let mut test = connected();
    for _ in 0..3 {
        test.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert!(test.answer().await.starts_with("HTTP/1.1 200"));
        sleep(Duration::from_secs(9)).await;
    }
    assert_eq!(test.rest().await, "");
    assert_eq!(test.seconds(), 28, "10 s after the last request");
    assert_eq!(
        test.state.refused(PortRefusal::Timeout),
        0,
        "that is no fault"
    );
}

#[tokio::test(start_paused = true)]
async fn half_a_body_is_waited_for_30_seconds() {
    let mut test = connected();
    let head = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n";
    test.send(head).await;
    let dripping = async {
        loop {
            sleep(Duration::from_secs(1)).await;
            // Fails when the port has closed its side; what it said before can still be read.
            test.client.write_all(b"x").await.ok();
            if let Ok(answer) = timeout(Duration::ZERO, test.answer()).await {
                return answer;
            }
        }
    };
    assert!(dripping.await.starts_with("HTTP/1.1 408"));
    assert!((30..=31).contains(&test.seconds()), "{}", test.seconds());
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_read_is_dropped() {
    let mut test = connected();
    test.send("GET /long HTTP/1.1\r\nHost: a\r\n\r\n").await;
    (&mut test.served).await.unwrap();
    assert_eq!(test.seconds(), 40);
    assert_eq!(test.state.refused(PortRefusal::Timeout), 1);
    assert_eq!(test.state.n_connections(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_end_closes_idle_connections_and_lets_requests_be_answered() {
    let mut idle = connected();
    idle.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    idle.answer().await;
    idle.stop.cancel();
    assert_eq!(idle.rest().await, "");

    let mut busy = connected();
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n").await;
    sleep(Duration::from_millis(500)).await;
    busy.stop.cancel();
    assert!(busy.rest().await.starts_with("HTTP/1.1 200"));
    assert_eq!(busy.seconds(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_gives_way_at_once_and_the_next_is_counted() {
    let mut test = connected();
    let next = test.state.open("127.0.0.1:2".parse().unwrap()).unwrap();
    assert_eq!(test.rest().await, "");
    test.served.await.unwrap();
    assert_eq!(test.state.n_connections(), 1, "the new one");
    assert_eq!(test.state.refused(PortRefusal::Displaced), 1);
    next.set_phase(Phase::Serving);
    assert!(test.state.open("127.0.0.1:3".parse().unwrap()).is_none());
    assert_eq!(test.state.refused(PortRefusal::Full), 1);
}
