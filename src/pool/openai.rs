//! async-openai on the pool: its client, without the retries it brings along.

use std::task::{Context, Poll};

use async_openai::error::OpenAIError;
use async_openai::middleware::HttpRequestFactory;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use reqwest::{Body, Response};

use super::ConnectionPool;
use super::call::Lease;
use super::endpoint::Endpoint;
use super::spec::CallSpec;
use crate::error::CallError;
use crate::excess::Excess;

/// Longest answer that async-openai may read, as it reads without a bound of its own.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// async-openai's client for one of our endpoints.
pub type OpenAiClient = async_openai::Client<Endpoint>;

impl Lease {
    /// async-openai's client for requests within this attempt: one try, no retry, errors are ours.
    ///
    /// It must not be used for typed streams: an answer that it cannot parse goes to the log whole.
    pub fn openai(&self, endpoint: &Endpoint) -> OpenAiClient {
        let http = self.builder().clone();
        OpenAiClient::build(http, endpoint.clone()).with_http_service(OneTry(self.clone()))
    }
}

impl ConnectionPool {
    /// async-openai's client for anything the providers do not cover; each of its requests is one
    /// guarded call named `openai` with its deadline and its retries.
    pub fn openai(&self, endpoint: &Endpoint, timeout: std::time::Duration) -> OpenAiClient {
        let http = self.0.shared.http.builder().clone();
        let service = Guarded {
            pool: self.clone(),
            spec: CallSpec::openai("openai", endpoint, timeout),
        };
        OpenAiClient::build(http, endpoint.clone()).with_http_service(service)
    }
}

/// Sends a request under a lease.
#[derive(Clone)]
struct OneTry(Lease);

impl tower::Service<HttpRequestFactory> for OneTry {
    type Response = Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<Response, OpenAIError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        let lease = self.0.clone();
        Box::pin(async move {
            let request = factory.build().await?;
            let response = lease.execute(request).await.map_err(boxed)?;
            Ok(held(response, lease))
        })
    }
}

/// Sends a request through the whole stack.
#[derive(Clone)]
struct Guarded {
    pool: ConnectionPool,
    spec: CallSpec,
}

impl tower::Service<HttpRequestFactory> for Guarded {
    type Response = Response;
    type Error = OpenAIError;
    type Future = BoxFuture<'static, Result<Response, OpenAIError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), OpenAIError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, factory: HttpRequestFactory) -> Self::Future {
        let (pool, spec) = (self.pool.clone(), self.spec.clone());
        Box::pin(async move {
            let answer = pool.call(spec, move |lease| {
                let factory = factory.clone();
                async move {
                    let request = factory.build().await.map_err(|error| {
                        super::from_openai(lease.spec().service, lease.spec().operation, error)
                    })?;
                    let response = lease.execute(request).await?;
                    Ok(held(response, lease))
                }
            });
            answer.await.map_err(boxed)
        })
    }
}

fn boxed(error: CallError) -> OpenAIError {
    OpenAIError::Boxed(Box::new(error))
}

/// The same response, whose body keeps the lease until it is read or dropped, and has a bound.
fn held(response: Response, lease: Lease) -> Response {
    let response: http::Response<Body> = response.into();
    let (parts, body) = response.into_parts();
    let chunks = Response::from(http::Response::new(body)).bytes_stream();
    // What is dropped last is first here: the place is free when the answer is done with.
    let bounded = stream::unfold(Some((lease, chunks.boxed(), 0)), |state| async move {
        let (lease, mut chunks, read) = state?;
        let Some(chunk) = chunks.next().await else {
            lease.note_read();
            return None;
        };
        match chunk {
            Ok(chunk) if read + chunk.len() > ANSWER_BYTES_MAX => {
                Excess::Body.count("an HTTP answer");
                let error = lease.malformed("the answer is longer than allowed");
                Some((
                    Err(Box::<dyn std::error::Error + Send + Sync>::from(error)),
                    None,
                ))
            }
            Ok(chunk) => {
                let read = read + chunk.len();
                Some((Ok(chunk), Some((lease, chunks, read))))
            }
            Err(error) => Some((Err(error.into()), None)),
        }
    });
    http::Response::from_parts(parts, Body::wrap_stream(bounded)).into()
}
