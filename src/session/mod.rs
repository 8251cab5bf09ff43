//! One conversation: a loop over one closed enum of events.
//!
//! [`Session::run`] is the loop; it listens (`listener`), lets the turn machine decide and carries
//! the decisions out. A `Reply` is a value that owns one task, which writes (`writing`) and speaks
//! (`speaking`); dropping it ends the task and closes its requests. What the user heard of it is
//! kept by `spoken`. What the agent says of itself goes through one queue (`speeches`), for the
//! greeting as for what a program asks for with a [`SessionHandle`], and an app with a
//! [`SessionMethod`].
//!
//! **Invariants:** nothing in the loop waits for anything but events. Knows no LiveKit and no
//! provider, only the traits. Only what was heard enters the chat context.

mod ahead;
mod apology;
mod briefing;
mod config;
mod event_loop;
mod events;
mod exchange;
mod greeting;
mod greeting_cache;
mod handle;
mod links;
mod listener;
mod methods;
mod reading;
pub mod realtime;
mod recording;
mod reply;
mod report;
mod speaking;
mod speech;
mod speeches;
mod spoken;
mod transcriptions;
mod turns;
mod user;
mod writing;

use std::sync::Arc;

pub use config::Config;
pub use event_loop::{Session, Settings};
pub use greeting::{Greeting, Mode as GreetingMode};
pub use greeting_cache::{GreetingCache, MadeWith};
pub use handle::{ReplyRequest, SessionHandle, SpeechEnd, SpeechHandle, SpeechOptions, Words};
pub use links::Links;
pub use methods::SessionMethod;
pub use report::{SpeculationEnd, TurnObserver};

use crate::audio::vad::Vad;
use crate::error::CallError;
use crate::llm::Llm;
use crate::stt::Stt;
use crate::tools::ToolSet;
use crate::tts::Tts;

/// Who talks: instructions, voice and abilities.
#[derive(Clone)]
pub struct Agent {
    /// The standing instructions for the model.
    pub instructions: String,
    /// How the conversation begins.
    pub greeting: Greeting,
    /// Greetings that calls share; without it each call makes its own.
    pub greetings: Option<GreetingCache>,
    /// Hears words.
    pub stt: Arc<dyn Stt>,
    /// Finds the answer.
    pub llm: Arc<dyn Llm>,
    /// Speaks.
    pub tts: Arc<dyn Tts>,
    /// What the model can do beside talking.
    pub tools: ToolSet,
}

/// Hears voices; one per session, as it keeps what it heard.
pub type BoxVad = Box<dyn Vad>;

/// Why a session ended.
#[derive(Debug)]
pub enum SessionEnd {
    /// The user left.
    UserLeft,
    /// The room is gone.
    RoomClosed,
    /// The job was told to end.
    Shutdown,
    /// Too many failures in a row; the last one.
    Failed(CallError),
}

impl SessionEnd {
    /// The label in metrics and logs.
    pub const fn label(&self) -> &'static str {
        match self {
            Self::UserLeft => "user_left",
            Self::RoomClosed => "room_closed",
            Self::Shutdown => "shutdown",
            Self::Failed(_) => "failed",
        }
    }
}
