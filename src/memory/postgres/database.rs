//! The connections to a Postgres server: how they are made, and what a statement may meet on them.

use std::str::FromStr;
use std::time::Duration;

use futures::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, PgPool, Postgres};
use tokio::time::timeout;

use super::SCHEMA_ADVICE;
use crate::error::{CallError, ErrorKind, Service};
use crate::memory::connections::Connections;
use crate::memory::refused::{Refused, from_sqlstate};
use crate::memory::{OpenError, PostgresConfig};
use crate::pool::ConnectionStats;

/// A connection that was idle this long is asked whether it is still there before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(5);
/// How long a connection may take to be closed in order, or to be given back.
const GOODBYE_MAX: Duration = Duration::from_secs(1);

const TLS_ADVICE: &str = "no TLS as DATABASE_URL asks for it: does the server have it (sslmode), and \
     is its certificate trusted (sslrootcert=/path/to/ca.pem)?";

/// What to do with a connection; made anew for every attempt.
pub(super) type Statement<T> =
    dyn for<'c> Fn(&'c mut PgConnection) -> BoxFuture<'c, sqlx::Result<T>> + Send + Sync;

/// A pool of connections to one database; opens none before it is asked.
pub(super) struct Database {
    pool: PgPool,
    connections: Connections,
    config: PostgresConfig,
}

impl Database {
    pub(super) fn new(config: &PostgresConfig) -> Result<Self, OpenError> {
        let options = connect_options(config)?;
        let connections = Connections::default();
        let (opened, reused) = (connections.clone(), connections.clone());
        let pool = PgPoolOptions::new()
            .max_connections(config.connections_max)
            .acquire_timeout(config.acquire_timeout)
            .idle_timeout(config.idle_timeout)
            .test_before_acquire(false)
            .after_connect(move |_, _| {
                opened.opened();
                Box::pin(std::future::ready(Ok(())))
            })
            .before_acquire(move |connection, idle| {
                let reused = reused.clone();
                Box::pin(async move {
                    if idle.idle_for > TRUSTED_IDLE {
                        connection.ping().await?;
                    }
                    reused.reused();
                    Ok(true)
                })
            })
            .connect_lazy_with(options);
        Ok(Self {
            pool,
            connections,
            config: config.clone(),
        })
    }

    pub(super) fn stats(&self) -> ConnectionStats {
        self.connections.stats(self.pool.size().into())
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }

    /// Runs a statement on a connection.
    pub(super) async fn attempt<T>(
        &self,
        operation: &'static str,
        statement: &Statement<T>,
    ) -> Result<T, CallError> {
        let acquired = self.pool.acquire().await;
        let connection = acquired.map_err(|error| self.not_connected(operation, error))?;
        let _in_use = self.connections.in_use();
        let mut lent = Lent(Some(connection));
        let connection = lent.0.as_mut().expect("it was just lent");
        let result = if self.config.pooler {
            self.in_transaction(connection, statement).await
        } else {
            statement(connection).await
        };
        let error = match result {
            Ok(value) => {
                lent.give_back();
                return Ok(value);
            }
            Err(error) => error,
        };
        if is_broken(&error) {
            // Its neighbours were most likely cut off with it.
            drop(lent);
            self.drop_idle().await;
        } else {
            lent.give_back();
        }
        Err(call_error(operation, error))
    }

    async fn in_transaction<T>(
        &self,
        connection: &mut PgConnection,
        statement: &Statement<T>,
    ) -> sqlx::Result<T> {
        let timeout_ms = self.config.statement_timeout.as_millis();
        let begin = format!(
            "BEGIN; SET LOCAL statement_timeout = {timeout_ms}; \
             SET LOCAL client_min_messages = warning"
        );
        let mut transaction = connection.begin_with(AssertSqlSafe(begin)).await?;
        let value = statement(&mut transaction).await?;
        transaction.commit().await?;
        Ok(value)
    }

