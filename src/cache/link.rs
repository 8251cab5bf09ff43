//! The one connection to Redis: many commands share it, and nobody waits for it longer than a
//! command may take.
//!
//! ```text
//! Down ──a command, once the pause is over──▶ Connecting ──▶ Up ──broken or late──▶ Down
//!   ▲                                             │
//!   └──────────────── refused, too late ──────────┘
//! ```
//!
//! Why not the library's `ConnectionManager`: it lets commands wait while it reconnects, and its
//! connections can be neither counted nor closed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{AsyncConnectionConfig, Client, IntoConnectionInfo, RedisError, ServerErrorKind};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::stats::Counter;
use crate::error::ErrorKind;
use crate::pool::ConnectionStats;

/// TCP, TLS and the password together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Pause after a failure; doubles with each one that follows, up to the longest.
const PAUSE_MIN: Duration = Duration::from_millis(250);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Whether a text is an address of a Redis.
pub(super) fn is_address(url: &str) -> bool {
    (url.starts_with("redis://") || url.starts_with("rediss://"))
        && url.into_connection_info().is_ok()
}

/// A way to Redis; opened by the first command.
pub(super) struct Link {
    client: Client,
    /// How long a command may wait for a connection that is being opened.
    wait_max: Duration,
    state: watch::Sender<State>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// In a row: no connection, or no answer in time.
    failures: AtomicU32,
    opened: Counter,
    failed: Counter,
    used: Counter,
}

#[derive(Clone)]
enum State {
    Down {
        why: ErrorKind,
        retry_at: Instant,
    },
    Connecting {
        since: Instant,
    },
    Up {
        connection: MultiplexedConnection,
        since: Instant,
    },
    Closed,
}

impl Link {
    /// Opens nothing yet.
    pub(super) fn new(url: &str, wait_max: Duration) -> Result<Arc<Self>, RedisError> {
        let info = url.into_connection_info()?;
        let info = info.set_tcp_settings(TcpSettings::default().set_nodelay(true));
        let state = State::Down {
            why: ErrorKind::Unavailable,
            retry_at: Instant::now(),
        };
        Ok(Arc::new(Self {
            client: Client::open(info)?,
            wait_max,
            state: watch::Sender::new(state),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
            failures: AtomicU32::new(0),
            opened: Counter::default(),
            failed: Counter::default(),
            used: Counter::default(),
        }))
    }

