//! A caller made of software: it joins a room through its own WebRTC connection, speaks with a
//! synthetic voice, listens, and measures what it *hears*, never what the agent says of itself.
//!
//! - [`hearing`]: plain code that finds speech in what was received.
//! - [`voice`]: text to PCM, by `flite`.
//! - [`room`]: the WebRTC side: one microphone track out, the agent's track in.
//! - [`transcript`]: PCM to text, by the OpenAI-compatible endpoint.
//! - [`script`]: what the caller says and what it expects to be told.
//! - [`server`]: where to call, and the token for it.
//! - [`process`]: what the worker uses meanwhile.
//! - [`vad`]: the detector of voices, measured.
//! - [`progress`]: what goes on, for whoever watches.
//! - [`svg`]: pictures of times.
//! - [`report`]: the dialogue as it goes, and the line of JSON at the end.

pub mod hearing;
pub mod process;
pub mod progress;
pub mod report;
pub mod room;
pub mod script;
pub mod server;
pub mod svg;
pub mod transcript;
pub mod vad;
pub mod voice;

/// Samples per second everywhere in this crate: flite's rate, and what speech recognition takes.
pub const SAMPLE_RATE_HZ: u32 = 16_000;

/// Samples in 10 ms, the length of every frame sent and received.
pub const FRAME_SAMPLES: usize = SAMPLE_RATE_HZ as usize / 100;
