//! What all calls to one host of one service pass: the breaker and the limit of that host.
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

use super::adaptive::{Adaptive, Sample};
use super::breaker::{Breaker, BreakerState, Ticket, Transition, Verdict};
use super::call::Progress;
use super::config::Config;
use super::places::{Place, Places};
use super::spec::{CallSpec, Priority};
use super::stats::{BreakerStats, LimitStats};
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
        let key = Key {
            service: spec.service,
            host: spec.host.clone(),
            priority: spec.priority,
        };
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
    places: Option<Arc<Places>>,
    last_answer: Mutex<Option<Instant>>,
    opened: Arc<Notify>,
}

impl Gate {
    fn new(key: Key, config: &Config, opened: Arc<Notify>) -> Self {
        let breaker = (config.breaker.enabled).then(|| Breaker::new(config.breaker.clone()));
        let ceiling = match key.priority {
            Priority::Caller => config.connections_per_host_max,
            Priority::Background => config.background_max,
        };
        let places = (config.adaptive.enabled)
            .then(|| Places::new(Adaptive::new(config.adaptive.clone(), ceiling)));
        Self {
            key,
            breaker: breaker.map(Mutex::new),
            places,
            last_answer: Mutex::default(),
            opened,
        }
    }

    /// Lets a call in: refused at once while the breaker is open, else when there is a place.
    ///
    /// Cancel safety: a dropped wait takes nothing.
    pub(super) async fn enter(
        self: Arc<Self>,
        spec: &CallSpec,
        deadline: Instant,
    ) -> Result<Entry, CallError> {
        // Nobody waits for a place only to be refused.
        if let Some(wait) = self.refusal() {
            return Err(refused(spec, wait));
        }
        let place = match &self.places {
            Some(places) => {
                let waited = tokio::time::timeout_at(deadline, places.acquire()).await;
                // One that comes at the last moment is too late to ask anything.
                let place = waited.ok().filter(|_| Instant::now() < deadline);
                Some(place.ok_or_else(|| spec.error(ErrorKind::Saturated))?)
            }
            None => None,
        };
        let ticket = self.admit().map_err(|wait| refused(spec, wait))?;
        Ok(Entry {
            gate: self,
            ticket,
            operation: spec.operation,
            began: Instant::now(),
            _place: place,
        })
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

    pub(super) fn limit_stats(&self) -> Option<LimitStats> {
        let (limit, in_use) = self.places.as_ref()?.stats();
        Some(LimitStats { limit, in_use })
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

/// A call that was let in. Shared by its attempts and, for a stream, kept to its end.
pub(super) struct Entry {
    gate: Arc<Gate>,
    ticket: Option<Ticket>,
    operation: &'static str,
    began: Instant,
    _place: Option<Place>,
}

impl Entry {
    /// Takes the outcome of the call: once, and `None` when it was dropped before it had one.
    pub(super) fn settle(&self, result: Option<&Result<(), CallError>>, progress: &Progress) {
        let failure = result.and_then(|result| result.as_ref().err().map(|error| error.kind));
        let verdict = match (result, failure) {
            (None, _) => Verdict::Unknown,
            (Some(_), Some(kind)) => verdict(self.gate.key.service, kind),
            (Some(_), None) => Verdict::Good,
        };
        if matches!(verdict, Verdict::Good | Verdict::Busy) {
            let mut last_answer =
                (self.gate.last_answer.lock()).unwrap_or_else(PoisonError::into_inner);
            *last_answer = Some(Instant::now());
        }
        if let Some(places) = &self.gate.places {
            let is_overload = failure.is_some_and(ErrorKind::is_overload)
                || progress.met_overload.load(Ordering::Relaxed);
            let attempts = progress.attempts.load(Ordering::Relaxed);
            // An attempt that met overload counts, although the next one may have succeeded.
            let sample = match verdict {
                _ if is_overload => Sample::Overload,
                Verdict::Good => Sample::Answered((attempts == 1).then(|| self.began.elapsed())),
                Verdict::Bad | Verdict::Busy | Verdict::Unknown => Sample::Unknown,
            };
            places.settle(self.operation, sample, self.began);
        }
        self.tell_breaker(|breaker, ticket, now, jitter| {
            breaker.settle(ticket, verdict, now, jitter)
        });
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
