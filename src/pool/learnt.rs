//! Parts of a request that a service refused, held for the process.
//!
//! A capability belongs to a service, its host and the model. This module knows no part by itself: the
//! providers name them (`llm/compatibility`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use super::{ConnectionPool, Endpoint};
use crate::error::Service;

/// For how long a refusal that no change helped against is not searched for its cause again.
const FRUITLESS_FOR: Duration = Duration::from_secs(600);
/// Such refusals remembered at most.
const FRUITLESS_MAX: usize = 64;

/// What a service is asked for in which way.
pub(crate) type Parts = BTreeMap<&'static str, &'static str>;

/// One part of a request that a service is asked for in another way than at first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LearntStats {
    /// The service.
    pub service: Service,
    /// Name and port.
    pub host: String,
    /// The model.
    pub model: String,
    /// The part, by the name of its setting in `[llm.compatibility]`.
    pub part: &'static str,
    /// How it is asked for now.
    pub value: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Key {
    service: Service,
    host: Arc<str>,
    model: String,
}

/// Everything that was learnt.
#[derive(Default)]
pub(super) struct Learnt(Mutex<State>);

#[derive(Default)]
struct State {
    parts: BTreeMap<Key, Parts>,
    fruitless: HashMap<(Key, String), Instant>,
    asked: BTreeSet<Key>,
}

impl Learnt {
    pub(super) fn stats(&self) -> Vec<LearntStats> {
        let state = self.lock();
        let lines = state.parts.iter().flat_map(|(key, parts)| {
            parts.iter().map(|(part, value)| LearntStats {
                service: key.service,
                host: key.host.to_string(),
                model: key.model.clone(),
                part,
                value,
            })
        });
        lines.collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPool {
    /// What is known of a model at an endpoint.
    pub(crate) fn learnt(&self, endpoint: &Endpoint, model: &str) -> Parts {
        let state = self.0.learnt.lock();
        let parts = state.parts.get(&key(endpoint, model));
        parts.cloned().unwrap_or_default()
    }

    /// Holds what was learnt, and logs it once.
    pub(crate) fn learn(
        &self,
        endpoint: &Endpoint,
        model: &str,
        part: &'static str,
        value: &'static str,
    ) {
        let mut state = self.0.learnt.lock();
        let parts = state.parts.entry(key(endpoint, model)).or_default();
        if parts.insert(part, value) == Some(value) {
            return;
        }
        drop(state);
        tracing::warn!(
            host = &**endpoint.host(),
            model,
            part,
            value,
            "the service refuses a part of our requests and is asked differently from now on"
        );
    }

    /// Whether nothing was asked at the start of this model at this endpoint yet; from now on it was.
    pub(crate) fn is_asked_first(&self, endpoint: &Endpoint, model: &str) -> bool {
        self.0.learnt.lock().asked.insert(key(endpoint, model))
    }

    /// Whether a refusal with this code was searched for its cause lately, in vain.
    pub(crate) fn is_fruitless(&self, endpoint: &Endpoint, model: &str, code: &str) -> bool {
        let state = self.0.learnt.lock();
        let since = state
            .fruitless
            .get(&(key(endpoint, model), code.to_owned()));
        since.is_some_and(|since| since.elapsed() < FRUITLESS_FOR)
    }

    /// Remembers a search in vain, so that the next turn does not pay for it again.
    pub(crate) fn give_up(&self, endpoint: &Endpoint, model: &str, code: &str) {
        let mut state = self.0.learnt.lock();
        if state.fruitless.len() >= FRUITLESS_MAX {
            state
                .fruitless
                .retain(|_, since| since.elapsed() < FRUITLESS_FOR);
        }
        if state.fruitless.len() < FRUITLESS_MAX {
            let key = (key(endpoint, model), code.to_owned());
            state.fruitless.insert(key, Instant::now());
        }
    }
}

fn key(endpoint: &Endpoint, model: &str) -> Key {
    Key {
        service: endpoint.service(),
        host: Arc::clone(endpoint.host()),
        model: model.to_owned(),
    }
}
