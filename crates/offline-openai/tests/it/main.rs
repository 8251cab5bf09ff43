//! The stand-in over real HTTP, through async-openai's own typed client where there is one.
//!
//! One binary, so that it links once. Tests that hear or speak need flite and pocketsphinx; all others
//! run in fixed mode.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should fail there"
)]

mod chat;
mod common;
mod control;
mod faults;
mod program;
mod realtime;
mod speech;
mod speech_round_trip;
mod transcriptions;
