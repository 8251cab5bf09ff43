//! A Supabase project's data API (PostgREST) on the pool: functions of its database, called with JSON.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::de::DeserializeOwned;

use super::ConnectionPool;
use super::call::Lease;
use super::endpoint::{Endpoint, EndpointError, Explain};
use super::spec::{CallSpec, Priority};
use crate::error::{CallError, Service};

/// Most of an answer that is read: 1,000 reads of long memories.
const ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Where a project is and how it knows us. Cheap to clone.
#[derive(Clone, Debug)]
pub struct SupabaseProject {
    endpoint: Endpoint,
    is_anonymous: bool,
}

/// The shared HTTP client, for one project. Cheap to make and to clone.
#[derive(Clone)]
pub struct SupabaseClient {
    pool: ConnectionPool,
    project: SupabaseProject,
    timeout: Duration,
    attempt_timeout: Duration,
    priority: Priority,
}

impl SupabaseProject {
    /// A project by its address (`SUPABASE_URL`, with or without `/rest/v1`) and one of its keys.
    ///
    /// # Errors
    /// When the address or the key cannot be used.
    pub fn new(url: &str, key: &str) -> Result<Self, EndpointError> {
        let url = url.trim().trim_end_matches('/');
        let url = url.trim_end_matches("/rest/v1");
        let key = key.trim();
        let headers = headers(key).ok_or(EndpointError::NotAHeader("key"))?;
        Ok(Self {
            endpoint: Endpoint::of(Service::Supabase, &format!("{url}/rest/v1"), headers)?,
            is_anonymous: is_anonymous(key),
        })
    }

    /// The same project with another path to ask when its health is checked.
    #[must_use]
    pub fn health_path(mut self, path: &'static str) -> Self {
        self.endpoint = self.endpoint.health_path(path);
        self
    }

    /// The same project, whose refusals are explained.
    #[must_use]
    pub fn explained_by(mut self, explain: Explain) -> Self {
        self.endpoint = self.endpoint.explained_by(explain);
        self
    }

    /// Where its data API is, for health checks.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether policies of the database decide what the key may do.
    pub fn is_anonymous(&self) -> bool {
        self.is_anonymous
    }
}

impl ConnectionPool {
    /// The client of a Supabase project. Each of its requests is a guarded call that takes no longer
    /// than `timeout`.
    pub fn supabase(&self, project: &SupabaseProject, timeout: Duration) -> SupabaseClient {
        SupabaseClient {
            pool: self.clone(),
            project: project.clone(),
            timeout,
            attempt_timeout: timeout,
            priority: Priority::Caller,
        }
    }
}

impl SupabaseClient {
    /// The same client with a limit for each attempt.
    #[must_use]
    pub fn attempt_timeout(mut self, attempt_timeout: Duration) -> Self {
        self.attempt_timeout = attempt_timeout;
        self
    }

    /// The same client for work that no caller waits for.
    #[must_use]
    pub fn background(mut self) -> Self {
        self.priority = Priority::Background;
        self
    }

    /// Whose client it is.
    pub fn project(&self) -> &SupabaseProject {
        &self.project
    }

    /// Calls a function of the database with the JSON of its arguments, and reads what it returns.
    /// `operation` is its label in statistics. It is tried again after a failure: calling it twice
    /// must do no harm.
    ///
    /// # Errors
    /// When there is no answer, the database refuses, or the answer is not an `R`.
    ///
    /// Cancel safety: dropping the future closes the request.
    pub async fn rpc<R: DeserializeOwned + Send + 'static>(
        &self,
        operation: &'static str,
        function: &str,
        headers: HeaderMap,
        arguments: Bytes,
    ) -> Result<R, CallError> {
        let endpoint = self.project.endpoint.clone();
        let spec = CallSpec {
            priority: self.priority,
            ..CallSpec::to(operation, &endpoint, self.timeout).attempt_timeout(self.attempt_timeout)
        };
        let path = format!("/rpc/{function}");
        let attempt = move |lease: Lease| {
            let request = lease
                .request(Method::POST, &endpoint, &path)
                .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
                .headers(headers.clone())
                .body(arguments.clone());
            let endpoint = endpoint.clone();
            async move {
                let response = lease.send(request).await;
                let response = response.map_err(|error| endpoint.explain(operation, error))?;
                let answer = lease.read(response, ANSWER_BYTES_MAX).await?;
                // A function that returns nothing is answered with an empty body.
                let answer: &[u8] = if answer.is_empty() { b"null" } else { &answer };
                serde_json::from_slice(answer)
                    .map_err(|_| lease.malformed("the answer is not what the function returns"))
            }
        };
        self.pool.call(spec, attempt).await
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

fn is_anonymous(key: &str) -> bool {
    let role = || {
        let claims = URL_SAFE_NO_PAD.decode(key.split('.').nth(1)?).ok()?;
        let claims: serde_json::Value = serde_json::from_slice(&claims).ok()?;
        Some(claims["role"] == "anon")
    };
    key.starts_with("sb_publishable_") || role().unwrap_or_default()
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

    #[test]
    fn an_anonymous_key_is_known_by_its_name_or_its_role() {
        let token = |claims: &str| format!("eyJh.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        for (key, expected) in [
            ("sb_publishable_x".to_owned(), true),
            ("sb_secret_x".to_owned(), false),
            (token(r#"{"iss":"supabase","role":"anon"}"#), true),
            (token(r#"{"iss":"supabase","role":"service_role"}"#), false),
            (token("anon"), false),
            ("..".to_owned(), false),
            (String::new(), false),
        ] {
            assert_eq!(is_anonymous(&key), expected, "{key}");
        }
    }

    #[test]
    fn any_usual_spelling_of_the_address_works() {
        for url in [
            "https://x.example",
            " https://x.example/ ",
            "https://x.example/rest/v1/",
        ] {
            let project = SupabaseProject::new(url, "sb_secret_x").unwrap();
            let expected = "https://x.example/rest/v1/rpc/f";
            assert_eq!(project.endpoint().url("/rpc/f"), expected, "{url}");
        }
        assert!(SupabaseProject::new("x.example", "k").is_err());
        assert!(SupabaseProject::new("https://x.example", "a\nb").is_err());
    }
}
