//! The health monitor: asks what has been silent for long, notices what is down before a caller
//! does, and notices when it is back.

mod seen;
mod signs;

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::time::{Instant, sleep};

pub(super) use self::seen::Health;
use self::signs::Signs;
use super::ConnectionPool;
use super::backend::Backend;
use super::breaker::BreakerState;
use super::endpoint::Endpoint;
use super::gate::Key;
use super::spec::Priority;
use crate::error::{CallError, ErrorKind};

/// Endpoints watched at most; they come from the configuration, so there are few.
const WATCHED_MAX: usize = 64;
/// Least time between two looks, however much there is to probe.
const LOOK_INTERVAL_MIN: Duration = Duration::from_millis(250);

/// What can be asked how it is.
enum Target {
    Endpoint(Endpoint),
    Backend(Arc<dyn Backend>),
}

/// Of what callers ask of an endpoint.
pub(super) fn key_of(endpoint: &Endpoint) -> Key {
    Key::of_callers(endpoint.service(), Some(Arc::clone(endpoint.host())))
}

impl ConnectionPool {
    /// Remembers endpoints for the health monitor; backends are watched without this.
    pub fn watch(&self, endpoints: &[Endpoint]) {
        let mut watched = self.0.health.endpoints();
        for endpoint in endpoints {
            let key = key_of(endpoint);
            if watched.len() < WATCHED_MAX || watched.contains_key(&key) {
                watched.insert(key, endpoint.clone());
            }
        }
    }

    /// Makes the monitor ask an endpoint now, and soon again until it answers.
    pub(super) fn suspect(&self, endpoint: &Endpoint) {
        let key = key_of(endpoint);
        let is_watched = self.0.health.endpoints().contains_key(&key);
        if is_watched && self.0.health.suspects().insert(key) {
            self.0.health.look_now();
        }
    }

    /// Whether an endpoint's host is well, as far as is known without asking it.
    pub(super) fn is_well(&self, endpoint: &Endpoint) -> bool {
        let key = key_of(endpoint);
        self.signs(&key).is_well()
    }

    /// The health monitor; runs for ever, beside the worker.
    ///
    /// It looks every `pool.health_interval`, and when an open breaker's time is over. It asks what
    /// has neither answered nor been asked for `pool.health_check_after`, what failed the last time,
    /// what calls go on without,
    /// and what the breaker would let a probe through to, so that no caller has to pay for finding
    /// out. A failure drops the idle connections to the service: what was stale is gone when it is
    /// back. Each change is logged once. A check that takes its time delays no other, and one that
    /// panics is one that failed. Each look also counts connections that are gone as closed.
    ///
    /// Cancel safety: dropping the future ends the checks under way.
    pub async fn monitor(&self) {
        let mut checks = FuturesUnordered::new();
        let mut under_way = BTreeSet::new();
        loop {
            tokio::select! {
                () = sleep(self.next_look(&under_way)) => {}
                () = self.0.shared.gates.opened() => continue,
                () = self.0.health.wake.notified() => {}
                Some(key) = checks.next() => {
                    under_way.remove(&key);
                    continue;
                }
            }
            self.0.shared.ledger.look();
            self.0.shared.http.drop_expired();
            let now = Instant::now();
            let check_after = self.0.shared.config.health_check_after;
            for (key, target) in self.targets() {
                let is_due = self.signs(&key).is_due(now, check_after);
                if is_due && under_way.insert(key.clone()) {
                    checks.push(async move {
                        self.check(&key, target).await;
                        key
                    });
                }
            }
        }
    }

    /// The time until something may have to be checked that is not being checked.
    fn next_look(&self, under_way: &BTreeSet<Key>) -> Duration {
        let keys = self.targets().into_iter().map(|(key, _)| key);
        let idle = keys.filter(|key| !under_way.contains(key));
        let probe = idle.filter_map(|key| self.probe_in(&key)).min();
        let config = &self.0.shared.config;
        let interval = match self.0.health.suspects().is_empty() {
            true => config.health_interval,
            // A fallback's callers wait for the first choice to be back.
            false => config.health_interval.min(config.breaker.open),
        };
        probe.map_or(interval, |wait| wait.max(LOOK_INTERVAL_MIN).min(interval))
    }

    /// The time until the breaker of a target lets a probe through; `None` while it is closed.
    fn probe_in(&self, key: &Key) -> Option<Duration> {
        let gates = self.0.shared.gates.behind(key);
        let is_trouble = |it: &Arc<super::gate::Gate>| it.state() != BreakerState::Closed;
        let waits = gates.iter().filter(|it| is_trouble(it));
        waits.map(|it| it.refusal().unwrap_or_default()).min()
    }