    /// Runs a command. On a connection that turns out to be dead it is run once more, on a new one:
    /// a server that was restarted must not cost a value.
    pub(super) async fn run<T, Fut>(
        self: &Arc<Self>,
        command: impl Fn(MultiplexedConnection) -> Fut,
    ) -> Result<T, ErrorKind>
    where
        Fut: Future<Output = Result<T, RedisError>>,
    {
        let _running = self.tasks.token();
        let mut may_repeat = true;
        loop {
            let connection = self.connection().await?;
            let began = Instant::now();
            self.used.add();
            match command(connection).await {
                Ok(answer) => {
                    self.failures.store(0, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(error) if error.is_unrecoverable_error() => {
                    self.give_up(began);
                    if !std::mem::take(&mut may_repeat) {
                        return Err(kind_of(&error));
                    }
                }
                Err(error) => return Err(kind_of(&error)),
            }
        }
    }

    /// Gives up the connection that was there at `then`; the next command opens another. What waits
    /// for an answer on the old one goes on waiting.
    pub(super) fn give_up(&self, then: Instant) {
        self.take_down(then, || Duration::ZERO);
    }

    /// Gives up the connection that was there at `then` because an answer did not come in time; for
    /// a while no other is opened, as it would be no faster.
    pub(super) fn give_up_late(&self, then: Instant) {
        self.take_down(then, || self.next_pause());
    }

    fn take_down(&self, then: Instant, pause: impl FnOnce() -> Duration) {
        self.state.send_if_modified(|state| {
            let is_it = matches!(state, State::Up { since, .. } if *since <= then);
            if is_it {
                *state = State::Down {
                    why: ErrorKind::Unavailable,
                    retry_at: Instant::now() + pause(),
                };
            }
            is_it
        });
    }

    /// Ends everything; commands that run are waited for.
    pub(super) async fn close(&self) {
        self.stop.cancel();
        self.state.send_replace(State::Closed);
        self.tasks.close();
        self.tasks.wait().await;
    }

    pub(super) fn stats(&self) -> ConnectionStats {
        let opened = self.opened.get();
        let open = u64::from(matches!(*self.state.borrow(), State::Up { .. }));
        ConnectionStats {
            opened,
            reused: self.used.get().saturating_sub(opened),
            closed: Some(opened.saturating_sub(open)),
            open: Some(open),
            failed: self.failed.get(),
        }
    }

    /// The connection, opened if need be.
    ///
    /// While Redis is known to be away nobody waits: the error is then that of the last attempt. A
    /// connection that takes longer to open than a command may take counts as away.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<MultiplexedConnection, ErrorKind> {
        let mut states = self.state.subscribe();
        let mut has_waited = false;
        loop {
            let state = states.borrow_and_update().clone();
            match state {
                State::Up { connection, .. } => return Ok(connection),
                State::Closed => return Err(ErrorKind::Unavailable),
                State::Down { why, .. } if has_waited => return Err(why),
                State::Down { why, retry_at, .. } if Instant::now() < retry_at => return Err(why),
                State::Down { .. } => self.connect(),
                State::Connecting { since } => {
                    let until = since + self.wait_max;
                    if timeout_at(until, states.changed()).await.is_err() {
                        return Err(ErrorKind::Timeout);
                    }
                    has_waited = true;
                }
            }
        }
    }

    /// Begins to connect, unless somebody else has.
    fn connect(self: &Arc<Self>) {
        let is_ours = self.state.send_if_modified(|state| {
            let now = Instant::now();
            match *state {
                State::Down { retry_at, .. } if now >= retry_at => {
                    *state = State::Connecting { since: now };
                    true
                }
                _ => false,
            }
        });
        if is_ours {
            let link = Arc::clone(self);
            self.tasks.spawn(async move { link.try_once().await });
        }
    }

    async fn try_once(&self) {
        let (client, stop, runtime) = (self.client.clone(), self.stop.clone(), Handle::current());
        // For TLS the library reads the system's certificates from their files each time.
        let attempt = spawn_blocking(move || {
            // Answers are waited for by those who ask, as long as they like.
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(Some(CONNECT_TIMEOUT))
                .set_response_timeout(None);
            let attempt = client.get_multiplexed_async_connection_with_config(&config);
            runtime.block_on(stop.run_until_cancelled(attempt))
        });
        let outcome = match attempt.await {
            Ok(Some(Ok(connection))) => Ok(connection),
            Ok(Some(Err(error))) => Err(kind_of(&error)),
            Ok(None) => Err(ErrorKind::Unavailable),
            Err(_) => Err(ErrorKind::Rejected),
        };
        let now = Instant::now();
        let next = match outcome {
            Ok(connection) => {
                self.opened.add();
                State::Up {
                    connection,
                    since: now,
                }
            }
            Err(why) => {
                self.failed.add();
                State::Down {
                    why,
                    retry_at: now + self.next_pause(),
                }
            }
        };
        self.state.send_if_modified(|state| {
            let is_waiting = matches!(state, State::Connecting { .. });
            if is_waiting {
                *state = next;
            }
            is_waiting
        });
    }

    /// One more failure: the pause after it.
    fn next_pause(&self) -> Duration {
        pause(self.failures.fetch_add(1, Ordering::Relaxed))
    }
}

/// The pause after so many failures before this one.
fn pause(failures: u32) -> Duration {
    PAUSE_MIN
        .saturating_mul(1 << failures.min(16))
        .min(PAUSE_MAX)
}

/// What an error of the library means for who asked. Its text stays here: it can hold values.
fn kind_of(error: &RedisError) -> ErrorKind {
    use redis::ErrorKind as Kind;
    match error.kind() {
        Kind::AuthenticationFailed | Kind::Server(ServerErrorKind::NoPerm) => {
            ErrorKind::Unauthorized
        }
        Kind::Io if error.is_timeout() => ErrorKind::Timeout,
        Kind::Io
        | Kind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly,
        ) => ErrorKind::Unavailable,
        Kind::Parse | Kind::UnexpectedReturnType => ErrorKind::Malformed,
        _ if matches!(error.code(), Some("NOAUTH" | "WRONGPASS")) => ErrorKind::Unauthorized,
        _ => ErrorKind::Rejected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest() {
        assert_eq!(pause(0), PAUSE_MIN);
        assert_eq!(pause(1), PAUSE_MIN * 2);
        assert_eq!(pause(1000), PAUSE_MAX);
    }

    #[test]
    fn errors_say_who_has_to_act() {
        let kind = |kind| kind_of(&RedisError::from((kind, "text")));
        assert_eq!(
            kind(redis::ErrorKind::AuthenticationFailed),
            ErrorKind::Unauthorized
        );
        assert_eq!(kind(redis::ErrorKind::Io), ErrorKind::Unavailable);
        assert_eq!(kind(redis::ErrorKind::Parse), ErrorKind::Malformed);
        assert_eq!(kind(redis::ErrorKind::Extension), ErrorKind::Rejected);
    }
}
