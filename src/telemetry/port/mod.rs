//! The HTTP port: accepts connections and bounds their number and their time. `connections.rs` chooses
//! which connection gives way when there are too many.
//!
//! Time is bounded three times: a request's head has to arrive (hyper), the answer has to be ready,
//! and the client has to read it. The last bound also holds if the others should fail.

mod connections;
mod metrics;

use std::convert::Infallible;
use std::io::{Error, ErrorKind};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::rt::{Read, Write};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use self::connections::{Connections, Entry, Phase};
pub(super) use self::metrics::PortCollector;

/// A client has this long to send the head of a request, also of the next one on its connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// A request has this long until its answer is ready, its body included: three times what the slowest
/// answer takes, a dispatch that LiveKit's server does not answer (`dispatch/elsewhere.rs`).
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection on which nothing has changed for this long is closed: its client does not read.
const STALL_TIMEOUT: Duration = Duration::from_secs(40);

/// How long requests may go on after the end.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Connections that gave way and whose tasks have not noticed yet.
const GIVING_WAY_MAX: usize = 32;

/// Pauses after an accept that failed; each is twice the last one.
const ACCEPT_DELAY_MIN: Duration = Duration::from_millis(20);
const ACCEPT_DELAY_MAX: Duration = Duration::from_secs(1);

/// A port that is full says so this often.
const FULL_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// Longest head of a request that is read: cookies and tokens fit many times.
const HEAD_BYTES_MAX: usize = 64 * 1024;

/// Why a connection was refused or closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PortRefusal {
    /// It gave way to another one.
    Displaced,
    /// No other connection gave way to it.
    Full,
    /// Its client took too long.
    Timeout,
    /// The system did not hand it over, as when there are no descriptors left.
    NotAccepted,
}

impl PortRefusal {
    const ALL: [Self; 4] = [
        Self::Displaced,
        Self::Full,
        Self::Timeout,
        Self::NotAccepted,
    ];

    /// The label in metrics.
    const fn label(self) -> &'static str {
        match self {
            Self::Displaced => "displaced",
            Self::Full => "full",
            Self::Timeout => "timeout",
            Self::NotAccepted => "not_accepted",
        }
    }
}

/// The connections of the port and what became of the others. Clones share both.
#[derive(Clone, Debug)]
pub(super) struct PortState(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    connections_max: usize,
    connections: Mutex<Connections>,
    refused: [AtomicU64; PortRefusal::ALL.len()],
}

impl PortState {
    pub(super) fn new(connections_max: usize) -> Self {
        Self(Arc::new(Shared {
            connections_max,
            connections: Mutex::new(Connections::new(connections_max)),
            refused: Default::default(),
        }))
    }

    fn connections_max(&self) -> usize {
        self.0.connections_max
    }

    fn n_connections(&self) -> usize {
        self.connections().len()
    }

    /// Connections that were refused or closed for this reason.
    fn refused(&self, why: PortRefusal) -> u64 {
        self.0.refused[why as usize].load(Ordering::Relaxed)
    }

