//! Services whose client brings connections of its own (a database, Redis): the pool shows them in
//! its statistics, watches their health and cleans them up with everything else.

use std::sync::{Arc, PoisonError, RwLock};

use futures::future::BoxFuture;

use super::ConnectionPool;
use super::connections::ConnectionStats;
use crate::error::{CallError, Service};

/// A client with connections of its own. Its calls still go through [`ConnectionPool::call`], with
/// no host in their [`CallSpec`](super::CallSpec), so that they are counted and guarded.
pub trait Backend: Send + Sync {
    /// Which service it is; one backend per service.
    fn service(&self) -> Service;

    /// Its connections, counted where they are opened.
    fn connections(&self) -> ConnectionStats;

    /// Asks whether the service is there, with one small call through the pool.
    fn probe(&self) -> BoxFuture<'static, Result<(), CallError>>;

    /// Drops idle connections; calls in flight keep theirs.
    fn cleanup(&self) -> BoxFuture<'static, ()>;

    /// Closes everything, for the end of the process; calls in flight are waited for.
    fn close(&self) -> BoxFuture<'static, ()>;
}

/// The backends of one pool: few, and added at the start.
#[derive(Default)]
pub(super) struct Backends(RwLock<Vec<Arc<dyn Backend>>>);

impl Backends {
    pub(super) fn all(&self) -> Vec<Arc<dyn Backend>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn get(&self, service: Service) -> Option<Arc<dyn Backend>> {
        self.all().into_iter().find(|it| it.service() == service)
    }
}

impl ConnectionPool {
    /// Takes a backend in; one of the same service is replaced.
    pub fn register(&self, backend: Arc<dyn Backend>) {
        let mut backends = self
            .0
            .backends
            .0
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        backends.retain(|it| it.service() != backend.service());
        backends.push(backend);
    }
}
