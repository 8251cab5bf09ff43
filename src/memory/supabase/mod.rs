//! Memories in a Supabase project, through its data API (PostgREST).
//!
//! Each bulk operation is a call of one database function with the whole batch in its body
//! (`config/supabase.sql`). The API's own table routes would need a request per caller to read (a
//! limit is per request), would put callers' identities into addresses that gateways log, and
//! could not number the saves of a batch and yet write them in an order that cannot deadlock.
//!
//! With an anonymous key each caller has a request of their own, which names them in a header for
//! the table's policies to compare: a mistake here then reaches no other caller's rows.

mod errors;
mod limits;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::errors::explained;
use super::bulk::{self, Table};
use super::config::{Config, SupabaseConfig};
use super::rows::{Found, Row, RowKey, Wanted};
use super::{MemoryAnswer, MemoryOp, OpenError, Store, UserId};
use crate::error::{CallError, Service};
use crate::pool::{ConnectionPool, Endpoint, EndpointError, SupabaseClient, SupabaseProject};

/// A function of the database that takes one array.
struct Function {
    operation: &'static str,
    name: &'static str,
    argument: &'static str,
}

const SAVE: Function = Function {
    operation: "memory.save",
    name: "voxpool_save",
    argument: "rows",
};

const DELETE: Function = Function {
    operation: "memory.delete",
    name: "voxpool_delete",
    argument: "wanted",
};

const GET: Function = Function {
    operation: "memory.get",
    name: "voxpool_get",
    argument: "wanted",
};

const PROBE: Function = Function {
    operation: "memory.probe",
    ..GET
};

/// Names the caller whose rows a request touches, in base64: headers carry ASCII only.
const USER_HEADER: &str = "x-voxpool-user";

/// Memories in a Supabase project. Clones are the same store.
#[derive(Clone)]
pub struct SupabaseStore(Arc<Inner>);

struct Inner {
    client: SupabaseClient,
    config: Config,
}

/// Rows to read, and the age that they may have. A function of an earlier version reads on without it.
#[derive(Serialize)]
struct Read {
    #[serde(flatten)]
    wanted: Wanted,
    keep_days: u32,
}

/// What one request asks for.
struct Part<T> {
    /// Whose rows; `None` for those of anybody.
    user: Option<String>,
    /// Where the items are in the whole.
    places: Vec<usize>,
    items: Vec<T>,
}

