//! The way to the server: a registered connection, or the next try to get one, for ever.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::{Instant, sleep, sleep_until};

use super::backoff::Backoff;
use super::config::{Config, ServerConfig};
use super::connection::{ConnectError, Connection, Received, Registration};
use super::proto::{Incoming, Outgoing};

/// How often we ping a server that is silent; it pings us as often.
const PING_INTERVAL: Duration = Duration::from_secs(10);

/// What happens on the way to the server.
pub(super) enum LinkEvent {
    /// A connection is registered.
    Up(Registration),
    /// The server said something.
    Message(Incoming),
    /// The connection is lost or could not be made; the next try is under way.
    Down(String),
}

type Opening = BoxFuture<'static, Result<(Connection, Registration), ConnectError>>;

enum Line {
    Opening(Opening),
    Open(Box<Open>),
    Broken(String),
}

struct Open {
    connection: Connection,
    since: Instant,
    last_heard: Instant,
    last_ping: Instant,
}

/// See the module.
pub(super) struct Link {
    server: Arc<ServerConfig>,
    config: Arc<Config>,
    backoff: Backoff,
    line: Line,
}

impl Link {
    /// Begins with the first try as soon as [`Link::next`] is awaited.
    pub(super) fn new(server: Arc<ServerConfig>, config: Arc<Config>) -> Self {
        let backoff = Backoff::new(config.reconnect_delay_min, config.reconnect_delay_max);
        let line = Line::Opening(open(&server, &config, Duration::ZERO));
        Self {
            server,
            config,
            backoff,
            line,
        }
    }

    /// What happens next. Never ends.
    ///
    /// Cancel safety: nothing is lost; a try under way goes on with the next call.
    pub(super) async fn next(&mut self) -> LinkEvent {
        loop {
            match &mut self.line {
                Line::Opening(opening) => {
                    let opened = opening.await;
                    return self.opened(opened);
                }
                Line::Open(open) => match open.next(self.config.silence_timeout).await {
                    Received::Message(message) => return LinkEvent::Message(message),
                    Received::Other => {}
                    Received::Closed(why) => self.line = Line::Broken(why),
                },
                Line::Broken(why) => {
                    let why = std::mem::take(why);
                    return self.lost(why);
                }
            }
        }
    }

    /// Sends a message, if there is a connection; one that breaks is reported by [`Link::next`].
    pub(super) async fn send(&mut self, message: &Outgoing) {
        if let Line::Open(open) = &mut self.line
            && let Err(why) = open.connection.send(message).await
        {
            self.line = Line::Broken(why);
        }
    }

    /// Gives the connection up; [`Link::next`] reports it and goes on with a new one.
    pub(super) fn reconnect(&mut self) {
        if matches!(self.line, Line::Open(_)) {
            self.line = Line::Broken("the server asks us to register again".to_owned());
        }
    }

    /// Closes the connection so that the server has read all that was sent.
    pub(super) async fn close(self) {
        if let Line::Open(open) = self.line {
            open.connection.close().await;
        }
    }

    fn opened(&mut self, opened: Result<(Connection, Registration), ConnectError>) -> LinkEvent {
        match opened {
            Ok((connection, registration)) => {
                let now = Instant::now();
                self.line = Line::Open(Box::new(Open {
                    connection,
                    since: now,
                    last_heard: now,
                    last_ping: now,
                }));
                LinkEvent::Up(registration)
            }
            Err(error) => {
                let delay = self.retry();
                let tries = self.backoff.failures();
                let retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                if error.needs_operator() {
                    tracing::error!(%error, tries, retry_ms, "cannot register with LiveKit");
                } else {
                    tracing::warn!(%error, tries, retry_ms, "cannot register with LiveKit");
                }
                LinkEvent::Down(error.to_string())
            }
        }
    }

    fn lost(&mut self, why: String) -> LinkEvent {
        let delay = self.retry();
        let retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(
            reason = why,
            retry_ms,
            "connection to LiveKit lost; jobs go on"
        );
        LinkEvent::Down(why)
    }

    fn retry(&mut self) -> Duration {
        let delay = self.backoff.after_failure(rand::random());
        self.line = Line::Opening(open(&self.server, &self.config, delay));
        delay
    }
}

impl Link {
    /// Takes note that the connection has held: the next loss starts with the shortest wait.
    pub(super) fn settle(&mut self) {
        if let Line::Open(open) = &self.line
            && open.since.elapsed() >= self.config.reconnect_delay_max
        {
            self.backoff.reset();
        }
    }
}

impl Open {
    async fn next(&mut self, silence_timeout: Duration) -> Received {
        let ping_at = self.last_ping.max(self.last_heard) + PING_INTERVAL;
        let dead_at = self.last_heard + silence_timeout;
        tokio::select! {
            received = self.connection.next() => {
                self.last_heard = Instant::now();
                received
            }
            () = sleep_until(ping_at.min(dead_at)) => {
                if Instant::now() >= dead_at {
                    let seconds = silence_timeout.as_secs();
                    return Received::Closed(format!("nothing heard for {seconds} s"));
                }
                self.last_ping = Instant::now();
                match self.connection.ping().await {
                    Ok(()) => Received::Other,
                    Err(why) => Received::Closed(why),
                }
            }
        }
    }
}

fn open(server: &Arc<ServerConfig>, config: &Arc<Config>, delay: Duration) -> Opening {
    let (server, config) = (Arc::clone(server), Arc::clone(config));
    Box::pin(async move {
        sleep(delay).await;
        Connection::open(&server, &config).await
    })
}
