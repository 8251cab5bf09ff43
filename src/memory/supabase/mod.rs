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
mod key;

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures::FutureExt;
use futures::future::{BoxFuture, try_join_all};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use self::errors::explained;
use super::bulk::{self, Table};
use super::config::{Config, SupabaseConfig};
use super::rows::{Found, Row, RowKey, Wanted};
use super::{MemoryAnswer, MemoryOp, OpenError, Store};
use crate::error::{CallError, Service};
use crate::pool::{CallSpec, ConnectionPool, Endpoint, Lease};

/// Most of an answer that is read: 1,000 reads of long memories.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A function of the database that takes one array.
struct Function {
    operation: &'static str,
    path: &'static str,
    argument: &'static str,
}

const SAVE: Function = Function {
    operation: "memory.save",
    path: "/rpc/voxpool_save",
    argument: "rows",
};

const DELETE: Function = Function {
    operation: "memory.delete",
    path: "/rpc/voxpool_delete",
    argument: "wanted",
};

const GET: Function = Function {
    operation: "memory.get",
    path: "/rpc/voxpool_get",
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
    pool: ConnectionPool,
    endpoint: Endpoint,
    /// Whether each request is for one caller.
    is_anonymous: bool,
    config: Config,
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
        let project = supabase.url.trim().trim_end_matches('/');
        let project = project.trim_end_matches("/rest/v1");
        let key = supabase.key.expose().trim();
        if project.is_empty() {
            return Err(OpenError::Supabase(
                "url: missing; set SUPABASE_URL".to_owned(),
            ));
        }
        let headers = key::headers(key).ok_or_else(|| {
            OpenError::Supabase("key: holds a character that HTTP cannot carry".to_owned())
        })?;
        let endpoint = Endpoint::of(Service::Supabase, &format!("{project}/rest/v1"), headers)
            .map_err(|error| {
                OpenError::Supabase(error.to_string().replacen("base_url", "url", 1))
            })?;
        Ok(Self(Arc::new(Inner {
            pool,
            // Small, and answered only if the key and the table are right.
            endpoint: endpoint.health_path("/voxpool_memories?select=saved&limit=1"),
            is_anonymous: key::is_anonymous(key),
            config: config.clone(),
        })))
    }

    /// Where the project's API is, for health checks.
    pub fn endpoint(&self) -> &Endpoint {
        &self.0.endpoint
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
        let mut parts: Vec<Part<T>> = Vec::new();
        for (place, item) in items.into_iter().enumerate() {
            let user = self.0.is_anonymous.then(|| user(&item).clone());
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
        &Function {
            operation, path, ..
        }: &Function,
        user: Option<&str>,
        body: Vec<u8>,
    ) -> Result<R, CallError> {
        let inner = &self.0;
        let spec = CallSpec::to(operation, &inner.endpoint, inner.config.timeout)
            .attempt_timeout(inner.config.attempt_timeout);
        let (endpoint, body) = (inner.endpoint.clone(), Bytes::from(body));
        let user = user.map(|user| STANDARD.encode(user));
        let attempt = move |lease: Lease| {
            let mut request = lease
                .request(Method::POST, &endpoint, path)
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(body.clone());
            if let Some(user) = &user {
                request = request.header(USER_HEADER, user);
            }
            async move {
                let response = lease.send(request).await;
                let response = response.map_err(|error| explained(operation, error))?;
                let answer = lease.read(response, ANSWER_BYTES_MAX).await?;
                // A function that returns nothing is answered with an empty body.
                let answer: &[u8] = if answer.is_empty() { b"null" } else { &answer };
                serde_json::from_slice(answer)
                    .map_err(|_| lease.malformed("the answer is not what the functions return"))
            }
        };
        inner.pool.call(spec, attempt).await
    }
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
        async move {
            let parts = self.parts(wanted, |wanted| &wanted.user_id);
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
}
