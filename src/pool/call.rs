//! One guarded call on its way, and the lease under which an attempt is made.
//!
//! **Invariant:** a [`Lease`] is the only way to the HTTP client, and only the stack hands one out,
//! so no request leaves the process without a permit, a deadline and a line in the statistics.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use futures::future::BoxFuture;
use hyper_util::client::legacy::connect::HttpInfo;
use reqwest::{Method, Request, RequestBuilder, Response};
use tokio::time::Instant;

use super::Shared;
use super::adaptive::Sample;
use super::classify;
use super::connector::awaited;
use super::endpoint::Endpoint;
use super::gate::Entry;
use super::permits::Permit;
use super::recorder::InFlight;
use super::slots::Taken;
use super::spec::CallSpec;
use crate::error::{CallError, ErrorKind};
use crate::excess::Excess;

type Run = dyn Fn(Lease) -> BoxFuture<'static, Result<(), CallError>> + Send + Sync;

/// A call on its way through the stack. Clones are the same call: that is what a retry needs.
///
/// What it yields is not part of it (the closure keeps that), so one stack serves every type.
#[derive(Clone)]
pub(super) struct Call {
    pub(super) spec: CallSpec,
    pub(super) deadline: Instant,
    pub(super) progress: Arc<Progress>,
    /// Set when the call has passed the gate of its host.
    pub(super) entry: Option<Arc<Entry>>,
    run: Arc<Run>,
}

/// How far a call got; shared by its attempts.
#[derive(Default)]
pub(super) struct Progress {
    /// Attempts that wait for a permit.
    waiting: AtomicU32,
    /// Attempts that have one.
    running: AtomicU32,
    /// An attempt failed in a way that counts against the service.
    pub(super) met_failure: AtomicBool,
    /// The last attempt met a connection that was dead already.
    pub(super) met_dead_socket: AtomicBool,
}

impl Progress {
    /// Whether all that the call does is to wait for a permit.
    pub(super) fn only_waits(&self) -> bool {
        let waiting = self.waiting.load(Ordering::Relaxed);
        waiting > 0 && self.running.load(Ordering::Relaxed) == 0
    }
}

/// Counts an attempt for as long as it lives.
struct Counted<'a>(&'a AtomicU32);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicU32) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Call {
    pub(super) fn new(spec: CallSpec, run: Arc<Run>) -> Self {
        Self {
            deadline: Instant::now() + spec.timeout,
            spec,
            progress: Arc::default(),
            entry: None,
            run,
        }
    }

    /// One attempt: the innermost service of the stack.
    pub(super) async fn attempt(self, shared: Arc<Shared>) -> Result<(), CallError> {
        let progress = self.progress;
        let permit = {
            let _waiting = Counted::new(&progress.waiting);
            shared.permits.acquire(&self.spec, self.deadline).await?
        };
        // Nobody asks a service that has turned out to be unavailable meanwhile.
        if let Some(refusal) = self.entry.as_ref().and_then(|it| it.refusal(&self.spec)) {
            return Err(refusal);
        }
        let _running = Counted::new(&progress.running);
        let lease = Lease(Arc::new(Leased {
            slot: OnceLock::new(),
            permit,
            entry: self.entry,
            shared,
            spec: self.spec.clone(),
            progress: Arc::clone(&progress),
        }));
        let answer = (self.run)(lease.clone());
        let result = tokio::time::timeout(self.spec.attempt_timeout, answer)
            .await
            .unwrap_or_else(|_| Err(self.spec.error(ErrorKind::Timeout)));
        lease.settle(&result);
        result
    }
}

/// Leave to make one attempt: a permit, and access to the client. When the answer begins, others may
/// ask; the connection is free again when the last clone is dropped, so a stream has one to its end.
#[derive(Clone)]
pub struct Lease(Arc<Leased>);

struct Leased {
    /// The connection of its requests, which come one after the other. Returned before the permit is,
    /// so that the next request with that finds it.
    slot: OnceLock<Taken>,
    permit: Permit,
    entry: Option<Arc<Entry>>,
    shared: Arc<Shared>,
    spec: CallSpec,
    progress: Arc<Progress>,
}

impl Lease {
    /// Takes the outcome of the attempt, for a stream that of its beginning.
    fn settle(&self, result: &Result<(), CallError>) {
        let Leased {
            permit,
            spec,
            progress,
            ..
        } = &*self.0;
        let sample = match result {
            Ok(()) => Some(Sample::Answered(Some(permit.age()))),
            // A connection that was dead already says nothing about the service.
            Err(_) if progress.met_dead_socket.load(Ordering::Relaxed) => None,
            Err(error) => {
                if error.kind.counts_against(spec.service) {
                    progress.met_failure.store(true, Ordering::Relaxed);
                }
                match error.kind {
                    ErrorKind::Timeout => Some(Sample::Late),
                    kind if kind.is_overload() => Some(Sample::Overload),
                    // Refused for another reason: the service had time to say so.
                    ErrorKind::Rejected | ErrorKind::Unauthorized => Some(Sample::Answered(None)),
                    _ => None,
                }
            }
        };
        permit.begun(spec.operation, sample);
    }

