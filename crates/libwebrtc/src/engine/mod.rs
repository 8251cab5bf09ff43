//! The engine behind the public API: what a WebRTC stack does, as plain code.
//!
//! Text: [`sdp`], [`candidate`].
//!
//! **Invariant:** nothing in these modules does I/O or reads a clock: time is an argument, so that
//! every decision can be replayed in virtual time. Nothing panics on what a peer sends.

pub(crate) mod candidate;
pub(crate) mod sdp;