    fn targets(&self) -> Vec<(Key, Target)> {
        let endpoints = self.0.health.endpoints().clone();
        let mut targets = Vec::new();
        for (key, endpoint) in endpoints {
            let background = Key {
                priority: Priority::Background,
                ..key.clone()
            };
            // The callers' checks tell how the host is; this one only lets work in the background
            // go on when its breaker has opened.
            if self.is_in_trouble(&background) {
                targets.push((background, Target::Endpoint(endpoint.clone())));
            }
            targets.push((key, Target::Endpoint(endpoint)));
        }
        let backends = self.0.backends.all().into_iter();
        targets.extend(backends.map(|it| {
            let key = Key::of_callers(it.service(), None);
            (key, Target::Backend(it))
        }));
        targets
    }

    /// Whether a breaker is not closed, or the last check failed.
    fn is_in_trouble(&self, key: &Key) -> bool {
        let signs = self.signs(key);
        signs.breaker != BreakerState::Closed || signs.is_failing
    }

    fn signs(&self, key: &Key) -> Signs {
        let check = self.0.health.checks().get(key).copied();
        let is_missing = key.host.is_none() && self.missing().contains_key(&key.service);
        let gates = self.0.shared.gates.behind(key);
        let states: Vec<_> = gates.iter().map(|gate| gate.state()).collect();
        let breaker = [BreakerState::HalfOpen, BreakerState::Open]
            .into_iter()
            .find(|state| states.contains(state));
        Signs {
            breaker: breaker.unwrap_or(BreakerState::Closed),
            last_answer: gates.iter().filter_map(|gate| gate.last_answer()).max(),
            last_check: check.map(|check| check.at),
            is_failing: check.is_some_and(|check| check.failure.is_some()),
            is_suspect: self.0.health.suspects().contains(key) || is_missing,
        }
    }

    async fn check(&self, key: &Key, target: Target) {
        let asked = contained(async {
            match &target {
                Target::Endpoint(endpoint) => self.probe_as(endpoint, key.priority).await,
                Target::Backend(backend) => backend.probe().await,
            }
        });
        let result = asked.await.unwrap_or_else(|| {
            let error = CallError::new(key.service, "health", ErrorKind::Unavailable);
            Err(error.because("the check panicked"))
        });
        if result
            .as_ref()
            .is_err_and(|e| e.kind == ErrorKind::CircuitOpen)
        {
            // A caller's probe was faster.
            return;
        }
        if result.is_ok() {
            self.0.health.suspects().remove(key);
        }
        let before = self
            .0
            .health
            .note(key, result.as_ref().err().map(|e| e.kind));
        let host = key.host.as_deref();
        match (before, result) {
            (None, Err(error)) => {
                self.drop_idle(&target, &error).await;
                report(host, &error);
            }
            (Some(_), Ok(())) => {
                tracing::info!(
                    service = key.service.label(),
                    host,
                    "health check: back again"
                );
            }
            _ => {}
        }
    }

    /// Idle connections to what is not well are dropped as a class.
    async fn drop_idle(&self, target: &Target, error: &CallError) {
        // A refused password has nothing to do with the connection that it was refused on.
        if error.kind.needs_operator() || !error.kind.counts_against(error.service) {
            return;
        }
        match target {
            Target::Endpoint(endpoint) => self.0.shared.http.drop_idle(endpoint.host()),
            Target::Backend(backend) => {
                let cleanup = contained(async { backend.cleanup().await }).await;
                if cleanup.is_none() {
                    let service = error.service.label();
                    tracing::error!(service, "dropping its idle connections panicked");
                }
            }
        }
    }
}

/// One task watches everything, beside the worker: a bug in one backend must not end it. `None`
/// after a panic.
async fn contained<T>(work: impl Future<Output = T>) -> Option<T> {
    AssertUnwindSafe(work).catch_unwind().await.ok()
}

fn report(host: Option<&str>, error: &CallError) {
    let (service, kind) = (error.service.label(), error.kind);
    // A check has nothing of what a caller said.
    let why = error.cause.as_ref().map(|cause| cause.to_string());
    if kind.needs_operator() {
        let advice = match kind {
            ErrorKind::SchemaMissing => "set it up",
            _ => "check the key and the address",
        };
        tracing::error!(service, host, why, "health check: {kind}; {advice}");
    } else {
        tracing::warn!(
            service,
            host,
            why,
            "health check: {kind}; its idle connections are dropped"
        );
    }
}

#[cfg(test)]
mod tests;