impl SupabaseStore {
    /// A store that connects when it is first used.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn new(
        config: &Config,
        supabase: &SupabaseConfig,
        pool: ConnectionPool,
    ) -> Result<Self, OpenError> {
        if supabase.url.trim().is_empty() {
            return Err(OpenError::Supabase(
                "url: missing; set SUPABASE_URL".to_owned(),
            ));
        }
        let project = SupabaseProject::new(&supabase.url, supabase.key.expose());
        let project = project.map_err(|error| {
            OpenError::Supabase(match error {
                EndpointError::NotAHeader(_) => error.to_string(),
                _ => error.to_string().replacen("base_url", "url", 1),
            })
        })?;
        // Small, and answered only if the key and the table are right. (A function that takes JSON cannot
        // be asked with GET: it gets the JSON as a text.)
        let project = project
            .health_path("/voxpool_memories?select=saved&limit=1")
            .explained_by(explained);
        let client = pool
            .supabase(&project, config.timeout)
            .attempt_timeout(config.attempt_timeout);
        Ok(Self(Arc::new(Inner {
            client,
            config: config.clone(),
        })))
    }

    /// Where the project's API is, for health checks.
    pub fn endpoint(&self) -> &Endpoint {
        self.0.client.project().endpoint()
    }

    /// Asks whether the project is there and lets us in.
    ///
    /// # Errors
    /// When it does not.
    pub async fn ready(&self) -> Result<(), CallError> {
        let nobody = Wanted {
            user_id: String::new(),
            category: None,
            key: None,
            count_max: 0,
        };
        let parts = self.parts(vec![nobody], |wanted| &wanted.user_id);
        self.ask::<_, Vec<Found>>(&PROBE, &parts).await.map(drop)
    }

    /// The requests that `items` take, in their order: one, or one for each caller.
    fn parts<T>(&self, items: Vec<T>, user: fn(&T) -> &String) -> Vec<Part<T>> {
        let is_anonymous = self.0.client.project().is_anonymous();
        let mut parts: Vec<Part<T>> = Vec::new();
        for (place, item) in items.into_iter().enumerate() {
            // With such a key each request is for one caller.
            let user = is_anonymous.then(|| user(&item).clone());
            let at = parts.iter().position(|part| part.user == user);
            let at = at.unwrap_or_else(|| {
                parts.push(Part {
                    user,
                    places: Vec::new(),
                    items: Vec::new(),
                });
                parts.len() - 1
            });
            parts[at].places.push(place);
            parts[at].items.push(item);
        }
        parts
    }

    /// Asks for all parts side by side.
    async fn ask<T: Serialize, R: DeserializeOwned + Send + 'static>(
        &self,
        function: &Function,
        parts: &[Part<T>],
    ) -> Result<Vec<R>, CallError> {
        let asking = parts.iter().map(|part| {
            let body = HashMap::from([(function.argument, &part.items)]);
            let body = serde_json::to_vec(&body);
            let body = body.expect("texts and numbers can be written as JSON");
            self.call(function, part.user.as_deref(), body)
        });
        try_join_all(asking).await
    }

    async fn call<R: DeserializeOwned + Send + 'static>(
        &self,
        function: &Function,
        user: Option<&str>,
        body: Vec<u8>,
    ) -> Result<R, CallError> {
        let client = &self.0.client;
        let answer = client.rpc(
            function.operation,
            function.name,
            headers(user),
            body.into(),
        );
        answer.await
    }
}

fn headers(user: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(user) = user {
        let user = HeaderValue::try_from(STANDARD.encode(user));
        let user = user.expect("base64 can be a header");
        headers.insert(HeaderName::from_static(USER_HEADER), user);
    }
    headers
}

impl Table for SupabaseStore {
    fn service(&self) -> Service {
        Service::Supabase
    }

    fn save(&self, rows: Vec<Row>) -> BoxFuture<'_, Result<(), CallError>> {
        async move {
            let parts = self.parts(rows, |row| &row.key.user_id);
            self.ask::<_, ()>(&SAVE, &parts).await.map(drop)
        }
        .boxed()
    }

    fn delete(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<RowKey>, CallError>> {
        async move {
            let parts = self.parts(wanted, |wanted| &wanted.user_id);
            let deleted: Vec<Vec<RowKey>> = self.ask(&DELETE, &parts).await?;
            Ok(deleted.concat())
        }
        .boxed()
    }

    fn get(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Found>, CallError>> {
        let keep_days = self.0.config.keep_days;
        let read = |wanted| Read { wanted, keep_days };
        let reads = wanted.into_iter().map(read).collect();
        async move {
            let parts = self.parts(reads, |read: &Read| &read.wanted.user_id);
            let found: Vec<Vec<Found>> = self.ask(&GET, &parts).await?;
            let found = found.into_iter().zip(&parts).flat_map(|(found, part)| {
                let of_the_whole = |row: Found| Found {
                    place: part.places.get(row.place).copied().unwrap_or(usize::MAX),
                    ..row
                };
                found.into_iter().map(of_the_whole)
            });
            Ok(found.collect())
        }
        .boxed()
    }
}

impl Store for SupabaseStore {
    fn run(&self, ops: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>> {
        bulk::run(self, self.0.config.limits(), ops).boxed()
    }

    fn prewarm(&self) -> BoxFuture<'_, Result<(), CallError>> {
        self.ready().boxed()
    }

    fn trim(&self, users: Vec<UserId>) -> BoxFuture<'_, Result<u64, CallError>> {
        self.trim_rows(users).boxed()
    }

    fn users(
        &self,
        after: Option<UserId>,
        n_max: u32,
    ) -> BoxFuture<'_, Result<Vec<UserId>, CallError>> {
        self.users_after(after, n_max).boxed()
    }
}
