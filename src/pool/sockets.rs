//! WebSockets to one place, kept for the next user: opened ahead, used by one at a time, given back,
//! and replaced when they are old or gone.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::ConnectionPool;
use super::call::Lease;
use super::endpoint::Endpoint;
use super::socket::Socket;
use super::spec::CallSpec;
use crate::error::{CallError, ErrorKind};

/// What is said at the beginning of a connection.
#[derive(Clone)]
pub struct Opening {
    /// The first message.
    pub message: String,
    /// What an answer to it means: ready, refused, or (`None`) nothing yet.
    pub answer: fn(&str) -> Option<Result<(), CallError>>,
}

/// Where a set of WebSockets leads and how long each is good for.
#[derive(Clone)]
pub struct SocketPlan {
    /// Whose.
    pub endpoint: Endpoint,
    /// Starts with a slash and may have a query.
    pub path: String,
    /// The label of opening one in metrics, such as `transcription.connect`.
    pub operation: &'static str,
    /// What makes a new connection ready for use.
    pub opening: Option<Opening>,
    /// One that is older is replaced by a new one.
    pub age_max: Duration,
}

/// The WebSockets of one plan. Clones are the same set.
#[derive(Clone)]
pub struct Sockets(Arc<Set>);

pub(super) struct Set {
    pool: ConnectionPool,
    plan: SocketPlan,
    /// As many as there may be in use at a time.
    places: Arc<Semaphore>,
    idle: Mutex<Vec<Socket>>,
}

/// A WebSocket in use. Dropping it closes the connection; see [`TakenSocket::give_back`].
pub struct TakenSocket {
    socket: Socket,
    set: Arc<Set>,
    _place: OwnedSemaphorePermit,
}

impl fmt::Debug for Sockets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sockets")
            .field(&self.0.plan.operation)
            .finish()
    }
}

impl ConnectionPool {
    /// A set of WebSockets, none of which is open yet. There may be as many in use as the pool may
    /// have connections; they do not count among its requests in flight.
    pub fn sockets(&self, plan: SocketPlan) -> Sockets {
        let set = Arc::new(Set {
            pool: self.clone(),
            plan,
            places: Arc::new(Semaphore::new(self.0.shared.config.connections_max)),
            idle: Mutex::default(),
        });
        let mut sets = self.socket_sets();
        sets.retain(|set| set.strong_count() > 0);
        sets.push(Arc::downgrade(&set));
        drop(sets);
        Sockets(set)
    }

    fn socket_sets(&self) -> MutexGuard<'_, Vec<Weak<Set>>> {
        (self.0.sockets.lock()).unwrap_or_else(PoisonError::into_inner)
    }

    /// WebSockets that are open and not in use.
    pub fn idle_sockets(&self) -> usize {
        self.all_socket_sets()
            .iter()
            .map(|set| set.fresh().len())
            .sum()
    }

    /// Closes every WebSocket that nobody uses.
    pub(super) fn drop_idle_sockets(&self) {
        for set in self.all_socket_sets() {
            set.lock().clear();
        }
    }

    fn all_socket_sets(&self) -> Vec<Arc<Set>> {
        self.socket_sets()
            .iter()
            .filter_map(Weak::upgrade)
            .collect()
    }
}

impl Sockets {
    /// One that is open and ready: kept from its last use if there is one, else new. A guarded call.
    ///
    /// # Errors
    /// When none can be opened.
    pub async fn take(&self) -> Result<TakenSocket, CallError> {
        let plan = &self.0.plan;
        let timeout = 2 * self.0.pool.0.shared.config.connect_timeout;
        let spec = CallSpec::to(plan.operation, &plan.endpoint, timeout);
        if let Some(kept) = self.kept() {
            return Ok(kept);
        }
        let sockets = self.clone();
        let take = move |lease: Lease| {
            let sockets = sockets.clone();
            async move { sockets.open(&lease).await }
        };
        self.0.pool.call(spec, take).await
    }

    /// The same within a call that is guarded already.
    ///
    /// # Errors
    /// When none can be opened.
    pub async fn take_within(&self, lease: &Lease) -> Result<TakenSocket, CallError> {
        match self.kept() {
            Some(kept) => Ok(kept),
            None => self.open(lease).await,
        }
    }

