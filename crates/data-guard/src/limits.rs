//! Every bound of this crate, with its reason.

use std::time::Duration;

/// How much may come at once and how fast more may follow.
#[derive(Clone, Copy, Debug)]
pub struct Rates {
    /// Messages per second.
    pub messages_per_s: f64,
    /// Messages at once.
    pub messages_burst: f64,
    /// Bytes per second.
    pub bytes_per_s: f64,
    /// Bytes at once.
    pub bytes_burst: f64,
}

/// One participant. A recording of 2 MiB in chunks of 15 KB is 140 messages and half of the bytes.
pub const SENDER: Rates = Rates {
    messages_per_s: 200.0,
    messages_burst: 1_000.0,
    bytes_per_s: 1_000_000.0,
    bytes_burst: 4_194_304.0,
};

/// All participants of a connection: three at their limit.
pub const CONNECTION: Rates = Rates {
    messages_per_s: 600.0,
    messages_burst: 3_000.0,
    bytes_per_s: 3_000_000.0,
    bytes_burst: 12_582_912.0,
};

/// RPC requests per second of one participant. The client starts a task for each.
pub const RPC_PER_S: f64 = 20.0;

/// RPC requests of one participant at once.
pub const RPC_BURST: f64 = 50.0;

/// Participants whose rates are remembered; one that sent nothing for some seconds is forgotten.
pub const SENDERS_MAX: usize = 64;

/// Open streams of one participant. One more ends the one that was silent the longest.
pub const STREAMS_PER_SENDER_MAX: usize = 16;

/// Open streams of a connection. One more ends one of the participant that has the most.
pub const STREAMS_MAX: usize = 48;

/// How long a stream may be silent.
pub const STREAM_IDLE_MAX: Duration = Duration::from_secs(30);

/// Bytes of one stream, inflated: ten seconds of stereo audio at 48 kHz.
pub const STREAM_BYTES_MAX: usize = 2 * 1024 * 1024;

/// Bytes of a header (topic, names, attributes) without its inline content, and of a trailer.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;

/// Bytes of an identifier of a stream or a participant. LiveKit's own have at most 256.
pub const ID_BYTES_MAX: usize = 512;
