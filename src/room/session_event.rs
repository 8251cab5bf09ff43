//! What a session tells front ends beside words and voice, and what they may know of its agent.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::time::Duration;

use super::AgentState;
use crate::chat::{ChatItem, ToolCall, ToolOutput};
use crate::turn::{SessionTime, Timeline};

/// What the user is doing.
///
/// Source: livekit-agents 1.8.9, `UserState`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UserState {
    /// Is heard.
    Speaking,
    /// Listens, or is silent.
    #[default]
    Listening,
    /// Has not been heard for long.
    Away,
}

/// Something that happened in a session. Holds what people said: never for a log.
///
/// Source: livekit-protocol 0.8.2, `livekit_agent_session.proto`, `AgentSessionEvent`.
#[derive(Clone)]
pub enum SessionEvent {
    /// The agent does something else now. Told by the room itself, see [`super::RoomOutput`].
    AgentStateChanged(AgentState),
    /// The user does something else now.
    UserStateChanged(UserState),
    /// What the user said so far. Told by the room itself.
    UserInputTranscribed {
        /// All of it.
        transcript: String,
        /// Whether it stays so.
        is_final: bool,
    },
    /// Something entered the conversation as the model is given it.
    ConversationItemAdded {
        /// What.
        item: ChatItem,
        /// When the steps of its turn happened.
        timeline: Box<Timeline>,
        /// When it entered.
        at: SessionTime,
    },
    /// A round of tools was run; the outputs are in the order of the calls.
    FunctionToolsExecuted {
        /// What the model asked for.
        calls: Vec<ToolCall>,
        /// What it was told.
        outputs: Vec<ToolOutput>,
    },
    /// A service failed; the text is for a person and holds nothing private.
    Error(String),
    /// The user's voice was heard over the agent's, and now it is known what that meant.
    OverlappingSpeech {
        /// Whether it stopped the agent, or the agent talked on.
        is_interruption: bool,
        /// How long ago both began to be heard.
        began_ago: Duration,
    },
    /// What had stopped the agent was no interruption.
    AgentFalseInterruption {
        /// Whether the agent went on.
        resumed: bool,
    },
    /// What the session has used so far.
    SessionUsageUpdated(Usage),
}

/// What a session has used of its services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the model's requests, as far as the service says.
    pub llm_input_tokens: u32,
    /// Tokens of its answers.
    pub llm_output_tokens: u32,
    /// Characters sent to be spoken.
    pub tts_characters: u32,
    /// Sound sent to be transcribed.
    pub stt_audio: Duration,
}

impl AddAssign for Usage {
    fn add_assign(&mut self, more: Self) {
        self.llm_input_tokens = self.llm_input_tokens.saturating_add(more.llm_input_tokens);
        self.llm_output_tokens = self
            .llm_output_tokens
            .saturating_add(more.llm_output_tokens);
        self.tts_characters = self.tts_characters.saturating_add(more.tts_characters);
        self.stt_audio += more.stt_audio;
    }
}

/// What front ends may know of the agent.
#[derive(Clone, Default)]
pub struct AgentCard {
    /// Its name among the agents.
    pub id: String,
    /// Its standing instructions, if front ends may read them.
    pub instructions: Option<String>,
    /// What it can do beside talking.
    pub tools: Vec<String>,
    /// Models that hear, think and speak, as far as they are known.
    pub models: Models,
    /// Settings worth knowing, by name.
    pub options: BTreeMap<String, String>,
}

/// Names of the models behind an agent.
#[derive(Clone, Debug, Default)]
pub struct Models {
    /// Speech to text.
    pub stt: String,
    /// The language model.
    pub llm: String,
    /// Text to speech.
    pub tts: String,
}
