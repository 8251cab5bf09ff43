//! Who does the work of one stage: several services in the order of preference.
//!
//! The first that is well is asked; when it fails before its first item the next one takes over.
//! One that failed rests a while, and is asked again when its rest is over *and* the pool knows its
//! host to be well: the health monitor finds that out, no caller does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use serde::Serialize;
use tokio::time::Instant;

use super::breaker::Config as BreakerConfig;
use super::{ConnectionPool, Endpoint, Items};
use crate::error::{CallError, ErrorKind};

/// Somebody who can do the work of a stage.
#[derive(Clone)]
pub(crate) struct Candidate {
    /// Where it is.
    pub(crate) endpoint: Endpoint,
    /// The model that does it.
    pub(crate) model: String,
}

/// The services of one stage; at least one.
pub(crate) struct Choice {
    stage: &'static str,
    pool: ConnectionPool,
    rules: BreakerConfig,
    candidates: Vec<Candidate>,
    state: Arc<Mutex<State>>,
}

/// What of a choice the statistics show.
#[derive(Clone)]
pub(super) struct Shown {
    stage: &'static str,
    candidates: Vec<Candidate>,
    state: Arc<Mutex<State>>,
}

/// A stage with fallbacks, and who serves it.
#[derive(Clone, Debug, Serialize)]
pub struct StageStats {
    /// `stt`, `llm`, `tts`, `realtime` or `extraction`.
    pub stage: &'static str,
    /// Which one answered last: 0 is the first choice.
    pub in_use: usize,
    /// How often another one than before answered.
    pub changes: u64,
    /// All of them, in the order of preference.
    pub candidates: Vec<CandidateStats>,
}

/// One of the services of a stage.
#[derive(Clone, Debug, Serialize)]
pub struct CandidateStats {
    /// Name and port.
    pub host: String,
    /// The model it is asked for.
    pub model: String,
    /// Whether it answered last.
    pub is_in_use: bool,
}

impl StageStats {
    /// What a voice calls the stage.
    pub(super) fn spoken(&self) -> &'static str {
        match self.stage {
            "stt" => "the transcription",
            "llm" => "the language model",
            "tts" => "the voice",
            "realtime" => "speech to speech",
            _ => "the extraction of memories",
        }
    }
}

struct State {
    standings: Vec<Standing>,
    in_use: usize,
    changes: u64,
}

/// How one of them did lately. Plain: time is an argument.
#[derive(Clone, Copy, Debug, Default)]
struct Standing {
    rests_until: Option<Instant>,
    failures_in_a_row: u32,
}

impl Standing {
    /// Takes a failure: the rest doubles with each one, as an open breaker's time does.
    fn failed(&mut self, error: &CallError, now: Instant, rules: &BreakerConfig) {
        let kind = error.kind;
        let is_about_the_service = kind.counts_against(error.service)
            || kind.is_overload()
            || kind == ErrorKind::Unauthorized;
        if !is_about_the_service || self.is_resting(now) {
            return;
        }
        let doubled = rules
            .open
            .saturating_mul(1 << self.failures_in_a_row.min(16));
        let rest = doubled.max(error.retry_after.unwrap_or_default());
        self.rests_until = Some(now + rest.min(rules.open_max));
        self.failures_in_a_row += 1;
    }

    fn succeeded(&mut self) {
        *self = Self::default();
    }

    fn is_resting(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }
}

impl Choice {
    /// A choice of `candidates`, which the pool's statistics show from now on.
    pub(crate) fn new(
        stage: &'static str,
        pool: ConnectionPool,
        candidates: Vec<Candidate>,
    ) -> Self {
        debug_assert!(!candidates.is_empty(), "nobody to ask");
        let state = Arc::new(Mutex::new(State {
            standings: vec![Standing::default(); candidates.len()],
            in_use: 0,
            changes: 0,
        }));
        pool.show(Shown {
            stage,
            candidates: candidates.clone(),
            state: Arc::clone(&state),
        });
        Self {
            stage,
            rules: pool.breaker_rules().clone(),
            pool,
            candidates,
            state,
        }
    }

    /// Who would be asked now.
    pub(crate) fn first(&self) -> usize {
        self.order()[0]
    }

    /// Asks one after the other until one answers; the error is the last one's.
    ///
    /// Cancel safety: dropping the future drops the call under way.
    pub(crate) async fn call<T>(
        &self,
        ask: impl Fn(usize) -> BoxFuture<'static, Result<T, CallError>>,
    ) -> Result<T, CallError> {
        let mut order = self.order().into_iter().peekable();
        loop {
            let Some(place) = order.next() else {
                unreachable!("the last one's result is returned")
            };
            match ask(place).await {
                Ok(answer) => {
                    self.succeeded(place);
                    return Ok(answer);
                }
                Err(error) => {
                    self.failed(place, &error);
                    if order.peek().is_none() {
                        return Err(error);
                    }
                }
            }
        }
    }

