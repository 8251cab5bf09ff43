//! Connections opened before the first call needs them.

use std::collections::HashMap;

use futures::future;
use reqwest::StatusCode;

use super::ConnectionPool;
use super::call::Lease;
use super::endpoint::Endpoint;
use super::health::key_of;
use super::spec::{CallSpec, Priority};
use super::urgency::{CallOptions, Urgency};
use crate::error::{CallError, ErrorKind, Service};

/// Most of a model list that is read: a gateway's list of thousands fits.
const MODELS_BYTES_MAX: usize = 4 * 1024 * 1024;

impl ConnectionPool {
    /// Opens connections to each host of `endpoints`, except to those that answered a call so
    /// recently that they are still there. For the start of the process and of each job.
    ///
    /// Trouble is logged and is no reason to stop: the first call will meet it again and say so.
    pub async fn prewarm(&self, endpoints: &[Endpoint]) {
        if !self.0.shared.config.enabled {
            return;
        }
        // Jobs that start together need one set of connections, not one each.
        let Ok(_turn) = self.0.prewarming.try_lock() else {
            return;
        };
        let cold = endpoints.iter().filter(|endpoint| !self.is_warm(endpoint));
        let hosts: HashMap<_, _> = cold.map(|e| (e.host(), e)).collect();
        let probes = hosts.values().flat_map(|endpoint| {
            (0..self.0.shared.config.prewarm_connections).map(|_| self.probe(endpoint))
        });
        let failed = future::join_all(probes)
            .await
            .into_iter()
            .find_map(Result::err);
        match failed {
            Some(error) if error.kind.needs_operator() => {
                let cause = error.cause.as_ref().map(ToString::to_string);
                tracing::error!(%error, cause, "the service refuses us: check OPENAI_API_KEY");
            }
            // The breaker has said so already.
            Some(error) if error.kind == ErrorKind::CircuitOpen => {}
            Some(error) => tracing::warn!(%error, "no connection could be opened ahead of calls"),
            None => {}
        }
    }

    /// Whether the connections of the last answer are still kept.
    fn is_warm(&self, endpoint: &Endpoint) -> bool {
        let gates = self.0.shared.gates.behind(&key_of(endpoint));
        let answers = gates.iter().filter_map(|gate| gate.last_answer());
        let idle_timeout = self.0.shared.config.idle_timeout;
        answers
            .max()
            .is_some_and(|last| last.elapsed() < idle_timeout)
    }

    /// Asks an endpoint for something small (OpenAI's for its models): is it there, and does it
    /// know our key?
    ///
    /// A server that has no such thing counts as there.
    ///
    /// # Errors
    /// When it cannot be reached, fails, or does not accept the key.
    pub async fn probe(&self, endpoint: &Endpoint) -> Result<(), CallError> {
        self.probe_as(endpoint, Priority::Caller).await
    }

    /// The same through the gate of that priority.
    pub(super) async fn probe_as(
        &self,
        endpoint: &Endpoint,
        priority: Priority,
    ) -> Result<(), CallError> {
        let timeout = 2 * self.0.shared.config.connect_timeout;
        let operation = match endpoint.service() {
            Service::OpenAi => "models",
            _ => "health",
        };
        let spec = CallSpec {
            priority,
            // What callers wait for goes first.
            options: CallOptions::default().urgency(Urgency::LaterSentence),
            ..CallSpec::to(operation, endpoint, timeout)
        };
        let endpoint = endpoint.clone();
        self.call(spec, move |lease| ask(lease, endpoint.clone()))
            .await
    }
}

async fn ask(lease: Lease, endpoint: Endpoint) -> Result<(), CallError> {
    let request = lease
        .builder()
        .get(endpoint.health_url())
        .headers(endpoint.headers().clone())
        .build()
        .map_err(|error| lease.broken(error))?;
    let response = lease.execute_any(request).await?;
    let status = response.status();
    if status.is_success() {
        // Only a connection whose answer was read to its end is used again.
        return lease.read(response, MODELS_BYTES_MAX).await.map(drop);
    }
    let refusal = lease.refusal(response).await;
    let error = endpoint.explain(lease.spec().operation, refusal);
    let has_no_list = matches!(
        status,
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED
    );
    match error.kind {
        ErrorKind::Rejected if has_no_list => Ok(()),
        _ => Err(error),
    }
}
