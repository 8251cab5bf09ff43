//! What the turn machine is told, and what it decides.

use std::time::Duration;

use super::{SessionTime, SpeechId, Timeline, TurnId, TurnSource};
use crate::audio::speech::SpeechEvent;
use crate::turn::queue::QueuedSpeech;

/// One request for a transcript.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub u32);

/// What can happen to a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnInput {
    /// There is a user to talk to.
    UserJoined,
    /// The user is not there and may come back.
    UserAway,
    /// The same user is back.
    UserReturned,
    /// The user does not come back; another one may join.
    UserGone,
    /// The user's voice did something.
    Speech(SpeechEvent),
    /// The sound of the utterance has reached the length that one request may have.
    UtteranceFull,
    /// What the user is saying right now, as far as the transcriber knows it: all words since the
    /// turn or its current part began; they may still change.
    Words(String),
    /// A transcript arrived; empty when there were no words.
    Transcript {
        /// What it answers.
        request: RequestId,
        /// The words.
        text: String,
    },
    /// A transcript will not arrive.
    TranscriptionFailed {
        /// What was asked.
        request: RequestId,
    },
    /// The user typed something.
    UserText(String),
    /// The agent has something to say of itself (greeting, apology, what a program asked for).
    SpeechQueued(QueuedSpeech),
    /// That is not to be said any more, if it waits.
    SpeechDropped(SpeechId),
    /// The program wants the agent silent, also when the user could not have it.
    StopAgent,
    /// Sound of what the agent says leaves for the user: the first, or again after
    /// [`TurnInput::AgentSilent`].
    AgentAudible,
    /// The agent is not heard, although it is not done.
    AgentSilent {
        /// For how long by now.
        silence: Duration,
    },
    /// What the agent said was heard to its end, or failed.
    AgentFinished,
    /// Time passed: [`super::TurnMachine::deadline`] has come.
    Tick,
}

/// The user's turn is over: answer it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// The turn.
    pub id: TurnId,
    /// Spoken or typed.
    pub source: TurnSource,
    /// What the user said.
    pub transcript: String,
    /// Whether the reply was asked for by [`TurnOutput::Prepare`] and may be ready.
    pub is_prepared: bool,
    /// Whether the turn was cut off for its length: the sound from there on belongs to the next one.
    pub is_cut_off: bool,
    /// The stamps up to here.
    pub timeline: Timeline,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TurnOutput {
    /// A turn begins: keep the sound from here on.
    Open,
    /// Transcribe the sound so far.
    Transcribe(RequestId),
    /// The sound so far is done with: what follows is a new stretch of the same turn.
    CutSound,
    /// Nobody needs this transcript any more.
    CancelTranscription(RequestId),
    /// Prepare the reply to this, but let nothing of it be heard or done yet.
    Prepare(String),
    /// The user went on: what was prepared is worth nothing.
    DropPrepared,
    /// A voice that may be an interruption: silence now, but the agent may have to go on from here.
    Pause,
    /// It was none: go on where the agent was paused.
    Resume,
    /// The user is away: silence now, but the agent may have to go on from here.
    Hold,
    /// The user is back: go on where the agent was held.
    GoOn,
    /// Stop the agent now.
    Interrupt,
    /// The turn is over: forget its sound and answer it.
    Commit(Commit),
    /// It was no turn (noise, a backchannel, a failed transcript): forget its sound.
    Discard,
    /// The user's voice was heard over the agent's, and now it is known what that meant. What follows
    /// from it comes next.
    Overlap {
        /// When both were first heard.
        began: SessionTime,
        /// Whether it stops the agent, or the agent talks on.
        is_interruption: bool,
    },
    /// The agent's turn: say this.
    Speak(SpeechId),
    /// So many texts are not answered: too much waits.
    DropTexts(usize),
    /// This will not be said: too much waits, or the user it was for is gone.
    DropSpeech(SpeechId),
}
