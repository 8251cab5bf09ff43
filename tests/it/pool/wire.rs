//! A server that answers byte by byte as a test says: for what well-behaved servers never do.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// What happens next on a connection.
pub(crate) enum Step {
    /// These bytes go out at once, in a piece of their own.
    Send(Vec<u8>),
    /// The connection closes.
    Close,
    /// Nothing more is sent until the client closes.
    Stall,
}

/// A running server; stops when dropped.
pub(crate) struct Wire {
    pub(crate) base_url: String,
    counts: Arc<Counts>,
    closed: watch::Receiver<usize>,
    accepting: JoinHandle<()>,
}

#[derive(Default)]
struct Counts {
    accepted: AtomicUsize,
    requests: AtomicUsize,
    /// What each request began with.
    heads: Mutex<Vec<String>>,
}

impl Wire {
    /// Answers the n-th request (from 0, over all connections) with `script(n)`.
    pub(crate) async fn start(script: impl Fn(usize) -> Vec<Step> + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/v1", listener.local_addr().unwrap());
        let counts = Arc::new(Counts::default());
        let (closed_sender, closed) = watch::channel(0);
        let (script, counted) = (Arc::new(script), counts.clone());
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                counted.accepted.fetch_add(1, Ordering::SeqCst);
                let (script, counted) = (script.clone(), counted.clone());
                let closed_sender = closed_sender.clone();
                connections.spawn(async move {
                    // However the connection ends is what the test is about.
                    serve(stream, &*script, &counted).await.ok();
                    closed_sender.send_modify(|closed| *closed += 1);
                });
            }
        });
        Self {
            base_url,
            counts,
            closed,
            accepting,
        }
    }

    pub(crate) fn accepted(&self) -> usize {
        self.counts.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn requests(&self) -> usize {
        self.counts.requests.load(Ordering::SeqCst)
    }

    /// Requests to an address that ends like this: those of the health monitor go elsewhere.
    pub(crate) fn requests_to(&self, path: &str) -> usize {
        let heads = self.counts.heads.lock().unwrap();
        let lines = heads.iter().filter_map(|head| head.lines().next());
        lines.filter(|line| line.contains(path)).count()
    }

    /// The request line and headers of the n-th request.
    pub(crate) fn head(&self, number: usize) -> String {
        self.counts.heads.lock().unwrap()[number].clone()
    }

    /// Waits until so many connections were closed, by whichever side.
    pub(crate) async fn closed(&self, count: usize) {
        let mut closed = self.closed.clone();
        tokio::time::timeout(
            super::stages::SOON,
            closed.wait_for(|closed| *closed >= count),
        )
        .await
        .expect("the connection is still open")
        .unwrap();
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    script: &(dyn Fn(usize) -> Vec<Step> + Send + Sync),
    counts: &Counts,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some(head) = read_request(&mut stream).await? {
        counts.heads.lock().unwrap().push(head);
        let number = counts.requests.fetch_add(1, Ordering::SeqCst);
        for step in script(number) {
            match step {
                Step::Send(bytes) => {
                    stream.write_all(&bytes).await?;
                    stream.flush().await?;
                    // Lets the piece leave before the next is written.
                    tokio::task::yield_now().await;
                }
                Step::Close => return stream.shutdown().await,
                Step::Stall => {
                    let mut rest = Vec::new();
                    stream.read_to_end(&mut rest).await?;
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Reads one request with its body and returns its head; `None` when the client closed instead.
pub(super) async fn read_request(stream: &mut TcpStream) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) if head.is_empty() => return Ok(None),
            Err(error) => return Err(error),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head
        .to_ascii_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .map_or(0, |length| length.trim().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    Ok(Some(head))
}

/// A complete answer.
pub(crate) fn answer(status: &str, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    vec![Step::Send(
        format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}")
            .into_bytes(),
    )]
}

/// A transcription.
pub(crate) fn transcript(text: &str) -> Vec<Step> {
    let body = format!("{{\"text\":\"{text}\"}}");
    answer("200 OK", "content-type: application/json\r\n", &body)
}

/// The head of a streamed answer.
pub(crate) fn head(content_type: &str) -> Step {
    Step::Send(
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
        )
        .into_bytes(),
    )
}

/// A piece of a streamed answer.
pub(crate) fn piece(bytes: &[u8]) -> Step {
    let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    Step::Send(chunk)
}

/// The regular end of a streamed answer.
pub(crate) fn end() -> Step {
    Step::Send(b"0\r\n\r\n".to_vec())
}

/// One event of a chat stream with some text.
pub(crate) fn said(text: &str) -> Step {
    piece(
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n").as_bytes(),
    )
}

/// The last events of a chat stream.
pub(crate) fn stop() -> Step {
    piece(b"data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n")
}

/// A whole chat stream.
pub(crate) fn chat(text: &str) -> Vec<Step> {
    vec![head("text/event-stream"), said(text), stop(), end()]
}
