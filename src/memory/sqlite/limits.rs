//! Rows and age: what a user may have, and what becomes of what went.

use futures::FutureExt;

use super::statements::{TRIM, USERS};
use super::{Access, IN_MEMORY, SqliteStore, json};
use crate::error::{CallError, Service};
use crate::memory::UserId;

impl SqliteStore {
    /// See [`Store::trim`](crate::memory::Store::trim).
    pub(super) async fn trim_rows(&self, users: Vec<UserId>) -> Result<u64, CallError> {
        let users: Vec<&str> = users.iter().map(UserId::expose).collect();
        let (users, config) = (json(&users), &self.0.config);
        let (rows_max, keep_days) = (i64::from(config.per_user_max), i64::from(config.keep_days));
        let spec = config.spec(Service::Sqlite, "memory.trim").background();
        let trimming = self.call_as(spec, Access::Write, move |connection| {
            let query = sqlx::query(TRIM).bind(users.to_string());
            let query = query.bind(rows_max).bind(keep_days);
            async move { Ok(query.execute(connection).await?.rows_affected()) }.boxed()
        });
        trimming.await
    }

    /// See [`Store::users`](crate::memory::Store::users).
    pub(super) async fn users_after(
        &self,
        after: Option<UserId>,
        n_max: u32,
    ) -> Result<Vec<UserId>, CallError> {
        // No key is empty, so all of them come after that.
        let after = after.map_or(String::new(), |after| after.expose().to_owned());
        let spec = self.0.config.spec(Service::Sqlite, "memory.users");
        let reading = self.call_as(spec.background(), Access::Read, move |connection| {
            let query = sqlx::query_scalar::<_, String>(USERS);
            let query = query.bind(after.clone()).bind(i64::from(n_max));
            async move { query.fetch_all(connection).await }.boxed()
        });
        Ok(reading.await?.into_iter().map(UserId::stored).collect())
    }

    /// Copies the write-ahead log into the file and empties it: it may hold what was deleted.
    pub(super) async fn scrub_log(&self) -> Result<(), CallError> {
        if self.0.path() == IN_MEMORY {
            return Ok(());
        }
        let scrubbing = self.call("memory.scrub", Access::Write, |connection| {
            let query = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
            async move { query.execute(connection).await.map(drop) }.boxed()
        });
        scrubbing.await
    }
}
