//! One WebSocket and its session: what comes in, what was made, what goes out.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, Utf8Bytes, WebSocket};
use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::event::Refusal;
use super::session::Session;
use super::settings::Settings;
use crate::faults::FaultKind;
use crate::routes::{App, Connection};

/// How long a session may last.
///
/// Source: OpenAI's guide, "Managing conversations": 60 minutes.
const SESSION_MAX: Duration = Duration::from_secs(3600);
/// Messages that wait while the client does not take what it is told: some seconds of sound.
const MESSAGES_MAX: usize = 512;
/// Gives events time to leave: breaking a connection drops what was not sent yet.
const FLUSH: Duration = Duration::from_millis(30);

/// Serves a session until either side ends it, or the server stops.
pub(super) async fn run(
    app: Arc<App>,
    socket: WebSocket,
    settings: Settings,
    fault: Option<FaultKind>,
    connection: Option<Connection>,
) {
    let ends_at = Instant::now() + SESSION_MAX;
    let mut session = Session::new(app, settings);
    session.begin();
    let (mut socket, received) = socket.split();
    let (reading, mut messages) = mpsc::channel(MESSAGES_MAX);
    let mut reader = JoinSet::new();
    reader.spawn(read(received, reading));
    if begins_badly(&mut socket, &mut messages, fault).await {
        return;
    }
    loop {
        for event in session.take_events() {
            if socket.send(Message::text(event)).await.is_err() {
                return;
            }
        }
        if session.is_cut {
            tokio::time::sleep(FLUSH).await;
            return;
        }
        tokio::select! {
            message = messages.recv() => match message {
                Some(text) => session.on_client(&text),
                None => return,
            },
            made = session.made() => session.on_made(made),
            () = stopping(connection.as_ref()) => break,
            () = sleep_until(ends_at) => {
                let message = "Your session hit the maximum duration of 60 minutes.";
                let event = Refusal::new("session_expired", message).event(&Value::Null);
                socket.send(Message::text(event.to_string())).await.ok();
                break;
            }
        }
    }
    // A client that does not answer is left.
    socket.send(Message::Close(None)).await.ok();
}

/// A fault that a whole session was to have. True when it is over with that.
async fn begins_badly(
    socket: &mut SplitSink<WebSocket, Message>,
    messages: &mut mpsc::Receiver<Utf8Bytes>,
    fault: Option<FaultKind>,
) -> bool {
    match fault {
        Some(FaultKind::Cut) => true,
        Some(FaultKind::Stall) => {
            while messages.recv().await.is_some() {}
            true
        }
        Some(FaultKind::Malformed) => {
            socket
                .send(Message::text("{\"type\": \"session.cr"))
                .await
                .ok();
            false
        }
        _ => false,
    }
}

/// Reads on while the other side does not: both may have much to say at once.
async fn read(mut received: SplitStream<WebSocket>, messages: mpsc::Sender<Utf8Bytes>) {
    while let Some(Ok(message)) = received.next().await {
        let is_wanted = match message {
            Message::Text(text) => messages.send(text).await.is_ok(),
            Message::Close(_) => false,
            _ => true,
        };
        if !is_wanted {
            return;
        }
    }
}

async fn stopping(connection: Option<&Connection>) {
    match connection {
        Some(connection) => connection.stopping().await,
        None => std::future::pending().await,
    }
}
