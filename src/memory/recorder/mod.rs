//! After each turn, off the caller's path: what is worth remembering is found by the model and
//! saved, and now and then the summary of the user is written anew, side by side.
//!
//! A [`Recorder`] belongs to one call and is one task, which works through a bounded number of
//! [`Turns`] in order. How many questions all calls ask the model at once is limited by
//! [`Recording`], which they share. What was found is saved at once, so that a process that is killed
//! loses only the turn it was looking at and those that wait. Whatever fails is counted and holds
//! nobody up; while the model or the store is away, what it did not take is kept for the next turn
//! and the end of the call.

mod backlog;
mod config;
mod failures;
mod stats;
#[cfg(test)]
mod tests;
mod turns;
mod work;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use self::config::Config;
pub use self::stats::RecorderStats;
pub use self::turns::Turns;

use self::stats::Counters;
use self::work::Worker;
use super::categories::Categories;
use super::forgets::Forgets;
use super::memories::Memories;
use super::users::CallUsers;
use crate::llm::StructuredLlm;

/// Pause between two tries, at the end of a call, to save what the store did not take.
const UNSAVED_INTERVAL: Duration = Duration::from_millis(500);

/// The tool by which the model forgets; a turn in which it is used is not looked at.
pub const FORGET_TOOL: &str = "forget";

/// What the recorders of all calls share.
pub(super) struct Recording {
    pub(super) config: Config,
    pub(super) categories: Categories,
    llm: Arc<dyn StructuredLlm>,
    places: Semaphore,
    counters: Counters,
    /// Whether the last question failed.
    is_failing: AtomicBool,
}

impl Recording {
    pub(super) fn new(llm: Arc<dyn StructuredLlm>, config: Config) -> Self {
        Self {
            categories: Categories::new(&config.categories),
            places: Semaphore::new(config.extractions_max.max(1)),
            config,
            llm,
            counters: Counters::default(),
            is_failing: AtomicBool::new(false),
        }
    }

    pub(super) fn stats(&self) -> RecorderStats {
        let n_places = self.config.extractions_max.max(1);
        self.counters
            .stats(n_places.saturating_sub(self.places.available_permits()))
    }

    /// Says so when trouble begins and when it ends. At the end of the worker it is no state that
    /// anybody could change: what a call lost by it is said once.
    fn note(&self, is_failing: bool, is_ending: bool) {
        if is_failing && is_ending {
            tracing::info!(
                "the last words of a call are not remembered: the model is gone, and so is the worker"
            );
            return;
        }
        match (
            self.is_failing.swap(is_failing, Ordering::Relaxed),
            is_failing,
        ) {
            (false, true) => tracing::warn!("what callers say cannot be remembered at the moment"),
            (true, false) => tracing::info!("what callers say is remembered again"),
            _ => {}
        }
    }
}

/// Records one call. Dropping it ends its work at once.
pub struct Recorder {
    turns: Turns,
    memories: Memories,
    task: AbortOnDropHandle<()>,
}

impl Recorder {
    pub(super) fn start(
        memories: Memories,
        users: CallUsers,
        forgets: Forgets,
        ending: CancellationToken,
    ) -> Self {
        let turns = Turns::new(Arc::clone(&memories.recording), users, forgets.clone());
        let worker = Worker::new(memories.clone(), forgets, ending);
        let task = tokio::spawn(record(worker, turns.clone()));
        Self {
            turns,
            memories,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// Where the session hands over its turns.
    pub fn turns(&self) -> Turns {
        self.turns.clone()
    }

    /// Waits until everything is saved, but not longer than `memory.recorder.flush_timeout_seconds`;
    /// what is not saved by then is counted as lost.
    pub async fn finish(self) {
        let Self {
            turns,
            memories,
            task,
        } = self;
        turns.close();
        drop(turns);
        let Recording {
            config, counters, ..
        } = &*memories.recording;
        let began = Instant::now();
        let flushed = tokio::time::timeout(config.flush_timeout, task).await;
        counters.flushes.add(1);
        let took = began.elapsed().as_millis();
        counters
            .flush_ms
            .add(u64::try_from(took).unwrap_or(u64::MAX));
        if flushed.is_err() {
            counters.flushes_cut.add(1);
            tracing::warn!("a call ended before its last turns were remembered");
        }
    }
}

/// Works through the turns, until there will be no more.
async fn record(worker: Worker, turns: Turns) {
    while let Some(work) = turns.next().await {
        // A panic is counted, logged and goes no further.
        match AssertUnwindSafe(worker.run(&work)).catch_unwind().await {
            Ok(failed) => turns.put_back(&work, failed),
            Err(_) => {
                worker.recording().counters.failed.add(1);
                tracing::error!("looking at a turn panicked");
                if work.is_profile_due {
                    worker.give_up_summary(&work);
                }
            }
        }
    }
    // The store may be back before the call has to be over.
    while worker.has_unsaved() {
        sleep(UNSAVED_INTERVAL).await;
        worker.save_rest().await;
    }
}
