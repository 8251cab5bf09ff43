//! The engine behind the public API: what a WebRTC stack does, as plain code.
//!
//! Text: [`sdp`], [`candidate`]. Audio out: [`audio_send`] over [`opus_encode`] and [`red`]. Audio
//! in: [`audio_receive`] over [`red`], [`jitter`], [`opus_decode`] and [`stretch`].
//!
//! **Invariant:** nothing in these modules does I/O or reads a clock: time is an argument, so that
//! every decision can be replayed in virtual time. Nothing panics on what a peer sends.

pub(crate) mod audio_level;
pub(crate) mod audio_receive;
pub(crate) mod audio_send;
pub(crate) mod candidate;
pub(crate) mod jitter;
pub(crate) mod opus_decode;
pub(crate) mod opus_encode;
pub(crate) mod pcm;
pub(crate) mod red;
pub(crate) mod resample;
pub(crate) mod sdp;
pub(crate) mod stretch;
#[cfg(test)]
pub(crate) mod tone;