    /// What this attempt is for.
    pub fn spec(&self) -> &CallSpec {
        &self.0.spec
    }

    /// Begins a request to an endpoint, with its headers; `path` starts with a slash.
    pub fn request(&self, method: Method, endpoint: &Endpoint, path: &str) -> RequestBuilder {
        self.0
            .shared
            .http
            .builder()
            .request(method, endpoint.url(path))
            .headers(endpoint.headers().clone())
    }

    /// Sends what [`Lease::request`] began.
    ///
    /// # Errors
    /// When there is no answer, or one with a status other than success.
    pub async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        let request = request
            .build()
            .map_err(|error| classify::no_answer(self.asked(), error))?;
        self.execute(request).await
    }

    /// Sends a finished request; otherwise as [`Lease::send`].
    ///
    /// # Errors
    /// When there is no answer, or one with a status other than success.
    pub async fn execute(&self, request: Request) -> Result<Response, CallError> {
        let response = self.execute_any(request).await?;
        if response.status().is_success() {
            Ok(response)
        } else {
            Err(self.refusal(response).await)
        }
    }

    /// The error of an answer with a status other than success.
    pub(super) async fn refusal(&self, response: Response) -> CallError {
        let (error, is_whole) = classify::refusal(self.asked(), response).await;
        if is_whole {
            self.note_read();
        }
        error
    }

    /// Sends a request and returns the answer whatever its status.
    pub(super) async fn execute_any(&self, request: Request) -> Result<Response, CallError> {
        let shared = &self.0.shared;
        let host = request.url().host_str().map(str::to_owned);
        let slot = self.slot();
        let client = slot.map_or_else(|| shared.http.library(), |slot| slot.client.clone());
        match awaited(client.execute(request)).await {
            Ok(response) => {
                if let Some(slot) = slot {
                    let is_shared = shared.http.answered(slot, &response);
                    shared.permits.answered(&slot.host, is_shared);
                }
                if let Some(info) = response.extensions().get::<HttpInfo>() {
                    shared.ledger.answered(self.0.spec.service, info);
                }
                Ok(response)
            }
            Err(error) => {
                if classify::is_dead_socket(&error) {
                    self.0
                        .progress
                        .met_dead_socket
                        .store(true, Ordering::Relaxed);
                    if let Some(slot) = slot {
                        shared.http.evict(slot);
                    }
                } else if error.is_connect()
                    && let Some(host) = host
                {
                    shared.resolver.expire(&host);
                }
                Err(classify::no_answer(self.asked(), error))
            }
        }
    }

    /// The connection of this attempt, if its service has hosts.
    fn slot(&self) -> Option<&Taken> {
        let host = self.0.spec.host.as_ref()?;
        let slot = &self.0.slot;
        Some(slot.get_or_init(|| self.0.shared.http.take(host)))
    }

    /// Reads a whole answer of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// When the answer breaks off or is longer.
    pub async fn read(&self, mut response: Response, bytes_max: usize) -> Result<Bytes, CallError> {
        let mut body = Vec::new();
        loop {
            match response.chunk().await {
                Ok(Some(chunk)) if body.len() + chunk.len() > bytes_max => {
                    Excess::Body.count("an HTTP answer");
                    return Err(self.malformed("the answer is longer than allowed"));
                }
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => {
                    self.note_read();
                    return Ok(body.into());
                }
                Err(error) => return Err(self.broken(error)),
            }
        }
    }

    /// Takes note that an answer was read to its end, so that its connection is used again.
    pub(super) fn note_read(&self) {
        if let Some(slot) = self.0.slot.get() {
            slot.note_read();
        }
    }

    /// The error of an answer that broke off.
    pub fn broken(&self, error: reqwest::Error) -> CallError {
        classify::broken_answer(self.asked(), error)
    }

    /// The error of an answer that makes no sense; `why` is fixed text.
    pub fn malformed(&self, why: &'static str) -> CallError {
        self.0.spec.error(ErrorKind::Malformed).because(why)
    }

    /// Takes note that a stream broke off after its first item.
    pub(super) fn broke_off(&self, kind: ErrorKind) {
        if let Some(entry) = &self.0.entry {
            entry.broke_off(kind);
        }
    }

    /// Counts pieces of streamed answers that cannot be read.
    pub(crate) fn unreadable_pieces(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.shared.unreadable_pieces)
    }

    /// A client for building requests, not for sending them.
    pub(super) fn builder(&self) -> &reqwest::Client {
        self.0.shared.http.builder()
    }

    /// What all attempts of the process share.
    pub(super) fn shared(&self) -> &Shared {
        &self.0.shared
    }

    fn asked(&self) -> classify::Asked {
        (self.0.spec.service, self.0.spec.operation)
    }
}

/// What a stream holds on to until it ends: its connection and its line among the calls in flight.
pub(super) struct Held {
    pub(super) lease: Lease,
    pub(super) _in_flight: InFlight,
}