    /// Opens as many as the pool opens of all connections ahead of calls, unless there are some.
    /// Trouble is logged: the first use will meet it again and say so.
    pub async fn prewarm(&self) {
        let config = &self.0.pool.0.shared.config;
        let n_open = self.0.fresh().len() + self.in_use();
        if !config.enabled || n_open > 0 {
            return;
        }
        let opened = join_all((0..config.prewarm_connections).map(|_| self.take())).await;
        for socket in opened {
            match socket {
                Ok(socket) => socket.give_back(),
                Err(error) => tracing::warn!(%error, "no WebSocket could be opened ahead of calls"),
            }
        }
    }

    fn in_use(&self) -> usize {
        let all = self.0.pool.0.shared.config.connections_max;
        all - self.0.places.available_permits().min(all)
    }

    /// The one that was used last, if it is young and open.
    fn kept(&self) -> Option<TakenSocket> {
        let place = Arc::clone(&self.0.places).try_acquire_owned().ok()?;
        let socket = self.0.fresh().pop()?;
        Some(self.taken(socket, place))
    }

    async fn open(&self, lease: &Lease) -> Result<TakenSocket, CallError> {
        let place = Arc::clone(&self.0.places)
            .acquire_owned()
            .await
            .expect("the pool never closes its semaphores");
        let plan = &self.0.plan;
        let mut socket = lease.open_socket(&plan.endpoint, &plan.path).await?;
        if let Some(opening) = &plan.opening {
            begin(lease, &mut socket, opening).await?;
        }
        Ok(self.taken(socket, place))
    }

    fn taken(&self, socket: Socket, place: OwnedSemaphorePermit) -> TakenSocket {
        let shared = &self.0.pool.0.shared;
        let service = self.0.plan.endpoint.service();
        shared.ledger.carried(service, socket.addresses);
        TakenSocket {
            socket,
            set: Arc::clone(&self.0),
            _place: place,
        }
    }
}

/// Makes a new connection ready for use.
async fn begin(lease: &Lease, socket: &mut Socket, opening: &Opening) -> Result<(), CallError> {
    let gone = || lease.spec().error(ErrorKind::Unavailable);
    if !socket.send(opening.message.clone()) {
        return Err(gone());
    }
    loop {
        let answer = socket.next().await.ok_or_else(gone)?;
        if let Some(result) = (opening.answer)(&answer) {
            return result.map_err(|error| CallError {
                operation: lease.spec().operation,
                ..error
            });
        }
    }
}

impl Set {
    /// Whether it can be used (again); forgets what came while nobody listened.
    fn is_good(&self, socket: &mut Socket) -> bool {
        socket.opened.elapsed() < self.plan.age_max && socket.refresh()
    }

    /// Those that nobody uses; what is old or gone is no longer among them.
    fn fresh(&self) -> MutexGuard<'_, Vec<Socket>> {
        let mut idle = self.lock();
        idle.retain_mut(|socket| self.is_good(socket));
        idle
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Socket>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TakenSocket {
    /// Sends a message; never waits. `false` when the connection is gone, and when it takes nothing
    /// any more, which ends it.
    pub fn send(&self, message: String) -> bool {
        self.socket.send(message)
    }

    /// The next message; `None` once the connection is closed.
    ///
    /// Cancel safety: nothing is lost.
    pub async fn next(&mut self) -> Option<String> {
        self.socket.next().await
    }

    /// Since it was opened.
    pub fn age(&self) -> Duration {
        self.socket.opened.elapsed()
    }

    /// Keeps the connection for its next user, for one that left nothing unfinished on it.
    pub fn give_back(mut self) {
        let config = &self.set.pool.0.shared.config;
        let is_good = self.set.is_good(&mut self.socket);
        let mut idle = self.set.lock();
        if config.enabled && is_good && idle.len() < config.connections_per_host_max {
            idle.push(self.socket);
        }
    }
}

#[cfg(test)]
#[path = "sockets_tests.rs"]
mod tests;
