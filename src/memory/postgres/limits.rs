//! Rows and age: what a user may have.

use std::sync::Arc;

use futures::FutureExt;

use super::{PostgresStore, days};
use crate::error::{CallError, Service};
use crate::memory::UserId;

/// `oldest` is the number of the last row that a user may have, found in the index alone; rows are read
/// up to `read_to`, all of a user only if memories have an age. A row that is being saved at this
/// moment is skipped: it is new, and no save waits for this statement.
const TRIM: &str = "
WITH users AS MATERIALIZED (
    SELECT asked.user_id, (
        SELECT saved FROM voxpool_memories AS newest WHERE newest.user_id = asked.user_id
        ORDER BY saved DESC LIMIT 1 OFFSET $2 - 1
    ) AS oldest
    FROM unnest($1::text[]) AS asked (user_id)
), limits AS MATERIALIZED (
    SELECT user_id, oldest,
        CASE WHEN $3 > 0 THEN 9223372036854775807 ELSE oldest END AS read_to
    FROM users
), old AS MATERIALIZED (
    SELECT memories.user_id, memories.category, memories.key
    FROM limits JOIN voxpool_memories AS memories
        ON memories.user_id = limits.user_id AND memories.saved < limits.read_to
    WHERE (memories.saved < limits.oldest AND memories.category <> 'PROFILE')
        OR ($3 > 0 AND memories.saved_at < now() - make_interval(days => $3))
    FOR UPDATE OF memories SKIP LOCKED
)
DELETE FROM voxpool_memories AS memories USING old
WHERE memories.user_id = old.user_id AND memories.category = old.category
    AND memories.key = old.key";

const USERS: &str = "
SELECT DISTINCT user_id FROM voxpool_memories WHERE user_id > $1 ORDER BY user_id LIMIT $2";

impl PostgresStore {
    /// See [`Store::trim`](crate::memory::Store::trim).
    pub(super) async fn trim_rows(&self, users: Vec<UserId>) -> Result<u64, CallError> {
        self.ready().await?;
        let users: Vec<String> = users.iter().map(|it| it.expose().to_owned()).collect();
        let (users, config) = (Arc::new(users), &self.0.config);
        let (rows_max, keep_days) = (i64::from(config.per_user_max), days(config.keep_days));
        let is_named = self.0.names_statements();
        let spec = config.spec(Service::Postgres, "memory.trim").background();
        let trimming = self.call_as(spec, move |connection| {
            let users = Arc::clone(&users);
            async move {
                let query = sqlx::query(TRIM).persistent(is_named).bind(&*users);
                let query = query.bind(rows_max).bind(keep_days);
                Ok(query.execute(connection).await?.rows_affected())
            }
            .boxed()
        });
        trimming.await
    }

    /// See [`Store::users`](crate::memory::Store::users).
    pub(super) async fn users_after(
        &self,
        after: Option<UserId>,
        n_max: u32,
    ) -> Result<Vec<UserId>, CallError> {
        self.ready().await?;
        // No key is empty, so all of them come after that.
        let after = after.map_or(String::new(), |after| after.expose().to_owned());
        let is_named = self.0.names_statements();
        let spec = self.0.config.spec(Service::Postgres, "memory.users");
        let reading = self.call_as(spec.background(), move |connection| {
            let after = after.clone();
            async move {
                let query = sqlx::query_scalar::<_, String>(USERS).persistent(is_named);
                let query = query.bind(after).bind(i64::from(n_max));
                query.fetch_all(connection).await
            }
            .boxed()
        });
        Ok(reading.await?.into_iter().map(UserId::stored).collect())
    }
}
