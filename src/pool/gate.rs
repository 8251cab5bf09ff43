//! What all calls to one host of one service pass: the circuit breaker of that host.
//!
//! A stage may have a server of its own, so state is kept for each host and not for each service. A
//! service without hosts (a backend with its own pool) has one gate. Work in the background passes a
//! gate of its own: when it fails, that says little about a conversation, and must not end one.

use std::collections::HashMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::{Breaker, BreakerState, Ticket, Transition, Verdict};
use super::call::Progress;
use super::config::Config;
use super::spec::{CallSpec, Priority};
use super::stats::BreakerStats;
use crate::error::{CallError, ErrorKind, Service};

/// Gates remembered at most; hosts come from the configuration, so there are few.
const GATES_MAX: usize = 64;

/// Which gate: a service, the host where it has several, and who waits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) service: Service,
    pub(super) host: Option<Arc<str>>,
    pub(super) priority: Priority,
}

impl Key {
    /// Of a call.
    pub(super) fn of(spec: &CallSpec) -> Self {
        Self {
            service: spec.service,
            host: spec.host.clone(),
            priority: spec.priority,
        }
    }

    /// Of what callers wait for.
    pub(super) fn of_callers(service: Service, host: Option<Arc<str>>) -> Self {
        Self {
            service,
            host,
            priority: Priority::Caller,
        }
    }
}

/// The gates of the process.
pub(super) struct Gates {
    config: Config,
    gates: Mutex<HashMap<Key, Arc<Gate>>>,
    opened: Arc<Notify>,
}

impl Gates {
    pub(super) fn new(config: &Config) -> Self {
        Self {
            config: config.clone(),
            gates: Mutex::default(),
            opened: Arc::default(),
        }
    }

    /// The gate of a host; built at its first call.
    pub(super) fn get(&self, spec: &CallSpec) -> Arc<Gate> {
        let key = Key::of(spec);
        let mut gates = self.lock();
        if gates.len() >= GATES_MAX && !gates.contains_key(&key) {
            // One that is open closes by itself with time, and is forgotten then.
            let is_open = |gate: &Arc<Gate>| gate.state() == BreakerState::Open;
            let is_needed = |gate: &Arc<Gate>| Arc::strong_count(gate) > 1 || is_open(gate);
            gates.retain(|_, gate| is_needed(gate));
        }
        let gate = gates.entry(key.clone()).or_insert_with(|| {
            let opened = Arc::clone(&self.opened);
            Arc::new(Gate::new(key, &self.config, opened))
        });
        Arc::clone(gate)
    }

    /// The gates that calls to `key` pass: its own, or for a key without host those of all hosts.
    pub(super) fn behind(&self, key: &Key) -> Vec<Arc<Gate>> {
        if key.host.is_some() {
            return self.lock().get(key).cloned().into_iter().collect();
        }
        let mut gates = self.of(key.service);
        gates.retain(|gate| gate.key.priority == key.priority);
        gates
    }

    /// The gates of a service, in the order of their hosts.
    pub(super) fn of(&self, service: Service) -> Vec<Arc<Gate>> {
        let mut gates: Vec<_> = (self.lock().values())
            .filter(|gate| gate.key.service == service)
            .cloned()
            .collect();
        gates.sort_by(|a, b| a.key.cmp(&b.key));
        gates
    }