    /// No connection: either all are in use, or none could be opened. sqlx tries again while a
    /// server refuses or is full, and reports only that the time was over.
    fn not_connected(&self, operation: &'static str, error: sqlx::Error) -> CallError {
        if matches!(error, sqlx::Error::PoolTimedOut) {
            let max = u64::from(self.config.connections_max);
            if self.connections.in_use_count() >= max {
                return CallError::new(Service::Postgres, operation, ErrorKind::Saturated).because(
                    Refused::new("", "all of memory.postgres.connections_max are in use"),
                );
            }
            self.connections.failed();
            let advice = "no connection could be opened: is the server running, and has it \
                          connections left?";
            return CallError::new(Service::Postgres, operation, ErrorKind::Unavailable)
                .because(Refused::new("", advice));
        }
        if !matches!(error, sqlx::Error::PoolClosed) {
            self.connections.failed();
        }
        call_error(operation, error)
    }

    /// Closes the connections that nobody uses.
    pub(super) async fn drop_idle(&self) {
        for _ in 0..self.pool.num_idle() {
            let Some(connection) = self.pool.try_acquire() else {
                return;
            };
            // One that does not close in time, or fails to, is gone all the same.
            drop(timeout(GOODBYE_MAX, connection.close()).await);
        }
    }
}

/// A connection while a statement has it. One that is dropped in between, as happens at a deadline,
/// is closed: the pool would wait for the rest of its answer, for ever if the network swallowed it.
struct Lent(Option<PoolConnection<Postgres>>);

impl Lent {
    /// The pool asks the server once more before it takes a connection back. sqlx does that in a
    /// task of its own, but without a limit: a place of the pool would be lost for as long as the
    /// network is silent.
    fn give_back(mut self) {
        if let Some(mut connection) = self.0.take() {
            tokio::spawn(timeout(GOODBYE_MAX, connection.return_to_pool()));
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

fn connect_options(config: &PostgresConfig) -> Result<PgConnectOptions, OpenError> {
    let options = PgConnectOptions::from_str(config.url.expose().trim())
        .map_err(|_| OpenError::DatabaseUrl)?
        .application_name("voxpool")
        .disable_statement_logging();
    Ok(if config.pooler {
        options.statement_cache_capacity(0).extra_float_digits(None)
    } else {
        let timeout = format!("{}ms", config.statement_timeout.as_millis());
        options.options([
            ("statement_timeout", timeout.as_str()),
            ("client_min_messages", "warning"),
        ])
    })
}

/// Never with the database's own words: they quote the row.
fn call_error(operation: &'static str, error: sqlx::Error) -> CallError {
    let new = |kind| CallError::new(Service::Postgres, operation, kind);
    match error {
        sqlx::Error::Database(error) => {
            let state = error.code().unwrap_or_default();
            from_sqlstate(Service::Postgres, operation, &state, SCHEMA_ADVICE)
        }
        // That is how a handshake fails.
        sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => {
            new(ErrorKind::Unavailable).because(Refused::new("", TLS_ADVICE))
        }
        sqlx::Error::Io(error) => new(ErrorKind::Unavailable).because(error),
        sqlx::Error::Tls(_) => new(ErrorKind::Unavailable).because(Refused::new("", TLS_ADVICE)),
        sqlx::Error::PoolClosed => {
            new(ErrorKind::Unavailable).because("the connections were closed")
        }
        sqlx::Error::Configuration(_) => new(ErrorKind::Rejected).because(Refused::new(
            "",
            "DATABASE_URL names something this driver cannot do",
        )),
        sqlx::Error::Migrate(_) => new(ErrorKind::Rejected).because(Refused::new(
            "",
            "the table was made by another program: see its rows in voxpool_migrations",
        )),
        _ => new(ErrorKind::Malformed).because("the server's answer is not as expected"),
    }
}

fn is_broken(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_) | sqlx::Error::Protocol(_) => true,
        sqlx::Error::Database(error) => {
            let state = error.code().unwrap_or_default();
            state.starts_with("57P") || state.starts_with("08")
        }
        _ => false,
    }
}
