//! What this engine does not carry, said in one place.
//!
//! Items whose signature has room for an error return one of these texts. Items whose signature
//! has none (`bool`, `Option`, nothing at all) log it once per process and then behave as their
//! docs say. Nothing here panics.

use std::sync::Once;

/// Appended to every refusal: what a person can do about it.
macro_rules! remedy {
    () => {
        "; to use LiveKit's C++ engine instead, remove the libwebrtc line from [patch.crates-io]"
    };
}

pub(crate) const VIDEO: &str = concat!(
    "this engine carries audio and data, but no video frames",
    remedy!()
);
pub(crate) const DMA_BUF: &str =
    concat!("this engine cannot read the pixels of a DMA-BUF", remedy!());
pub(crate) const SCREEN_CAPTURE: &str =
    concat!("this engine cannot capture screens or windows", remedy!());
pub(crate) const ENCRYPTION: &str = concat!(
    "this engine has no end-to-end encryption (only the transport is encrypted)",
    remedy!()
);
pub(crate) const AUDIO_PROCESSING: &str = concat!(
    "this engine has no echo cancellation, gain control, high-pass filter or noise suppression: \
     create the AudioProcessingModule with all four off, or process the audio elsewhere",
    remedy!()
);

/// Logs `text` as a warning the first time `once` is seen, so that a refusal per frame does not
/// flood the log.
pub(crate) fn warn_once(once: &Once, text: &str) {
    once.call_once(|| log::warn!("{text}"));
}
