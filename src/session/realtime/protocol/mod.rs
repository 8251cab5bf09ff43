//! The events of OpenAI's Realtime API, as far as this session uses them.
//!
//! Source: OpenAI's Realtime API (GA); livekit-agents 1.8.9, `realtime/realtime_model.py`.

mod client;
mod server;

pub(super) use self::client::ClientEvent;
pub(super) use self::server::{ServerEvent, parse};

/// The rate of the sound in both directions.
pub(super) const RATE_HZ: u32 = 24_000;

/// The label of failures.
pub(super) const OPERATION: &str = "realtime";

/// Names the request whose refusal ends the session: the settings themselves are wrong.
const SESSION_EVENT: &str = "voxpool_session";
