//! Permits for requests: a request waits here until the queue (`queue.rs`) gives it one.
//!
//! Outside of it are WebSockets once they are open, which each set limits for itself (`sockets.rs`), and
//! the requests that the MCP library sends by itself. Backends (databases, Redis) have connections of
//! their own; of theirs only the adaptive limit is here.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::adaptive::Sample;
use super::budget::{Ask, Holding};
use super::config::Config;
use super::gate::Key;
use super::queue::{Granted, News, Place, Queue};
use super::spec::{CallSpec, Priority};
use super::stats::{HttpHostStats, LimitStats, PermitStats, WaitStats};
use super::urgency::{CallerId, Urgency};
use crate::error::{CallError, ErrorKind};

/// The permits of the whole process.
pub(super) struct Permits {
    queue: Mutex<Queue<oneshot::Sender<Permit>>>,
    wait_max: Duration,
}

/// A permit. Dropping it gives back what it still holds.
pub(super) struct Permit {
    permits: Arc<Permits>,
    holding: Mutex<Option<Holding>>,
    key: Key,
    caller: Option<CallerId>,
    since: Instant,
}

/// A request in the queue; dropping it leaves the queue.
struct Waiting<'a> {
    permits: &'a Permits,
    place: Place,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.permits.lock().leave(&self.place);
    }
}

impl Permits {
    pub(super) fn new(config: &Config) -> Arc<Self> {
        Arc::new(Self {
            queue: Mutex::new(Queue::new(config, Instant::now())),
            wait_max: config.permit_timeout,
        })
    }

    /// Waits for a permit: until `deadline`, and not longer than `pool.permit_timeout_seconds` once a
    /// caller waits with it.
    ///
    /// Cancel safety: a dropped wait leaves the queue and takes nothing.
    pub(super) async fn acquire(
        self: &Arc<Self>,
        spec: &CallSpec,
        deadline: Instant,
    ) -> Result<Permit, CallError> {
        let mut since = Instant::now();
        let urgency = match spec.priority {
            Priority::Caller => spec.options.current(),
            Priority::Background => Urgency::Background,
        };
        let mut is_certain = urgency != Urgency::Speculation;
        let ask = Ask {
            key: Key::of(spec),
            caller: spec.options.caller,
            urgency,
        };
        let (give, mut given) = oneshot::channel();
        let saturated = || spec.error(ErrorKind::Saturated);
        let place = self.lock().ask(ask, give, since).ok_or_else(saturated)?;
        let mut waiting = Waiting {
            permits: self,
            place,
        };
        self.give_out();
        if let Ok(permit) = given.try_recv() {
            return Ok(permit);
        }
        self.lock().stay(&waiting.place);
        self.tell();
        loop {
            let until = match urgency {
                _ if !is_certain => deadline,
                Urgency::Background => deadline,
                _ => deadline.min(since + self.wait_max),
            };
            tokio::select! {
                biased;
                permit = &mut given => {
                    let waited = since.elapsed();
                    spec.options.waited.add(waited);
                    // A permit that comes at the last moment is too late to ask anything.
                    let permit = permit.ok().filter(|_| Instant::now() < deadline);
                    return permit.ok_or_else(saturated);
                }
                () = spec.options.committed(), if !is_certain => {
                    is_certain = true;
                    since = Instant::now();
                    let urgency = spec.options.urgency;
                    let promoted = self.lock().promote(&waiting.place, urgency, since);
                    if let Some(place) = promoted {
                        waiting.place = place;
                    }
                    self.give_out();
                }
                () = sleep_until(until) => return Err(saturated()),
            }
        }
    }

    /// Takes note of how a host answers.
    pub(super) fn answered(self: &Arc<Self>, host: &Arc<str>, is_http2: bool) {
        let is_new = self.lock().budget.answered(host, is_http2);
        if is_new {
            self.give_out();
        }
    }

    /// The highest part of a limit that was wanted lately; above 1 where requests had to wait.
    pub(super) fn demand(&self) -> f32 {
        self.lock().demand.now(Instant::now())
    }

