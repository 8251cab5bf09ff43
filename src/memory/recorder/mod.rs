//! After each turn, off the caller's path: what is worth remembering is found by the model and
//! saved, and now and then the summary of the user is written anew, side by side.
//!
//! A [`Recorder`] belongs to one call and is one task: it takes turns as they come, keeps a bounded
//! number of them and works through them in order. How many questions all calls ask the model at
//! once is limited by [`Recording`], which they share. Whatever fails is counted and goes no
//! further; what was found is saved at once, so that a process that is killed loses only the turn
//! it was looking at.

mod backlog;
mod config;
mod stats;
#[cfg(test)]
mod tests;
mod work;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures::FutureExt;
use futures::future::{self, BoxFuture};
use tokio::sync::mpsc::error::TryRecvError;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Duration, Instant, sleep};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

pub use self::config::Config;
pub use self::stats::RecorderStats;

use self::backlog::{Backlog, Waiting};
use self::stats::Counters;
use self::work::Worker;
use super::UserId;
use super::categories::Categories;
use super::extraction::Said;
use super::memories::{Forgets, Memories};
use crate::llm::StructuredLlm;
use crate::turn::Turn;

/// Turns on their way from the session; the recorder takes them at once.
const TURNS_MAX: usize = 16;

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
    turns: mpsc::Sender<Turn>,
    memories: Memories,
    task: AbortOnDropHandle<()>,
}

impl Recorder {
    pub(super) fn start(memories: Memories, forgets: Forgets, ending: CancellationToken) -> Self {
        let (turns, taken) = mpsc::channel(TURNS_MAX);
        let worker = Worker::new(memories.clone(), forgets.clone(), ending);
        let task = tokio::spawn(record(Arc::new(worker), forgets, taken));
        Self {
            turns,
            memories,
            task: AbortOnDropHandle::new(task),
        }
    }

    /// Where the session sends its turns. All of them must be dropped before [`Self::finish`].
    pub fn turns(&self) -> mpsc::Sender<Turn> {
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

/// Turns that nobody has looked at when this is dropped are lost.
struct Open {
    recording: Arc<Recording>,
    backlog: Backlog,
    n_at_work: usize,
}

impl Drop for Open {
    fn drop(&mut self) {
        let n_lost = self.backlog.len() + self.n_at_work;
        self.recording.counters.lost.add(n_lost as u64);
    }
}

/// Takes turns and works through them, until there will be no more.
async fn record(worker: Arc<Worker>, forgets: Forgets, mut turns: mpsc::Receiver<Turn>) {
    let recording = Arc::clone(worker.recording());
    let config = &recording.config;
    let mut open = Open {
        backlog: Backlog::new(config.queue_max, config.profile_every_turns),
        recording: Arc::clone(&recording),
        n_at_work: 0,
    };
    let mut is_open = true;
    let mut working: Option<BoxFuture<'static, ()>> = None;
    loop {
        if working.is_none() {
            // All that is there already is looked at together.
            while is_open {
                match turns.try_recv() {
                    Ok(turn) => take(&mut open, &forgets, turn),
                    Err(TryRecvError::Disconnected) => is_open = false,
                    Err(TryRecvError::Empty) => break,
                }
            }
            let work = open.backlog.next(is_open);
            open.n_at_work = work.as_ref().map_or(0, |work| work.exchanges.len());
            working = work.map(|work| {
                let work = Arc::clone(&worker).run(work);
                contained(Arc::clone(&recording), work).boxed()
            });
        }
        if working.is_none() && !is_open {
            break;
        }
        tokio::select! {
            biased;
            turn = turns.recv(), if is_open => match turn {
                Some(turn) => take(&mut open, &forgets, turn),
                None => is_open = false,
            },
            () = done(&mut working) => working = None,
        }
    }
    // The store may be back before the call has to be over.
    while worker.has_unsaved() {
        sleep(UNSAVED_INTERVAL).await;
        worker.save_rest().await;
    }
}

/// Runs to the end; a panic is counted, logged and goes no further.
async fn contained(recording: Arc<Recording>, work: impl Future<Output = ()>) {
    if AssertUnwindSafe(work).catch_unwind().await.is_err() {
        recording.counters.failed.add(1);
        tracing::error!("looking at a turn panicked");
    }
}

async fn done(working: &mut Option<BoxFuture<'static, ()>>) {
    match working {
        Some(working) => working.await,
        None => future::pending().await,
    }
}

/// Keeps a turn if somebody said something in it, and did not ask to forget.
fn take(open: &mut Open, forgets: &Forgets, turn: Turn) {
    let Some(user) = turn.user.as_ref().and_then(|it| UserId::new(it.expose())) else {
        return;
    };
    let forgot = turn
        .tool_calls
        .expose()
        .iter()
        .any(|call| call.name == FORGET_TOOL);
    if turn.transcript.expose().trim().is_empty() || forgot {
        return;
    }
    let counters = &open.recording.counters;
    counters.turns.add(1);
    let is_dropped = open.backlog.push(Waiting {
        user,
        said: Said {
            by_user: turn.transcript.expose().clone(),
            by_agent: turn.heard.expose().clone(),
        },
        n_forgets: forgets.count(),
    });
    counters.dropped.add(u64::from(is_dropped));
}
