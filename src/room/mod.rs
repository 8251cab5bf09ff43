//! The only place that knows the `livekit` crate: what comes from a room and what goes into it.

mod arrivals;
mod decoding;
mod front_end;
mod input;
mod join;
mod keypad;
mod lag;
mod link;
mod microphones;
mod output;
mod playout;
mod preconnect;
mod presence;
mod rates;
mod remote;
mod rpc;
mod session_event;
mod signal;
mod silent;
mod streams;
mod text;
mod transcripts;
mod user;

use std::time::Duration;

use futures::future::BoxFuture;

pub use front_end::FrontEnd;
pub use join::{JoinError, Joined, Participation, join};
pub use output::Voice;
pub use playout::PlayoutClock;
pub use rpc::{Caller, RpcCall, RpcMethod};
pub use session_event::{AgentCard, Models, SessionEvent, Usage, UserState};
pub use silent::SilentOutput;
pub use user::UserChange;

use crate::audio::AudioFrame;
use crate::redact::Pii;

/// Where the agent's voice goes.
pub trait AudioOutput: Send + Sync {
    /// Plays a frame after all earlier ones; returns once at most 200 ms are waiting to be heard.
    ///
    /// Cancel safety: a dropped call may have queued part of the frame.
    fn play(&self, frame: AudioFrame) -> BoxFuture<'_, ()>;

    /// Drops what has not been heard yet; silence follows within one 10 ms frame.
    fn clear(&self);

    /// How much sound has left the queue since the output was made, in time of playing.
    fn position(&self) -> Duration;

    /// How much is queued and not yet heard.
    fn queued(&self) -> Duration;
}

/// The topics of data streams that the room or LiveKit's client reads.
const TOPICS: [&str; 5] = [
    input::CHAT_TOPIC,
    remote::TOPIC,
    preconnect::TOPIC,
    "lk.rpc_request",
    "lk.rpc_response",
];

/// From now on this process drops data streams on every other topic before the client keeps them.
/// A process that is also a caller, as tests are, does not call this.
pub fn read_only_own_topics() {
    data_guard::read_only_topics(&TOPICS);
}

/// What the agent is doing, as front ends show it.
///
/// Source: livekit-agents 1.8.9, `AgentState`; participant attribute `lk.agent.state`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AgentState {
    /// Joined, not ready yet.
    Initializing,
    /// Waits for the user to say something.
    Listening,
    /// Prepares a reply.
    Thinking,
    /// Is heard.
    Speaking,
}

impl AgentState {
    /// The attribute's value.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Initializing => "initializing",
            Self::Listening => "listening",
            Self::Thinking => "thinking",
            Self::Speaking => "speaking",
        }
    }
}

/// What can happen in a room, as far as a session is concerned.
#[derive(Clone, Debug)]
pub enum RoomEvent {
    /// The next sound of the user's microphone: 16 kHz mono.
    Frame(AudioFrame),
    /// So long ago the microphone took up what arrives now, as far as is known here: without the way
    /// through the network.
    Lag(Duration),
    /// The user typed something, or pressed keys of a telephone.
    Text(Pii<String>),
    /// The user joined, is away, is back, or is another one.
    User(UserChange),
    /// The room is gone, and nothing follows.
    Disconnected,
}

/// One stretch of transcript in the room, numbered within the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SegmentId(pub u32);

/// What a session tells the room beside the voice. No method waits: what cannot be sent soon is
/// dropped and counted by the room.
pub trait RoomOutput: Send + Sync {
    /// Shows what the agent does.
    fn set_agent_state(&self, state: AgentState);

    /// Shows what the user said: all of the segment so far, each time.
    fn user_transcript(&self, segment: SegmentId, text: &str, is_final: bool);

    /// Adds to what the agent said in this segment, as it is heard.
    fn agent_transcript(&self, segment: SegmentId, delta: &str);

    /// Nothing more comes of this segment.
    fn end_agent_transcript(&self, segment: SegmentId);

    /// Tells front ends what happened in the session. The room tells them of the agent's states and
    /// of the user's words by itself, from the methods above.
    fn session_event(&self, _event: SessionEvent) {}

    /// The user does not come back: the next one is shown nothing of the session so far. See
    /// [`UserChange`].
    fn forget_user(&self) {}
}
