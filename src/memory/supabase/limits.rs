//! Rows and age: what a user may have.

use futures::future::try_join_all;
use serde_json::{Value, json};

use super::{SupabaseStore, headers};
use crate::error::CallError;
use crate::memory::UserId;

impl SupabaseStore {
    /// See [`Store::trim`](crate::memory::Store::trim). With an anonymous key each user has a request
    /// of their own.
    pub(super) async fn trim_rows(&self, users: Vec<UserId>) -> Result<u64, CallError> {
        let users = users.iter().map(|it| it.expose().to_owned()).collect();
        let parts = self.parts(users, |user| user);
        let trimming = parts
            .iter()
            .map(|part| self.ask_to_trim(part.user.as_deref(), &part.items));
        let rows: Vec<u64> = try_join_all(trimming).await?;
        Ok(rows.iter().sum())
    }

    /// Asks whether the project has the functions of the limits.
    ///
    /// # Errors
    /// When it has not, or does not let us in.
    pub(in crate::memory) async fn limits_ready(&self) -> Result<(), CallError> {
        self.ask_to_trim(None, &[]).await.map(drop)
    }

    async fn ask_to_trim(&self, user: Option<&str>, users: &[String]) -> Result<u64, CallError> {
        let config = &self.0.config;
        let arguments = json!({
            "users": users,
            "per_user_max": config.per_user_max,
            "keep_days": config.keep_days,
        });
        let asking = self.ask_in_background("memory.trim", "voxpool_trim", user, arguments);
        asking.await
    }

    /// See [`Store::users`](crate::memory::Store::users). An anonymous key reads the rows of the user
    /// whom a request names and of no other, so there is no walk through all of them.
    pub(super) async fn users_after(
        &self,
        after: Option<UserId>,
        n_max: u32,
    ) -> Result<Vec<UserId>, CallError> {
        if self.0.client.project().is_anonymous() {
            return Ok(Vec::new());
        }
        // No key is empty, so all of them come after that.
        let after = after.as_ref().map_or("", UserId::expose);
        let arguments = json!({"after": after, "count_max": n_max});
        let asking = self.ask_in_background("memory.users", "voxpool_users", None, arguments);
        let users: Vec<String> = asking.await?;
        Ok(users.into_iter().map(UserId::stored).collect())
    }

    async fn ask_in_background<R: serde::de::DeserializeOwned + Send + 'static>(
        &self,
        operation: &'static str,
        function: &'static str,
        user: Option<&str>,
        arguments: Value,
    ) -> Result<R, CallError> {
        let client = self.0.client.clone().background();
        let body = arguments.to_string().into_bytes();
        let answer = client.rpc(operation, function, headers(user), body.into());
        answer.await
    }
}