    /// Resolves when a breaker has opened since the last time.
    pub(super) async fn opened(&self) {
        self.opened.notified().await;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Arc<Gate>>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The gate of one host.
pub(super) struct Gate {
    pub(super) key: Key,
    breaker: Option<Mutex<Breaker>>,
    last_answer: Mutex<Option<Instant>>,
    opened: Arc<Notify>,
}

impl Gate {
    fn new(key: Key, config: &Config, opened: Arc<Notify>) -> Self {
        let breaker = (config.breaker.enabled).then(|| Breaker::new(config.breaker.clone()));
        Self {
            key,
            breaker: breaker.map(Mutex::new),
            last_answer: Mutex::default(),
            opened,
        }
    }

    /// Lets a call in, or refuses it while the breaker is open.
    pub(super) fn enter(self: Arc<Self>, spec: &CallSpec) -> Result<Entry, CallError> {
        let ticket = self.admit().map_err(|wait| refused(spec, wait))?;
        Ok(Entry { gate: self, ticket })
    }

    /// For how long a call would be refused now.
    pub(super) fn refusal(&self) -> Option<Duration> {
        self.breaker()?.refusal(Instant::now())
    }

    /// When the service last answered anything.
    pub(super) fn last_answer(&self) -> Option<Instant> {
        *(self.last_answer.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether calls pass; `Closed` without a breaker.
    pub(super) fn state(&self) -> BreakerState {
        self.breaker()
            .map_or(BreakerState::Closed, |it| it.state(Instant::now()))
    }

    pub(super) fn breaker_stats(&self) -> Option<BreakerStats> {
        let breaker = self.breaker()?;
        let now = Instant::now();
        Some(BreakerStats {
            state: breaker.state(now),
            opened: breaker.opened(),
            retry_in_seconds: breaker.refusal(now).map(|wait| wait.as_secs_f64()),
        })
    }

    fn admit(&self) -> Result<Option<Ticket>, Duration> {
        let Some(mut breaker) = self.breaker() else {
            return Ok(None);
        };
        let (ticket, transition) = breaker.admit(Instant::now())?;
        drop(breaker);
        self.note(transition);
        Ok(Some(ticket))
    }

    fn breaker(&self) -> Option<MutexGuard<'_, Breaker>> {
        let breaker = self.breaker.as_ref()?;
        Some(breaker.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// One line for each change of state.
    fn note(&self, transition: Option<Transition>) {
        let (service, host) = (self.key.service.label(), self.key.host.as_deref());
        let priority = self.key.priority.label();
        match transition {
            Some(Transition::Opened { for_ }) => {
                let seconds = for_.as_secs_f64();
                tracing::warn!(
                    service,
                    host,
                    priority,
                    seconds,
                    "circuit breaker open: the service keeps failing and is not asked for a while"
                );
                self.opened.notify_one();
            }
            Some(Transition::HalfOpened) => {
                tracing::info!(
                    service,
                    host,
                    priority,
                    "circuit breaker half-open: trying the service"
                );
            }
            Some(Transition::Closed) => {
                tracing::info!(
                    service,
                    host,
                    priority,
                    "circuit breaker closed: the service is back"
                );
            }
            None => {}
        }
    }
}

fn refused(spec: &CallSpec, wait: Duration) -> CallError {
    CallError {
        retry_after: Some(wait),
        ..spec.error(ErrorKind::CircuitOpen)
    }
}

/// A call that was let in. Shared by its attempts and, for a stream, held to its end.
pub(super) struct Entry {
    gate: Arc<Gate>,
    ticket: Option<Ticket>,
}

impl Entry {
    /// Why an attempt must not be made any more: the breaker has opened while it waited for a permit.
    pub(super) fn refusal(&self, spec: &CallSpec) -> Option<CallError> {
        // A probe of a breaker that is half-open has its ticket.
        let is_open = self.gate.state() == BreakerState::Open;
        let wait = is_open.then(|| self.gate.refusal()).flatten()?;
        Some(refused(spec, wait))
    }

    /// Takes the outcome of the call: once, and `None` when it was dropped before it had one.
    pub(super) fn settle(&self, result: Option<&Result<(), CallError>>, progress: &Progress) {
        let verdict = match result {
            None => Verdict::Unknown,
            Some(Ok(())) => Verdict::Good,
            Some(Err(error)) => self.verdict(error.kind, progress),
        };
        if matches!(verdict, Verdict::Good | Verdict::Busy) {
            let mut last_answer =
                (self.gate.last_answer.lock()).unwrap_or_else(PoisonError::into_inner);
            *last_answer = Some(Instant::now());
        }
        self.tell_breaker(|breaker, ticket, now, jitter| {
            breaker.settle(ticket, verdict, now, jitter)
        });
    }

    /// What a failure says about the service. A call that ended while it waited for a permit says
    /// nothing, unless the service had failed an attempt before.
    fn verdict(&self, kind: ErrorKind, progress: &Progress) -> Verdict {
        match kind {
            ErrorKind::Saturated if progress.met_failure.load(Ordering::Relaxed) => Verdict::Bad,
            kind => verdict(self.gate.key.service, kind),
        }
    }

    /// Takes note that an answer broke off which had been settled as good.
    pub(super) fn broke_off(&self, kind: ErrorKind) {
        if kind.counts_against(self.gate.key.service) {
            self.tell_breaker(Breaker::broke_off);
        }
    }

    fn tell_breaker(
        &self,
        what: impl FnOnce(&mut Breaker, Ticket, Instant, f64) -> Option<Transition>,
    ) {
        if let (Some(mut breaker), Some(ticket)) = (self.gate.breaker(), self.ticket) {
            let transition = what(&mut breaker, ticket, Instant::now(), rand::rng().random());
            drop(breaker);
            self.gate.note(transition);
        }
    }
}

/// What a failure says about its service: a refusal of one request is an answer, so the service is there.
fn verdict(service: Service, kind: ErrorKind) -> Verdict {
    match kind {
        kind if kind.counts_against(service) => Verdict::Bad,
        ErrorKind::RateLimited => Verdict::Busy,
        ErrorKind::CircuitOpen | ErrorKind::Saturated => Verdict::Unknown,
        _ => Verdict::Good,
    }
}

#[cfg(test)]
#[path = "gate_tests.rs"]
mod tests;
