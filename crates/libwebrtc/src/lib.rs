//! A pure-Rust WebRTC engine with the public API of LiveKit's `libwebrtc` crate.
#![expect(
    dead_code,
    reason = "the public API that uses the engine is not here yet"
)]

mod engine;