    /// The adaptive limit that requests of `key` have.
    pub(super) fn limit(&self, key: &Key) -> Option<LimitStats> {
        let (limit, in_use) = self.lock().budget.limit(key)?;
        Some(LimitStats { limit, in_use })
    }

    pub(super) fn stats(&self) -> PermitStats {
        let queue = self.lock();
        let budget = &queue.budget;
        let (rules, asking) = (&budget.rules, budget.n_asking());
        let in_use = budget.hosts.values().map(|it| it.own + it.streams).sum();
        let waits = Urgency::ALL.iter().zip(queue.waits).map(|(urgency, it)| {
            let waits = WaitStats {
                count: it.count,
                seconds: it.total.as_secs_f64(),
            };
            (urgency.label(), waits)
        });
        PermitStats {
            max: rules.all_max,
            in_use,
            background_max: rules.all_background,
            background_in_use: budget.background,
            connections_in_use: budget.connections,
            asking,
            answering: in_use.saturating_sub(asking),
            waiting: queue.n_waiting(),
            waits: waits.collect(),
            speculation_held_back: queue.held_back,
        }
    }

    /// The hosts, in the order of their names.
    pub(super) fn hosts(&self) -> Vec<HttpHostStats> {
        let queue = self.lock();
        let budget = &queue.budget;
        let streams_max = budget.rules.streams_max;
        let mut hosts: Vec<_> = (budget.hosts.iter())
            .map(|(name, host)| HttpHostStats {
                host: name.to_string(),
                is_http2: host.is_http2,
                connections_in_use: host.connections(streams_max),
                streams_in_use: host.streams,
                streams_seen_max: host.streams_seen_max,
            })
            .collect();
        hosts.sort_by(|a, b| a.host.cmp(&b.host));
        hosts
    }

    /// Gives out what there is.
    fn give_out(self: &Arc<Self>) {
        loop {
            // Outside of the lock: what a waiter that has just left does not take comes back to it.
            let granted = self.lock().grant(Instant::now());
            let Some(Granted {
                waiter, holding, ..
            }) = granted
            else {
                break;
            };
            let permit = Permit::new(Arc::clone(self), holding);
            drop(waiter.send(permit));
        }
        self.tell();
    }

    /// Says when permits begin and cease to be short.
    fn tell(&self) {
        let news = self.lock().take_news();
        match news {
            Some(News::SpeculationStopped) => tracing::info!(
                "permits are short: no answers are prepared before turns end, until there are more"
            ),
            Some(News::SpeculationGoesOn { held_back }) => tracing::info!(
                held_back,
                "there are permits again: answers are prepared before turns end"
            ),
            None => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue<oneshot::Sender<Permit>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit {
    fn new(permits: Arc<Permits>, holding: Holding) -> Self {
        Self {
            permits,
            key: holding.key().clone(),
            caller: holding.caller(),
            holding: Mutex::new(Some(holding)),
            since: Instant::now(),
        }
    }

    /// The answer has begun, or there will be none: others may ask now. What that says about the load of
    /// the service moves the limit of its host.
    pub(super) fn begun(&self, operation: &'static str, sample: Option<Sample>) {
        let (who, now) = ((&self.key, self.caller), Instant::now());
        let mut queue = self.permits.lock();
        if let Some(sample) = sample {
            queue.budget.settle(who, operation, sample, self.since, now);
        }
        if let Some(holding) = &mut *self.holding() {
            queue.budget.begun(holding);
        }
        drop(queue);
        self.permits.give_out();
    }

    /// How long ago it was given.
    pub(super) fn age(&self) -> Duration {
        self.since.elapsed()
    }

    fn holding(&self) -> MutexGuard<'_, Option<Holding>> {
        self.holding.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let holding = self.holding().take();
        if let Some(holding) = holding {
            self.permits.lock().budget.end(holding);
            self.permits.give_out();
        }
    }
}

#[cfg(test)]
#[path = "permits_tests.rs"]
mod tests;
