//! Screen and window capture, which this engine does not have.
//!
//! [`DesktopCapturer::new`] says so by returning `None`, the answer that callers already handle for
//! a platform without capture. The types behind it exist for their names: no value of them can.

use std::{convert::Infallible, fmt, sync::Once};

use crate::unsupported;

/// **Works.** What a capturer would capture.
#[derive(Debug, Copy, Clone, PartialEq)]
pub enum DesktopCaptureSourceType {
    /// A whole screen.
    Screen,
    /// One window.
    Window,
    /// Whatever the desktop's own picker offers.
    #[cfg(any(target_os = "macos", target_os = "linux"))]
    Generic,
}

/// **Works** as plain data; no capturer ever reads it.
pub struct DesktopCapturerOptions(());

impl DesktopCapturerOptions {
    /// **Works.** Options for a capturer of `source_type`.
    pub fn new(_source_type: DesktopCaptureSourceType) -> Self {
        Self(())
    }

    /// **Never** has an effect: there is no capture the cursor could be part of.
    pub fn set_include_cursor(&mut self, _include: bool) {}

    /// **Never** has an effect: no system picker is opened.
    #[cfg(target_os = "macos")]
    pub fn set_sck_system_picker(&mut self, _allow_sck_system_picker: bool) {}
}

/// **Error.** Cannot be created: [`new`](Self::new) returns `None`.
pub struct DesktopCapturer(Infallible);

impl DesktopCapturer {
    /// **Error.** Always `None`; the reason is logged once.
    pub fn new(_options: DesktopCapturerOptions) -> Option<Self> {
        static ONCE: Once = Once::new();
        unsupported::warn_once(&ONCE, unsupported::SCREEN_CAPTURE);
        None
    }

    /// **Never** reached: there is no capturer to call it on.
    pub fn start_capture<T>(&mut self, _source: Option<CaptureSource>, _callback: T)
    where
        T: FnMut(Result<DesktopFrame, CaptureError>) + Send + 'static,
    {
        match self.0 {}
    }

    /// **Never** reached.
    pub fn capture_frame(&mut self) {
        match self.0 {}
    }

    /// **Never** reached.
    pub fn get_source_list(&self) -> Vec<CaptureSource> {
        match self.0 {}
    }
}

/// **Never** produced: a captured picture.
pub struct DesktopFrame(Infallible);

impl DesktopFrame {
    /// **Never** reached. Pixels per row.
    pub fn width(&self) -> i32 {
        match self.0 {}
    }

    /// **Never** reached. Rows.
    pub fn height(&self) -> i32 {
        match self.0 {}
    }

    /// **Never** reached. Bytes from one row to the next.
    pub fn stride(&self) -> u32 {
        match self.0 {}
    }

    /// **Never** reached. Left edge on the desktop, in pixels.
    pub fn left(&self) -> i32 {
        match self.0 {}
    }

    /// **Never** reached. Top edge on the desktop, in pixels.
    pub fn top(&self) -> i32 {
        match self.0 {}
    }

    /// **Never** reached. Pixels, four bytes each.
    pub fn data(&self) -> &[u8] {
        match self.0 {}
    }
}

/// **Never** produced: a screen or window to choose from.
#[derive(Clone)]
pub struct CaptureSource(Infallible);

impl CaptureSource {
    /// **Never** reached. The platform's identifier.
    pub fn id(&self) -> u64 {
        match self.0 {}
    }

    /// **Never** reached. The title shown to people.
    pub fn title(&self) -> String {
        match self.0 {}
    }

    /// **Never** reached. The display it is on.
    pub fn display_id(&self) -> i64 {
        match self.0 {}
    }
}

impl fmt::Display for CaptureSource {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {}
    }
}

/// **Never** produced: why a capture failed.
#[derive(Debug, PartialEq)]
pub enum CaptureError {
    /// Trying again may help.
    Temporary,
    /// Trying again will not help.
    Permanent,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capturer_cannot_be_had() {
        let options = DesktopCapturerOptions::new(DesktopCaptureSourceType::Screen);
        assert!(DesktopCapturer::new(options).is_none());
    }
}
