//! Counts of what was refused, for the whole process.

use std::sync::atomic::{AtomicU64, Ordering};

/// Why a packet or a stream was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Too many messages.
    Message,
    /// Too many bytes.
    Bytes,
    /// A stream that is too long, too large at its head, silent for too long, one too many, or
    /// written to by another participant.
    Stream,
    /// Too many RPC requests.
    Rpc,
    /// A packet that breaks the protocol.
    Malformed,
    /// A packet with end-to-end encryption, which this engine cannot decrypt.
    Encrypted,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Message,
        Self::Bytes,
        Self::Stream,
        Self::Rpc,
        Self::Malformed,
        Self::Encrypted,
    ];

    /// The label in metrics and in the log.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Message => "data_message",
            Self::Bytes => "data_bytes",
            Self::Stream => "data_stream",
            Self::Rpc => "data_rpc",
            Self::Malformed => "data_malformed",
            Self::Encrypted => "data_encrypted",
        }
    }

    /// The sentence of the log, and what the reader of a stream that was ended is told.
    pub(crate) const fn why(self) -> &'static str {
        match self {
            Self::Message => "too many messages a second",
            Self::Bytes => "too many bytes a second",
            Self::Stream => "a bound of data streams",
            Self::Rpc => "too many RPC requests a second",
            Self::Malformed => "not as the protocol says",
            Self::Encrypted => "end-to-end encryption is not supported",
        }
    }
}

static REFUSED: [AtomicU64; Kind::ALL.len()] = [const { AtomicU64::new(0) }; Kind::ALL.len()];

/// How many packets and streams of this kind the process has refused.
pub fn refused(kind: Kind) -> u64 {
    REFUSED[kind as usize].load(Ordering::Relaxed)
}

/// What one connection refused; it adds to the counts of the process.
#[derive(Debug, Default)]
pub(crate) struct Refused([u64; Kind::ALL.len()]);

impl Refused {
    /// Counts one, and logs the first of its kind.
    pub(crate) fn add(&mut self, kind: Kind) {
        REFUSED[kind as usize].fetch_add(1, Ordering::Relaxed);
        let here = &mut self.0[kind as usize];
        *here += 1;
        if *here == 1 {
            log::warn!(
                "data of a participant is refused ({}: {}); more of this kind on this connection \
                 is only counted",
                kind.label(),
                kind.why()
            );
        }
    }

    #[cfg(test)]
    pub(crate) fn count(&self, kind: Kind) -> u64 {
        self.0[kind as usize]
    }
}
