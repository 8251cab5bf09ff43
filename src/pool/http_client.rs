//! Plain HTTP on the pool, for tools and stores whose service is not OpenAI's.

use std::time::Duration;

use bytes::Bytes;
use reqwest::{Method, RequestBuilder};

use super::ConnectionPool;
use super::endpoint::Endpoint;
use super::spec::CallSpec;
use crate::error::CallError;

/// Longest answer that is read.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The shared HTTP client, for one endpoint. Cheap to make and to clone.
#[derive(Clone)]
pub struct HttpClient {
    pool: ConnectionPool,
    endpoint: Endpoint,
    timeout: Duration,
}

impl ConnectionPool {
    /// The HTTP client for an endpoint made with [`Endpoint::of`]. Each of its requests is a guarded
    /// call that takes no longer than `timeout`.
    pub fn http(&self, endpoint: &Endpoint, timeout: Duration) -> HttpClient {
        HttpClient {
            pool: self.clone(),
            endpoint: endpoint.clone(),
            timeout,
        }
    }
}

impl ConnectionPool {
    /// The HTTP client of this moment, for a protocol's library that sends its requests by itself
    /// during a call of ours. Not to be kept: its idle connections must go when it is replaced. Its
    /// connections are counted, and apart from the limits, as we do not see what is in flight.
    pub(crate) fn reqwest(&self) -> reqwest::Client {
        self.0.shared.http.library()
    }
}

impl HttpClient {
    /// Sends a request and reads its whole answer. `operation` is its label in statistics; `path`
    /// starts with a slash; `prepare` adds query, headers and body, anew for each try.
    ///
    /// What HTTP calls idempotent is tried again after a failure; anything else, such as a POST, is
    /// sent once at most.
    ///
    /// # Errors
    /// When there is no answer, or one with a status other than success.
    ///
    /// Cancel safety: dropping the future closes the request.
    pub async fn send(
        &self,
        operation: &'static str,
        method: Method,
        path: &str,
        prepare: impl Fn(RequestBuilder) -> RequestBuilder + Send + Sync + 'static,
    ) -> Result<Bytes, CallError> {
        let mut spec = CallSpec::to(operation, &self.endpoint, self.timeout);
        if !method.is_idempotent() {
            spec = spec.once();
        }
        let (endpoint, path) = (self.endpoint.clone(), path.to_owned());
        let send = move |lease: super::Lease| {
            let request = prepare(lease.request(method.clone(), &endpoint, &path));
            let endpoint = endpoint.clone();
            async move {
                let response = lease.send(request).await;
                let response = response.map_err(|error| endpoint.explain(operation, error))?;
                lease.read(response, ANSWER_BYTES_MAX).await
            }
        };
        self.pool.call(spec, send).await
    }
}
