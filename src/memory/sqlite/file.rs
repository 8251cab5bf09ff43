//! The file: how it is made and opened, and its table.

use std::fs::OpenOptions;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::migrate::Migrator;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::time::{Instant, sleep};

use super::IN_MEMORY;
use super::errors::is_busy;
use crate::memory::OpenError;
use crate::memory::connections::Connections;

/// How long a statement waits while another process writes to the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);
/// The pause before a file that was refused at once is tried again.
const BUSY_PAUSE: Duration = Duration::from_millis(10);

/// How the file is opened.
pub(super) fn connect_options(path: &str) -> Result<SqliteConnectOptions, OpenError> {
    if path == IN_MEMORY {
        let options = SqliteConnectOptions::from_str("sqlite::memory:");
        let options = options.expect("the address of a database in memory is well-formed");
        return Ok(options.disable_statement_logging());
    }
    let parent = Path::new(path).parent().filter(|it| *it != Path::new(""));
    if parent.is_some_and(|parent| !parent.is_dir()) {
        return Err(OpenError::Sqlite {
            path: path.to_owned(),
            why: "its folder is not there".to_owned(),
        });
    }
    make_private(Path::new(path));
    Ok(SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(BUSY_TIMEOUT)
        // What is forgotten is overwritten with zeros; it would stay in the file's free pages.
        .pragma("secure_delete", "ON")
        .disable_statement_logging())
}

/// Makes the file, if there is none, readable to nobody else: it will hold what callers said. When
/// that fails, opening it says why.
fn make_private(path: &Path) {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    drop(options.open(path));
}

/// Connections stay open: they cost a file handle, and one in memory is the database itself.
pub(super) fn pool_options(max: u32, connections: &Connections) -> SqlitePoolOptions {
    let (opened, reused) = (connections.clone(), connections.clone());
    SqlitePoolOptions::new()
        .max_connections(max)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .after_connect(move |_, _| {
            opened.opened();
            Box::pin(std::future::ready(Ok(())))
        })
        .before_acquire(move |_, _| {
            reused.reused();
            Box::pin(std::future::ready(Ok(true)))
        })
}

/// Makes or updates the table; processes that start together take turns. Of those that switch a new
/// file to its log at once, SQLite refuses some without waiting, whatever the busy timeout: they
/// would wait for each other. These try again.
///
/// Source: <https://sqlite.org/c3ref/busy_handler.html>
pub(super) async fn migrate_in_turn(writer: &SqlitePool) -> sqlx::Result<()> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match migrate(writer).await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => sleep(BUSY_PAUSE).await,
            result => return result,
        }
    }
}

async fn migrate(writer: &SqlitePool) -> sqlx::Result<()> {
    let mut migrator: Migrator = sqlx::migrate!("src/memory/migrations/sqlite");
    migrator.dangerous_set_table_name("voxpool_migrations");
    migrator.set_ignore_missing(true);
    let mut transaction = writer.begin_with("BEGIN IMMEDIATE").await?;
    let migrated = migrator.run_direct(None, &mut *transaction, false).await;
    migrated.map_err(|error| match error {
        sqlx::migrate::MigrateError::Execute(error)
        | sqlx::migrate::MigrateError::ExecuteMigration(error, _) => error,
        error => sqlx::Error::Migrate(Box::new(error)),
    })?;
    transaction.commit().await
}
