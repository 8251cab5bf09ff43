//! A reply: a value that owns the task that makes and speaks it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{SetOnce, mpsc, watch};
use tokio_util::task::AbortOnDropHandle;

use super::apology::Stage;
use super::spoken::SpokenLog;
use super::writing::Source;
use super::{Agent, Config, speaking};
use crate::chat::{ToolCall, ToolOutput};
use crate::error::CallError;
use crate::pool::CallOptions;
use crate::room::{AudioOutput, Usage};

/// Names a reply within its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReplyId(pub(super) u32);

/// A service failed while the reply was made.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) error: CallError,
}

/// How far a reply has come.
pub(super) enum ReplyEvent {
    /// The model was asked.
    LlmStarted,
    /// The model's first word arrived.
    LlmFirstToken,
    /// The first sentence was sent to be spoken.
    TtsStarted,
    /// The first sound arrived.
    TtsFirstAudio,
    /// Sound leaves for the user: the first, or again after [`ReplyEvent::Silent`].
    Audible,
    /// Nothing has been heard for [`SILENCE`] or longer, and the reply is not over: a tool runs, or a
    /// service is slow.
    Silent {
        /// For how long by now.
        silence: Duration,
    },
    /// Tools were run; the outputs are in the order of the calls.
    ToolsRan(Vec<(ToolCall, ToolOutput)>),
    /// That much was used of the services.
    Used(Usage),
    /// More was heard: this text follows what was reported before.
    Heard(String),
    /// Everything was heard, or that much before a failure. The last event.
    Done(Result<(), Failure>),
}

/// A reply that is silent for longer than between two sentences is not being spoken, although it is not
/// over.
pub(super) const SILENCE: Duration = Duration::from_millis(300);

/// Events that wait for the session; a reply waits when it is full, which is far from ever.
pub(super) const EVENTS_MAX: usize = 64;

/// Where replies report to.
pub(super) type ReplyEvents = mpsc::Sender<(ReplyId, ReplyEvent)>;

/// Everything a reply's task works with.
pub(super) struct Making {
    pub(super) id: ReplyId,
    pub(super) agent: Agent,
    pub(super) config: Config,
    pub(super) output: Arc<dyn AudioOutput>,
    pub(super) events: ReplyEvents,
    pub(super) log: Arc<Mutex<SpokenLog>>,
    pub(super) released: Arc<SetOnce<()>>,
    /// Whether it is to be silent in the middle of what it says.
    pub(super) is_paused: watch::Sender<bool>,
    /// For whom its requests are made.
    pub(super) options: CallOptions,
}

impl Making {
    /// Reports; a session that is gone has dropped the task's handle as well.
    pub(super) async fn report(&self, event: ReplyEvent) {
        self.events.send((self.id, event)).await.ok();
    }

    /// Looks at or adds to the record of what was said; never held across an await.
    pub(super) fn log<T>(&self, access: impl FnOnce(&mut SpokenLog) -> T) -> T {
        access(&mut self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A reply in the making or being heard. Dropping it ends its task, and with it every request.
pub(super) struct Reply {
    id: ReplyId,
    log: Arc<Mutex<SpokenLog>>,
    released: Arc<SetOnce<()>>,
    is_paused: watch::Sender<bool>,
    task: AbortOnDropHandle<()>,
}

impl Reply {
    /// Begins to make a reply. Nothing of it is heard and no tool runs before [`Self::release`].
    pub(super) fn prepare(making: Making, source: Source) -> Self {
        Self {
            id: making.id,
            log: Arc::clone(&making.log),
            released: Arc::clone(&making.released),
            is_paused: making.is_paused.clone(),
            task: AbortOnDropHandle::new(tokio::spawn(speaking::make(making, source))),
        }
    }

    /// Lets it be heard.
    pub(super) fn release(&self) {
        // Released twice is released.
        self.released.set(()).ok();
    }

    /// Queues no more sound; whoever pauses clears the output after this.
    pub(super) fn pause(&self) {
        self.is_paused.send_replace(true);
    }

    /// Goes on with the first sound that was not heard.
    pub(super) fn resume(&self) {
        self.is_paused.send_replace(false);
    }

    /// Ends the task, as dropping does, but what was said can still be read.
    pub(super) fn stop(&self) {
        self.task.abort();
    }

    pub(super) fn id(&self) -> ReplyId {
        self.id
    }

    /// Looks at what was said.
    pub(super) fn log<T>(&self, look: impl FnOnce(&SpokenLog) -> T) -> T {
        look(&self.log.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was heard when the output stood at `position`.
    pub(super) fn heard_text(&self, position: Duration) -> String {
        self.log(|log| log.heard_text(position))
    }
}