    /// The same for a stream: the next one is asked only as long as nothing was delivered.
    ///
    /// Cancel safety: dropping the stream closes its request.
    pub(crate) fn stream<T: Send + 'static>(
        self: &Arc<Self>,
        ask: impl Fn(usize) -> Items<T> + Send + Sync + 'static,
    ) -> Items<T> {
        let choice = Arc::clone(self);
        let ask = Arc::new(ask);
        let opening = async move {
            let open = |place| {
                // Read on after its first item, which may have been its end.
                let mut items = ask(place).fuse();
                let opened: BoxFuture<'static, _> = Box::pin(async move {
                    let first = items.next().await.transpose()?;
                    Ok((place, first, items))
                });
                opened
            };
            match choice.call(open).await {
                Ok((place, first, rest)) => {
                    let rest = rest.inspect(move |item| {
                        // Too late for this answer; the next one is asked elsewhere.
                        if let Err(error) = item {
                            choice.failed(place, error);
                        }
                    });
                    stream::iter(first.map(Ok)).chain(rest).boxed()
                }
                Err(error) => stream::iter([Err(error)]).boxed(),
            }
        };
        stream::once(opening).flatten().boxed()
    }

    /// All of them: those that are well first, each group in the order of preference.
    fn order(&self) -> Vec<usize> {
        let now = Instant::now();
        let standings = self.lock().standings.clone();
        let is_well = |place: &usize| {
            !standings[*place].is_resting(now)
                && self.pool.is_well(&self.candidates[*place].endpoint)
        };
        let (mut well, unwell): (Vec<_>, Vec<_>) = (0..standings.len()).partition(is_well);
        well.extend(unwell);
        well
    }

    /// Whether one that is preferred to this is well.
    pub(crate) fn has_better(&self, place: usize) -> bool {
        self.first() < place
    }

    /// Takes a failure that was met outside of [`Self::call`].
    pub(crate) fn failed(&self, place: usize, error: &CallError) {
        self.lock().standings[place].failed(error, Instant::now(), &self.rules);
        if error.kind.counts_against(error.service) {
            self.pool.suspect(&self.candidates[place].endpoint);
        }
    }

    fn succeeded(&self, place: usize) {
        let mut state = self.lock();
        state.standings[place].succeeded();
        let before = std::mem::replace(&mut state.in_use, place);
        if before == place {
            return;
        }
        state.changes += 1;
        drop(state);
        let Candidate { endpoint, model } = &self.candidates[place];
        let (stage, host) = (self.stage, &**endpoint.host());
        if place == 0 {
            tracing::info!(stage, host, model, "the first choice serves again");
        } else {
            tracing::warn!(stage, host, model, "a fallback has taken over");
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shown {
    pub(super) fn stats(&self) -> StageStats {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let candidates = self.candidates.iter().enumerate();
        StageStats {
            stage: self.stage,
            in_use: state.in_use,
            changes: state.changes,
            candidates: candidates
                .map(|(place, it)| CandidateStats {
                    host: it.endpoint.host().to_string(),
                    model: it.model.clone(),
                    is_in_use: place == state.in_use,
                })
                .collect(),
        }
    }
}

/// What one of several services of a stage may take to begin its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// All its attempts together.
    pub(crate) timeout: Duration,
    /// None where the next service waits; the pool's own rule for the last one.
    pub(crate) retries_max: Option<u32>,
}

/// The shares of `n` services in the order of preference: each may take `fallback_after`, and the last
/// one what is left of `timeout`. So nobody waits longer than `timeout` for all of them together, unless
/// there are so many that the last would have less time than the others.
pub(crate) fn shares(
    timeout: Duration,
    fallback_after: Duration,
    n: usize,
) -> impl Iterator<Item = Share> {
    let one = timeout.min(fallback_after);
    let n_others = u32::try_from(n.saturating_sub(1)).unwrap_or(u32::MAX);
    let left = timeout.saturating_sub(one.saturating_mul(n_others));
    (1..=n).map(move |place| match place < n {
        true => Share {
            timeout: one,
            retries_max: Some(0),
        },
        false => Share {
            timeout: left.max(one),
            retries_max: None,
        },
    })
}

#[cfg(test)]
#[path = "choice_tests.rs"]
mod tests;
