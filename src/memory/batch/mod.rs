//! Operations of all calls, merged: those that come within a few milliseconds become one batch, and
//! while one batch is at the store the next one gathers, so that merging costs no time under load.
//!
//! One task asks the store. It runs one batch after the other, which keeps the order of each user's
//! operations: a read sees what was written before it, by whichever call.

mod config;
mod stats;
#[cfg(test)]
mod tests;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use tokio::sync::{SetOnce, mpsc, oneshot};
use tokio::time::{Duration, Instant, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

pub use self::config::Config;
pub use self::stats::BatchStats;
pub(in crate::memory) use self::stats::Counter;

use self::stats::Counters;
use super::retention::{self, Touched};
use super::{MemoryAnswer, MemoryOp, Store, UserId};
use crate::bucket::TokenBucket;
use crate::error::{CallError, ErrorKind, Service};

const OPERATION: &str = "memory.batch";

/// The way to the store that all calls share. Clones are the same one.
///
/// What is queued when the last clone is dropped is still run.
#[derive(Clone)]
pub struct Batcher {
    queue: mpsc::Sender<Queued>,
    shared: Arc<Shared>,
}

/// An operation that waits for its batch.
struct Queued {
    op: MemoryOp,
    arrived: Instant,
    answer: oneshot::Sender<Result<MemoryAnswer, CallError>>,
}

struct Shared {
    store: Arc<dyn Store>,
    service: Service,
    config: Config,
    counters: Counters,
    /// Users whose limits are to be held.
    touched: Touched,
    closing: CancellationToken,
    is_done: SetOnce<()>,
}

impl Shared {
    fn error(&self, kind: ErrorKind) -> CallError {
        CallError::new(self.service, OPERATION, kind)
    }
}

impl Batcher {
    /// Starts the task that gathers batches for `store`, which `service` names in errors. Must be
    /// called within a Tokio runtime.
    pub fn new(store: Arc<dyn Store>, service: Service, config: Config) -> Self {
        let (queue, queued) = mpsc::channel(config.queue_max.max(1));
        let shared = Arc::new(Shared {
            store,
            service,
            config,
            counters: Counters::default(),
            touched: Touched::default(),
            closing: CancellationToken::new(),
            is_done: SetOnce::new(),
        });
        tokio::spawn(serve(queued, Arc::clone(&shared)));
        Self { queue, shared }
    }

    /// Connects to the store, so that the first operations need not.
    ///
    /// # Errors
    /// When the store cannot be used.
    pub async fn prewarm(&self) -> Result<(), CallError> {
        self.shared.store.prewarm().await
    }

    /// Which service the store is.
    pub fn service(&self) -> Service {
        self.shared.service
    }

    /// Runs operations; result `i` is that of `ops[i]`, and one that fails does not keep the others
    /// from succeeding. They are run in their order, together with those of other calls.
    ///
    /// An operation that finds the queue full fails at once with [`ErrorKind::Saturated`], and with
    /// it those that follow; one that takes longer than `memory.batch.timeout_seconds` fails with
    /// [`ErrorKind::Timeout`].
    ///
    /// Cancel safety: dropping the future gives up the answers. Reads are then left out; what was
    /// to be saved or deleted may still be, also after a timeout.
    pub async fn batch_memory_operations(
        &self,
        ops: Vec<MemoryOp>,
    ) -> Vec<Result<MemoryAnswer, CallError>> {
        self.submit(ops).await
    }

    /// Queues operations at once and returns what waits for their answers. Otherwise as
    /// [`Self::batch_memory_operations`], which queues when it is first polled.
    pub(super) fn submit(
        &self,
        ops: Vec<MemoryOp>,
    ) -> impl Future<Output = Vec<Result<MemoryAnswer, CallError>>> + Send + use<'_> {
        let deadline = Instant::now() + self.shared.config.timeout;
        let waiting = self.enqueue(ops);
        async move {
            let mut results = Vec::with_capacity(waiting.len());
            for answer in waiting {
                results.push(match answer {
                    Ok(answer) => self.answer(answer, deadline).await,
                    Err(kind) => Err(self.shared.error(kind)),
                });
            }
            results
        }
    }

    /// Holds the limits of rows and of age for as long as it is polled; `has_age` if memories have
    /// one.
    pub(super) async fn hold_limits(&self, has_age: bool) {
        let Shared {
            store,
            touched,
            counters,
            ..
        } = &*self.shared;
        retention::hold(&**store, touched, &counters.rows_trimmed, has_age).await;
    }

    /// Runs one operation, as [`Self::batch_memory_operations`] does.
    ///
    /// # Errors
    /// The store's, a full queue or a deadline that passed.
    pub async fn run(&self, op: MemoryOp) -> Result<MemoryAnswer, CallError> {
        let results = self.batch_memory_operations(vec![op]).await;
        let result = results.into_iter().next();
        result.expect("one operation has one result")
    }

    /// The numbers of this moment.
    pub fn stats(&self) -> BatchStats {
        let queued = self.queue.max_capacity() - self.queue.capacity();
        self.shared.counters.stats(queued)
    }

    /// Refuses new operations and runs those that are queued, without waiting for more. Returns
    /// whether all were run within `within`; what is left then goes on being run for as long as the
    /// runtime lives.
    pub async fn close(&self, within: Duration) -> bool {
        self.shared.closing.cancel();
        timeout(within, self.shared.is_done.wait()).await.is_ok()
    }

    fn enqueue(
        &self,
        ops: Vec<MemoryOp>,
    ) -> Vec<Result<oneshot::Receiver<Result<MemoryAnswer, CallError>>, ErrorKind>> {
        let arrived = Instant::now();
        let mut refusal = None;
        let queue = |op| {
            if let Some(kind) = refusal {
                self.shared.counters.refused.add(1);
                return Err(kind);
            }
            let (answer, answered) = oneshot::channel();
            let queued = Queued {
                op,
                arrived,
                answer,
            };
            self.queue.try_send(queued).map_err(|error| {
                let kind = match error {
                    mpsc::error::TrySendError::Full(_) => ErrorKind::Saturated,
                    mpsc::error::TrySendError::Closed(_) => ErrorKind::Unavailable,
                };
                self.shared.counters.refused.add(1);
                refusal = Some(kind);
                kind
            })?;
            Ok(answered)
        };
        ops.into_iter().map(queue).collect()
    }

    async fn answer(
        &self,
        answered: oneshot::Receiver<Result<MemoryAnswer, CallError>>,
        deadline: Instant,
    ) -> Result<MemoryAnswer, CallError> {
        match timeout_at(deadline, answered).await {
            Ok(Ok(result)) => result,
            // The task is gone, which happens when its runtime ends.
            Ok(Err(_)) => Err(self.shared.error(ErrorKind::Unavailable)),
            Err(_) => Err(self.shared.error(ErrorKind::Timeout)),
        }
    }
}

