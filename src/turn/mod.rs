//! Taking turns: who speaks when. Plain code that takes time as an argument.
//!
//! [`TurnMachine`] is the only thing that decides it. It is told what the user's speech does, what
//! the transcripts say and whether the agent is busy, and answers with what to do about it. Its
//! policies have files of their own: [`endpointing`] (is the user done?) with an [`EndOfTurnJudge`],
//! [`interruption`] (does this stop the agent?) and the queue of what the agent wants to say. [`Turn`] is the record of one exchange.
//!
//! **Invariant:** knows no rooms, providers or clocks.

mod absence;
mod agent_side;
mod away;
mod config;
pub mod endpointing;
pub mod interruption;
mod io;
mod judge;
mod lasting;
mod limits;
mod machine;
mod open_turn;
mod overlap;
mod queue;
mod record;
#[cfg(test)]
mod tests;
mod texts;
mod time;
mod typed;

pub(crate) use away::Attention;
pub use config::{Away, Config, Limit, Speculation};
pub use io::{Commit, RequestId, TurnInput, TurnOutput};
pub use judge::{EndOfTurnJudge, TranscriptJudge};
pub use machine::TurnMachine;
pub(crate) use queue::SpeechQueue;
pub use queue::{Priority, QueuedSpeech, SpeechId};
pub use record::{ReplyOutcome, Timeline, Turn, TurnId, TurnSource};
pub use texts::TEXT_BYTES_MAX;
pub(crate) use texts::{TEXTS_APART, WaitingTexts};
pub use time::SessionTime;
