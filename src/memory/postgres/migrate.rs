//! The table in a Postgres database, made and updated by the workers themselves.

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, Executor, PgConnection};

/// The advisory lock of the migrations: workers that start together take turns. The number is
/// "voxpool" in ASCII.
const MIGRATION_LOCK: i64 = 0x0076_6f78_706f_6f6c;

/// The migrator names its statements, which a pooler's next client must not meet.
const FORGET: &str = "DEALLOCATE ALL";

/// Makes or updates the table. One transaction, so that the lock is given back whatever happens.
pub(super) async fn migrate(connection: &mut PgConnection, is_pooled: bool) -> sqlx::Result<()> {
    let mut migrator: Migrator = sqlx::migrate!("src/memory/migrations/postgres");
    migrator.dangerous_set_table_name("voxpool_migrations");
    // The migrator's own lock belongs to a session, which a pooler may take away. A newer worker
    // may have migrated further: tables only gain columns, so an older one can go on.
    migrator.set_locking(false).set_ignore_missing(true);
    let mut transaction = connection.begin().await?;
    sqlx::query("SELECT pg_advisory_xact_lock($1)")
        .bind(MIGRATION_LOCK)
        .persistent(false)
        .execute(&mut *transaction)
        .await?;
    if is_pooled {
        transaction.execute(FORGET).await?;
    }
    let migrated = migrator.run_direct(None, &mut *transaction, false).await;
    migrated.map_err(|error| match error {
        MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _) => error,
        error => sqlx::Error::Migrate(Box::new(error)),
    })?;
    if is_pooled {
        transaction.execute(FORGET).await?;
    }
    transaction.commit().await
}