/// Gathers batches and runs them, until nobody can queue any more.
async fn serve(mut queue: mpsc::Receiver<Queued>, shared: Arc<Shared>) {
    let rate = shared.config.batches_per_second_max;
    let burst = (rate / 10).max(1);
    let mut bucket = TokenBucket::new(f64::from(rate.max(1)), burst, Instant::now());
    loop {
        let batch = gather(&mut queue, &mut bucket, &shared).await;
        if batch.is_empty() {
            break;
        }
        run(batch, &shared).await;
    }
    // Nobody else sets it.
    shared.is_done.set(()).ok();
}

/// The next batch: what is queued, and what comes until its time is up or it is full. Empty when
/// nothing will come any more.
async fn gather(
    queue: &mut mpsc::Receiver<Queued>,
    bucket: &mut TokenBucket,
    shared: &Shared,
) -> Vec<Queued> {
    let n_max = shared.config.ops_max.max(1);
    let mut batch = Vec::new();
    tokio::select! {
        biased;
        _ = queue.recv_many(&mut batch, n_max) => {}
        () = shared.closing.cancelled() => {
            queue.close();
            queue.recv_many(&mut batch, n_max).await;
        }
    }
    let Some(first) = batch.first() else {
        return batch;
    };
    let allowed = bucket.ready_at(Instant::now());
    let due = allowed.max(first.arrived + shared.config.wait);
    loop {
        let room = n_max - batch.len();
        let until = if room == 0 { allowed } else { due };
        tokio::select! {
            biased;
            () = shared.closing.cancelled() => break,
            () = sleep_until(until) => break,
            n = queue.recv_many(&mut batch, room), if room > 0 => if n == 0 { break },
        }
    }
    bucket.take(Instant::now());
    batch
}

/// Whose memories an operation adds to.
fn saved_of(op: &MemoryOp) -> Option<&UserId> {
    match op {
        MemoryOp::Save(user, _) => Some(user),
        MemoryOp::Get(..) | MemoryOp::Delete(..) => None,
    }
}

/// Gives a batch to the store and the answers to those who wait.
async fn run(batch: Vec<Queued>, shared: &Shared) {
    let n_queued = batch.len();
    let is_awaited =
        |queued: &Queued| !(matches!(queued.op, MemoryOp::Get(..)) && queued.answer.is_closed());
    let batch: Vec<Queued> = batch.into_iter().filter(is_awaited).collect();
    let counters = &shared.counters;
    counters.abandoned.add((n_queued - batch.len()) as u64);
    let n_ops = batch.len() as u64;
    if n_ops == 0 {
        return;
    }
    counters.batches.add(1);
    counters.operations.add(n_ops);
    counters.merged.add(if n_ops > 1 { n_ops } else { 0 });
    let saved = batch.iter().filter_map(|queued| saved_of(&queued.op));
    shared.touched.add(saved.cloned());
    let (ops, answers): (Vec<_>, Vec<_>) = batch
        .into_iter()
        .map(|queued| (queued.op, queued.answer))
        .unzip();
    // One task serves all calls: a bug in a store must not end it.
    let running = AssertUnwindSafe(async { shared.store.run(ops).await }).catch_unwind();
    let (results, failure) = match timeout(shared.config.timeout, running).await {
        Ok(Ok(results)) => (results, ErrorKind::Malformed),
        Ok(Err(_)) => {
            tracing::error!(
                service = shared.service.label(),
                "the memory store panicked"
            );
            (Vec::new(), ErrorKind::Unavailable)
        }
        Err(_) => (Vec::new(), ErrorKind::Timeout),
    };
    let mut results = results.into_iter();
    for answer in answers {
        let result = results.next().unwrap_or_else(|| Err(shared.error(failure)));
        counters.answered(&result);
        // Who gave up waiting does not want it.
        answer.send(result).ok();
    }
}
