//! Taking turns: who speaks when. Plain code that takes time as an argument.
//!
//! [`TurnMachine`] is the only thing that decides it. It is told what the user's speech does, what
//! the transcripts say and whether the agent is busy, and answers with what to do about it. Its two
//! policies have files of their own: [`endpointing`] (is the user done?) and [`interruption`] (does
//! this stop the agent?). [`Turn`] is the record of one exchange.
//!
//! **Invariant:** knows no rooms, providers or clocks.

mod config;
pub mod endpointing;
pub mod interruption;
mod machine;
mod open_turn;
mod record;
#[cfg(test)]
mod tests;
mod time;

pub use config::{Config, Speculation};
pub use machine::{Commit, RequestId, TurnInput, TurnMachine, TurnOutput};
pub use record::{ReplyOutcome, Timeline, Turn, TurnId, TurnSource};
pub use time::SessionTime;
