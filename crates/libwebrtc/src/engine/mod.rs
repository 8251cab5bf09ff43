//! How the engine works, behind the public API.
//!
//! Decisions and I/O are kept apart. `negotiation` (with `describe`, which writes the text) turns
//! transceivers and options into descriptions, and descriptions into a list of actions; it owns no
//! socket and asks no clock. `connection` owns one peer connection: it holds str0m, applies those
//! actions, and is what the public API calls. `transport` drives it: sockets, timers, and the
//! callbacks, which run outside every lock. `ice` finds addresses. Sound flows through
//! `audio_queue` or a remote peer's packets, `audio_track`, `sender` and `receiver`, on the 10 ms
//! `clock`; messages through `data`.
//!
//! The plain parts under those: `audio_send` over `opus_encode` and `red`; `audio_receive` over `red`,
//! `jitter`, `opus_decode` and `stretch`; the texts in `sdp` and `candidate`.
//!
//! What is deliberately absent: video coding, congestion control, simulcast.

mod audio_level;
pub(crate) mod audio_queue;
mod audio_receive;
mod audio_send;
pub(crate) mod audio_track;
mod callbacks;
mod candidate;
mod clock;
pub(crate) mod connection;
pub(crate) mod data;
mod describe;
pub(crate) mod frame_queue;
mod ice;
mod jitter;
#[cfg(test)]
mod loopback;
mod media;
mod negotiation;
mod opus_decode;
mod opus_encode;
mod pcm;
pub(crate) mod receiver;
mod red;
mod resample;
pub(crate) mod sdp;
pub(crate) mod sender;
mod session;
mod state;
mod stats;
mod stretch;
#[cfg(test)]
mod tone;
pub(crate) mod transceiver;
mod transport;

use std::sync::LazyLock;

use tokio::runtime::{Builder, Runtime};

use crate::MediaType;

/// Runs the drivers of all connections.
///
/// It is the engine's own, so that media does not stall when the program's runtime is busy, and so
/// that the API, which is synchronous at heart, can be called from anywhere.
static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(2)
        .thread_name("rtc-net")
        .enable_all()
        .build()
        .expect("the operating system refused two threads at start-up")
});

/// Header extensions that sections of this kind can have.
pub(crate) fn header_extensions(kind: MediaType) -> &'static [&'static str] {
    match kind {
        MediaType::Audio => &[describe::AUDIO_LEVEL_URI, describe::MID_URI],
        MediaType::Video => &[describe::MID_URI],
        MediaType::Data | MediaType::Unsupported => &[],
    }
}