    fn refuse(&self, why: PortRefusal) {
        self.0.refused[why as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn connections(&self) -> MutexGuard<'_, Connections> {
        let connections = self.0.connections.lock();
        connections.unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a connection in, if there is or can be made room for it.
    fn open(&self, peer: SocketAddr) -> Option<OpenConnection> {
        let displaced = CancellationToken::new();
        let source = peer.ip().into();
        let entry = self
            .connections()
            .open(source, displaced.clone(), Instant::now());
        let Entry::Open { id, has_displaced } = entry else {
            self.refuse(PortRefusal::Full);
            return None;
        };
        if has_displaced {
            self.refuse(PortRefusal::Displaced);
        }
        Some(OpenConnection {
            state: self.clone(),
            id,
            peer,
            displaced,
        })
    }
}

/// An open connection; dropping it makes room.
struct OpenConnection {
    state: PortState,
    id: u64,
    peer: SocketAddr,
    displaced: CancellationToken,
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.state.connections().close(self.id);
    }
}

/// Accepts connections until `stop`, then lets the requests that are being answered end.
///
/// Cancel safety: dropping the future closes the port and every connection.
pub(super) async fn serve(
    listener: TcpListener,
    routes: Router,
    state: PortState,
    stop: CancellationToken,
) {
    let mut tasks = JoinSet::new();
    let mut accept_delay = ACCEPT_DELAY_MIN;
    let mut full_logged_at: Option<Instant> = None;
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = tasks.join_next() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                accept_delay = ACCEPT_DELAY_MIN;
                let is_full = state.n_connections() >= state.connections_max();
                if is_full && full_logged_at.is_none_or(|at| at.elapsed() > FULL_LOGGED_EVERY) {
                    full_logged_at = Some(Instant::now());
                    let connections_max = state.connections_max();
                    tracing::warn!(
                        connections_max,
                        "the HTTP port is full: connections give way"
                    );
                }
                if let Some(connection) = state.open(peer) {
                    let (routes, stop) = (routes.clone(), stop.clone());
                    tasks.spawn(connection.serve(io(stream), routes, stop));
                }
                // A connection that gave way is open until its task has run, and a flood must not
                // outrun the tasks.
                while tasks.len() > state.connections_max() + GIVING_WAY_MAX {
                    tasks.join_next().await;
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                state.refuse(PortRefusal::NotAccepted);
                if accept_delay == ACCEPT_DELAY_MIN {
                    tracing::warn!(%error, "the HTTP port cannot accept connections");
                }
                // The connection stays in the system's queue: accepting at once would fail at once.
                tokio::select! {
                    () = stop.cancelled() => break,
                    () = sleep(accept_delay) => {}
                }
                accept_delay = (accept_delay * 2).min(ACCEPT_DELAY_MAX);
            }
        }
    }
    drop(listener);
    let all_ended = async { while tasks.join_next().await.is_some() {} };
    if timeout(DRAIN_TIMEOUT, all_ended).await.is_err() {
        tracing::debug!("HTTP requests were cut off");
    }
}

/// The client's going away is no trouble of the port's.
fn is_of_one_connection(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::ConnectionRefused
    )
}

fn io(stream: TcpStream) -> TokioIo<TcpStream> {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY is not set");
    }
    TokioIo::new(stream)
}

impl OpenConnection {
    /// Answers requests until either side ends the connection, or it gives way or stalls.
    async fn serve(
        self,
        io: impl Read + Write + Unpin + Send + 'static,
        routes: Router,
        stop: CancellationToken,
    ) {
        let service = service_fn(|request: Request<Incoming>| self.answer(request, routes.clone()));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(HEAD_BYTES_MAX)
            .serve_connection(io, service);
        let mut connection = std::pin::pin!(connection);
        let mut is_ending = false;
        while let Some(stalls_at) = self.stalls_at() {
            tokio::select! {
                ended = connection.as_mut() => {
                    if ended.is_err_and(|error| error.is_timeout()) && !self.is_idle() {
                        self.state.refuse(PortRefusal::Timeout);
                    }
                    return;
                }
                () = self.displaced.cancelled() => return,
                () = stop.cancelled(), if !is_ending => {
                    connection.as_mut().graceful_shutdown();
                    is_ending = true;
                }
                () = sleep_until(stalls_at) => {
                    if self.stalls_at().is_none_or(|at| at <= Instant::now()) {
                        self.state.refuse(PortRefusal::Timeout);
                        return;
                    }
                }
            }
        }
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        routes: Router,
    ) -> Result<Response, Infallible> {
        self.set_phase(Phase::Serving);
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(self.peer));
        let response = match timeout(REQUEST_TIMEOUT, routes.oneshot(request)).await {
            Ok(response) => response,
            Err(_) => {
                let why = "the request took longer than 30 s\n";
                Ok((StatusCode::REQUEST_TIMEOUT, why).into_response())
            }
        };
        self.set_phase(Phase::Idle);
        response
    }

    fn set_phase(&self, phase: Phase) {
        let now = Instant::now();
        self.state.connections().set_phase(self.id, phase, now);
    }

    fn is_idle(&self) -> bool {
        self.state.connections().phase(self.id) == Some(Phase::Idle)
    }

    fn stalls_at(&self) -> Option<Instant> {
        let since = self.state.connections().since(self.id)?;
        Some(since + STALL_TIMEOUT)
    }
}

#[cfg(test)]
mod tests;
