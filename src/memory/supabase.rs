//! Memories in a Supabase project, through its data API (PostgREST).
//!
//! Each bulk operation is a call of one database function with the whole batch in its body
//! (`config/supabase.sql`). The API's own table routes would need a request per caller to read (a
//! limit is per request), would put callers' identities into addresses that gateways log, and
//! could not number the saves of a batch and yet write them in an order that cannot deadlock.

use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::bulk::{self, Table};
use super::config::{Config, SupabaseConfig};
use super::refused::{Refused, from_sqlstate};
use super::rows::{Found, Row, RowKey, Wanted};
use super::{MemoryAnswer, MemoryOp, OpenError, Store};
use crate::error::{CallError, ErrorKind, Service};
use crate::pool::{CallSpec, ConnectionPool, Endpoint, Lease, Refusal};

/// Most of an answer that is read: 1,000 reads of long memories.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

const SCHEMA_ADVICE: &str = "the project lacks voxpool's table or functions: run \
     config/supabase.sql in its SQL editor";

const KEY_ADVICE: &str = "the key is not one of this project, or has expired: see \
     SUPABASE_SERVICE_ROLE_KEY";

const PERMISSION_ADVICE: &str = "the key may not use the table: use the service role key \
     (SUPABASE_SERVICE_ROLE_KEY), or policies as config/supabase.sql describes them";

/// Memories in a Supabase project. Clones are the same store.
#[derive(Clone)]
pub struct SupabaseStore(Arc<Inner>);

struct Inner {
    pool: ConnectionPool,
    endpoint: Endpoint,
    config: Config,
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
        let headers = headers(key).ok_or_else(|| {
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
        let wanted = Wanted {
            user_id: String::new(),
            category: None,
            key: None,
            count_max: 0,
        };
        self.call::<Vec<Found>>("memory.probe", "/rpc/voxpool_get", &Body::Wanted(&[wanted]))
            .await
            .map(drop)
    }

    async fn call<T: DeserializeOwned + Send + 'static>(
        &self,
        operation: &'static str,
        path: &'static str,
        body: &impl Serialize,
    ) -> Result<T, CallError> {
        let inner = &self.0;
        let spec = CallSpec::to(operation, &inner.endpoint, inner.config.timeout)
            .attempt_timeout(inner.config.attempt_timeout);
        let body = serde_json::to_vec(body).expect("texts and numbers can be written as JSON");
        let (endpoint, body) = (inner.endpoint.clone(), Bytes::from(body));
        let attempt = move |lease: Lease| {
            let request = lease
                .request(Method::POST, &endpoint, path)
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .body(body.clone());
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

/// The older keys are tokens (JWT) and name the database role; the newer `sb_…` keys are not, and
/// the gateway refuses them as tokens.
///
/// Source: <https://supabase.com/docs/guides/api/api-keys>
fn headers(key: &str) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    headers.insert(
        HeaderName::from_static("apikey"),
        HeaderValue::from_str(key).ok()?,
    );
    if key.split('.').count() == 3 {
        let token = HeaderValue::from_str(&format!("Bearer {key}")).ok()?;
        headers.insert(AUTHORIZATION, token);
    }
    Some(headers)
}

/// The arguments of a database function.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Body<'a> {
    Rows(&'a [Row]),
    Wanted(&'a [Wanted]),
}

/// The same failure with what to do about it. Never with the API's own words: they quote the row.
///
/// Source: PostgREST 12, "Errors"
fn explained(operation: &'static str, error: CallError) -> CallError {
    let cause = error.cause.as_ref();
    let Some(refusal) = cause.and_then(|cause| cause.downcast_ref::<Refusal>()) else {
        return error;
    };
    let (status, code) = (refusal.status.as_u16(), refusal.code.as_str());
    let new = |kind, refused| CallError::new(Service::Supabase, operation, kind).because(refused);
    let explained = match code {
        "PGRST106" | "PGRST202" | "PGRST203" | "PGRST204" | "PGRST205" => {
            new(ErrorKind::Rejected, Refused::new(code, SCHEMA_ADVICE))
        }
        "PGRST300" | "PGRST301" | "PGRST302" | "PGRST303" => {
            new(ErrorKind::Unauthorized, Refused::new(code, KEY_ADVICE))
        }
        "42501" => new(
            ErrorKind::Unauthorized,
            Refused::new(code, PERMISSION_ADVICE),
        ),
        _ if is_sqlstate(code) => from_sqlstate(Service::Supabase, operation, code, SCHEMA_ADVICE),
        "" if matches!(status, 401 | 403) => {
            new(ErrorKind::Unauthorized, Refused::new("", KEY_ADVICE))
        }
        // What PostgREST says when its connection to the database ends under a request.
        "" if status == 400 => new(
            ErrorKind::Unavailable,
            Refused::new("", "the data API lost its database"),
        ),
        "" if status == 404 => new(
            ErrorKind::Rejected,
            Refused::new("", "no data API answers at SUPABASE_URL"),
        ),
        _ if status == 413 => new(
            ErrorKind::Rejected,
            Refused::row("413", "the request is too large for the gateway"),
        ),
        _ => return error,
    };
    CallError {
        retry_after: error.retry_after,
        ..explained
    }
}

fn is_sqlstate(code: &str) -> bool {
    code.len() == 5
        && code
            .chars()
            .all(|c| c.is_ascii_digit() || c.is_ascii_uppercase())
}

impl Table for SupabaseStore {
    fn service(&self) -> Service {
        Service::Supabase
    }

    fn save(&self, rows: Vec<Row>) -> BoxFuture<'_, Result<(), CallError>> {
        async move {
            let body = Body::Rows(&rows);
            self.call("memory.save", "/rpc/voxpool_save", &body).await
        }
        .boxed()
    }

    fn delete(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<RowKey>, CallError>> {
        async move {
            let body = Body::Wanted(&wanted);
            self.call("memory.delete", "/rpc/voxpool_delete", &body)
                .await
        }
        .boxed()
    }

    fn get(&self, wanted: Vec<Wanted>) -> BoxFuture<'_, Result<Vec<Found>, CallError>> {
        async move {
            let body = Body::Wanted(&wanted);
            self.call("memory.get", "/rpc/voxpool_get", &body).await
        }
        .boxed()
    }
}

impl Store for SupabaseStore {
    fn run(&self, ops: Vec<MemoryOp>) -> BoxFuture<'_, Vec<Result<MemoryAnswer, CallError>>> {
        bulk::run(self, self.0.config.limits(), ops).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_key_is_no_token() {
        let old = headers("eyJh.eyJy.c2ln").unwrap();
        assert_eq!(old[AUTHORIZATION], "Bearer eyJh.eyJy.c2ln");
        assert_eq!(old["apikey"], "eyJh.eyJy.c2ln");
        let new = headers("sb_secret_abc_def").unwrap();
        assert_eq!(new["apikey"], "sb_secret_abc_def");
        assert!(!new.contains_key(AUTHORIZATION));
        assert!(headers("a\nb").is_none());
    }
}
