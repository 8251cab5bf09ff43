//! A chat service that answers with exactly the bytes that a test says, by what it was asked.

use std::io;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// An answer.
#[derive(Clone)]
pub(super) enum Answer {
    /// Status 200 and this body, whole.
    Body(String),
    /// Status 200 and this body, then the connection breaks.
    Cut(String),
    /// Status 200 and this body, and then nothing more, without an end.
    Open(String),
    /// This status and body.
    Refusal(u16, String),
}

/// A running service; stops when dropped.
pub(super) struct Service {
    pub(super) base_url: String,
    asked: Arc<Mutex<Vec<Value>>>,
    accepting: JoinHandle<()>,
}

impl Service {
    /// Answers each streamed chat request with `answer`, and what the memory asks with nothing to remember.
    pub(super) async fn start(answer: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        Self::for_all(
            move |body| match body["response_format"].is_null() && !is_extraction(body) {
                true => answer(body),
                false => Answer::Body(whole("{\"memories\":[]}")),
            },
        )
        .await
    }

    /// Answers each chat request with `answer`.
    pub(super) async fn for_all(answer: impl Fn(&Value) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base_url = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let asked: Arc<Mutex<Vec<Value>>> = Arc::default();
        let (answer, bodies) = (Arc::new(answer), asked.clone());
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (answer, bodies) = (answer.clone(), bodies.clone());
                connections.spawn(async move {
                    // The client may close at any time.
                    serve(stream, &*answer, &bodies).await.ok();
                });
            }
        });
        Self {
            base_url,
            asked,
            accepting,
        }
    }

    /// The bodies of all requests of conversations, in order.
    pub(super) fn asked(&self) -> Vec<Value> {
        let asked = self.asked.lock().expect("a test failed");
        let asked = asked.iter().filter(|body| !is_extraction(body));
        asked.cloned().collect()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn is_extraction(body: &Value) -> bool {
    let first = body["messages"][0]["content"].as_str().unwrap_or_default();
    !body["response_format"].is_null() || first.contains("JSON schema")
}

async fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&Value) -> Answer + Send + Sync),
    asked: &Mutex<Vec<Value>>,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    while let Some((line, body)) = read_request(&mut stream).await? {
        if !line.contains("/chat/completions") {
            stream.write_all(&response(200, "{}")).await?;
            continue;
        }
        let body: Value = serde_json::from_slice(&body)?;
        asked.lock().expect("a test failed").push(body.clone());
        let (answer, is_cut, is_open) = match answer(&body) {
            Answer::Body(body) => (response(200, &body), false, false),
            Answer::Refusal(status, body) => (response(status, &body), false, false),
            Answer::Cut(body) => (chunk(&body), true, false),
            Answer::Open(body) => (chunk(&body), false, true),
        };
        stream.write_all(&answer).await?;
        if is_open {
            let mut rest = Vec::new();
            stream.read_to_end(&mut rest).await?;
        }
        if is_cut || is_open {
            return stream.shutdown().await;
        }
    }
    Ok(())
}

async fn read_request(stream: &mut TcpStream) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return Ok(None),
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let length = head.to_ascii_lowercase();
    let length = length
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = length.map_or(0, |length| length.trim().parse().expect("a number"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let line = head.lines().next().unwrap_or_default().to_owned();
    Ok(Some((line, body)))
}

/// Services label streams in many ways; the bytes count.
fn response(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "HTTP/1.1 {status} X\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// The head of an answer without an end, and one piece of it.
fn chunk(body: &str) -> Vec<u8> {
    let length = body.len();
    let head =
        "HTTP/1.1 200 X\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    format!("{head}{length:x}\r\n{body}\r\n").into_bytes()
}

/// Events of a stream.
pub(super) fn events(pieces: &[&str]) -> String {
    pieces
        .iter()
        .map(|piece| format!("data: {piece}\n\n"))
        .collect()
}

/// A whole stream that says `text`.
pub(super) fn says(text: &str) -> Answer {
    let piece =
        json!({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": "stop"}]});
    Answer::Body(events(&[&piece.to_string(), "[DONE]"]))
}

/// A whole stream that calls a tool.
pub(super) fn calls(call: &Value) -> Answer {
    let piece = json!({"choices": [{"index": 0, "delta": {"tool_calls": [call]}}]});
    Answer::Body(events(&[&piece.to_string(), "[DONE]"]))
}

/// A completion in one piece.
pub(super) fn whole(text: &str) -> String {
    json!({"choices": [{"message": {"role": "assistant", "content": text}}]}).to_string()
}

/// A refusal that names nothing.
pub(super) fn bad_request() -> Answer {
    let body = json!({"error": {"message": "Bad Request", "type": "invalid_request_error"}});
    Answer::Refusal(400, body.to_string())
}

/// The last message of a request.
pub(super) fn last(body: &Value) -> &Value {
    let messages = body["messages"].as_array().expect("messages");
    messages.last().expect("at least one message")
}
