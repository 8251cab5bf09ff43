//! What a program can ask of a running conversation: to say something, to answer, to be silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures::stream::BoxStream;
use tokio::sync::{mpsc, watch};

use crate::audio::AudioFrame;
use crate::turn::{Priority, QueuedSpeech, ReplyOutcome, SpeechId};

/// Wishes that wait for the session, which takes them at once unless it is overwhelmed.
pub(super) const COMMANDS_MAX: usize = 32;

/// Words to say.
pub enum Words {
    /// All of them.
    Text(String),
    /// As they come; spoken sentence by sentence.
    Stream(BoxStream<'static, String>),
    /// With their sound, mono at the sample rate of the agent's voice.
    Audio {
        /// What is heard, for captions and the conversation.
        text: String,
        /// The sound.
        frames: BoxStream<'static, AudioFrame>,
    },
}

/// What the model is to say something about.
#[derive(Clone, Debug, Default)]
pub struct ReplyRequest {
    /// What it is told beside its standing instructions, for this once.
    pub instructions: Option<String>,
    /// What the user is taken to have said; stays in the conversation.
    pub user_input: Option<String>,
}

impl ReplyRequest {
    /// What the model is told for this once, if it is more than its `standing` instructions.
    pub(super) fn told(&self, standing: &str) -> Option<String> {
        let more = self.instructions.as_ref()?;
        Some(format!("{standing}\n\n{more}"))
    }
}

/// How something is said.
#[derive(Clone, Copy, Debug)]
pub struct SpeechOptions {
    /// What is said first when several things wait.
    pub priority: Priority,
    /// Whether the user can stop it.
    pub is_interruptible: bool,
}

impl Default for SpeechOptions {
    fn default() -> Self {
        Self {
            priority: Priority::Normal,
            is_interruptible: true,
        }
    }
}

/// How something that was to be said ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpeechEnd {
    /// It was heard to its end.
    Finished,
    /// The user, the program or the end of the call stopped it.
    Interrupted,
    /// A service failed before its end; the user heard an apology.
    Failed,
    /// Nothing of it was said: too much waited, it was taken back, or the user or the session is gone.
    Dropped,
}

impl SpeechEnd {
    /// The name in answers.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
        }
    }
}

impl From<&ReplyOutcome> for SpeechEnd {
    fn from(outcome: &ReplyOutcome) -> Self {
        match outcome {
            ReplyOutcome::Finished => Self::Finished,
            ReplyOutcome::Interrupted => Self::Interrupted,
            ReplyOutcome::Failed(_) => Self::Failed,
        }
    }
}

/// Tells whoever waits how a speech ended; dropped untold, it was dropped.
pub(super) type Ending = watch::Sender<Option<SpeechEnd>>;

/// Where to say something.
pub(super) enum Content {
    Words(Words),
    Reply(ReplyRequest),
}

pub(super) enum Command {
    Speak {
        speech: QueuedSpeech,
        content: Content,
        ending: Ending,
    },
    Stop(SpeechId),
    StopAll,
}

/// Numbers the speeches of a session.
#[derive(Clone, Debug, Default)]
pub(super) struct SpeechIds(Arc<AtomicU32>);

impl SpeechIds {
    pub(super) fn next(&self) -> SpeechId {
        SpeechId(self.0.fetch_add(1, Ordering::Relaxed))
    }
}

/// A running conversation, for programs. Cheap to clone; does not keep the session alive.
///
/// ```no_run
/// use futures::{StreamExt, stream};
/// use voxpool::session::{Session, SpeechEnd, SpeechOptions, Words};
///
/// async fn announce(session: &Session) -> bool {
///     let words = stream::iter(["Your parcel ", "is here."]).map(str::to_owned);
///     let words = Words::Stream(words.boxed());
///     let mut speech = session.handle().say(words, SpeechOptions::default());
///     speech.finished().await == SpeechEnd::Finished
/// }
/// ```
#[derive(Clone)]
pub struct SessionHandle {
    commands: mpsc::Sender<Command>,
    ids: SpeechIds,
}

impl SessionHandle {
    pub(super) fn new(commands: mpsc::Sender<Command>, ids: SpeechIds) -> Self {
        Self { commands, ids }
    }

    /// Says this once the agent is free and, unless it is urgent, the user has been answered.
    pub fn say(&self, words: Words, options: SpeechOptions) -> SpeechHandle {
        self.speak(Content::Words(words), options)
    }

    /// Lets the model say something to the conversation as it is when its turn has come.
    pub fn generate_reply(&self, request: ReplyRequest, options: SpeechOptions) -> SpeechHandle {
        self.speak(Content::Reply(request), options)
    }

    /// Silence: stops what is said, also what the user could not stop, and drops what waits.
    pub fn interrupt(&self) {
        // A session that is over is silent.
        self.commands.try_send(Command::StopAll).ok();
    }

    fn speak(&self, content: Content, options: SpeechOptions) -> SpeechHandle {
        let (ending, end) = watch::channel(None);
        let id = self.ids.next();
        let command = Command::Speak {
            speech: QueuedSpeech {
                id,
                priority: options.priority,
                is_interruptible: options.is_interruptible,
            },
            content,
            ending,
        };
        if self.commands.try_send(command).is_err() {
            tracing::warn!("something to say was dropped: the session is over or overwhelmed");
        }
        SpeechHandle {
            id,
            end,
            commands: self.commands.clone(),
        }
    }
}

/// Something that is said or waits to be. Dropping it changes nothing.
#[derive(Clone)]
pub struct SpeechHandle {
    id: SpeechId,
    end: watch::Receiver<Option<SpeechEnd>>,
    commands: mpsc::Sender<Command>,
}

impl SpeechHandle {
    /// Waits for its end.
    ///
    /// Cancel safety: can be asked again.
    pub async fn finished(&mut self) -> SpeechEnd {
        let end = self.end.wait_for(Option::is_some).await;
        end.ok().and_then(|end| *end).unwrap_or(SpeechEnd::Dropped)
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<SpeechEnd> {
        *self.end.borrow()
    }

    /// Stops it, or takes it back if it has not begun.
    pub fn interrupt(&self) {
        self.commands.try_send(Command::Stop(self.id)).ok();
    }
}
