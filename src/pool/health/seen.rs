//! What the health monitor watches, and how it was the last time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::super::endpoint::Endpoint;
use super::super::gate::Key;
use super::super::stats::CheckStats;
use crate::error::{ErrorKind, Service};

/// What is watched, and how it was.
#[derive(Default)]
pub(in super::super) struct Health {
    endpoints: Mutex<BTreeMap<Key, Endpoint>>,
    checks: Mutex<BTreeMap<Key, Check>>,
    /// What failed for a caller who has a fallback, until a check goes well.
    suspects: Mutex<BTreeSet<Key>>,
    pub(super) wake: Notify,
}

/// The checks of one host so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Check {
    pub(super) at: Instant,
    pub(super) failure: Option<ErrorKind>,
    checks: u64,
    failures: u64,
}

impl Health {
    pub(in super::super) fn keys_of(&self, service: Service) -> Vec<Key> {
        let endpoints = self.endpoints();
        let checks = self.checks();
        let keys = endpoints.keys().chain(checks.keys());
        keys.filter(|key| key.service == service).cloned().collect()
    }

    pub(in super::super) fn last_check(&self, key: &Key) -> Option<CheckStats> {
        let check = *self.checks().get(key)?;
        Some(CheckStats {
            seconds_ago: check.at.elapsed().as_secs_f64(),
            result: check.failure.map_or("ok", ErrorKind::label),
            checks: check.checks,
            failures: check.failures,
        })
    }

    /// Makes the monitor look now.
    pub(in super::super) fn look_now(&self) {
        self.wake.notify_one();
    }

    /// Notes a check; returns the failure before it.
    pub(super) fn note(&self, key: &Key, failure: Option<ErrorKind>) -> Option<ErrorKind> {
        let mut checks = self.checks();
        let check = checks.entry(key.clone()).or_insert(Check {
            at: Instant::now(),
            failure: None,
            checks: 0,
            failures: 0,
        });
        check.at = Instant::now();
        check.checks += 1;
        check.failures += u64::from(failure.is_some());
        std::mem::replace(&mut check.failure, failure)
    }

    pub(super) fn endpoints(&self) -> MutexGuard<'_, BTreeMap<Key, Endpoint>> {
        (self.endpoints.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn suspects(&self) -> MutexGuard<'_, BTreeSet<Key>> {
        (self.suspects.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn checks(&self) -> MutexGuard<'_, BTreeMap<Key, Check>> {
        self.checks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
