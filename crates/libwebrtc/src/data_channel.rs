//! Messages between the peers, in order or not, reliable or not.

use std::{fmt, str::Utf8Error, sync::Arc};

use serde::Deserialize;

use crate::{engine::data::Channel, rtp_parameters::Priority};

/// How to set up a new channel. *Works.*
#[derive(Clone, Debug)]
pub struct DataChannelInit {
    /// Deliver messages in the order they were sent.
    pub ordered: bool,
    /// Give a message up after this many milliseconds (0 to 65,535).
    pub max_retransmit_time: Option<i32>,
    /// Give a message up after this many retransmissions (0 to 65,535). Counts before `max_retransmit_time`.
    pub max_retransmits: Option<i32>,
    /// A name that the application gives to what it speaks on the channel.
    pub protocol: String,
    /// Both sides create the channel themselves, with the same `id`.
    pub negotiated: bool,
    /// The SCTP stream (0 to 65,534) of a negotiated channel; chosen by the engine otherwise.
    pub id: i32,
    /// Accepted and not used: all channels are equal.
    pub priority: Option<Priority>,
}

impl Default for DataChannelInit {
    fn default() -> Self {
        Self {
            ordered: true,
            max_retransmit_time: None,
            max_retransmits: None,
            protocol: String::new(),
            negotiated: false,
            id: -1,
            priority: None,
        }
    }
}

/// Why a message was not taken. *Works.*
#[derive(Debug, thiserror::Error)]
pub enum DataChannelError {
    /// The channel is not open, the message is larger than the peer accepts, or too much is waiting already.
    #[error("failed to send data, dc not open? send buffer is full ?")]
    Send,
    /// Text must be UTF-8.
    #[error("only utf8 strings can be sent")]
    Utf8(#[from] Utf8Error),
}

/// Where in its life a channel is. *Works.*
#[derive(Debug, Copy, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DataChannelState {
    /// Waiting for the transport or for the peer.
    Connecting,
    /// Messages flow.
    Open,
    /// Closing at this side's request.
    Closing,
    /// Gone.
    Closed,
}

/// One received message. *Works.*
#[derive(Debug)]
pub struct DataBuffer<'a> {
    /// The bytes.
    pub data: &'a [u8],
    /// Sent as bytes; otherwise as text.
    pub binary: bool,
}

/// Called when a channel changes its state.
pub type OnStateChange = Box<dyn FnMut(DataChannelState) + Send + Sync>;
/// Called for each message.
pub type OnMessage = Box<dyn FnMut(DataBuffer) + Send + Sync>;
/// Called with the number of bytes that left the send buffer.
pub type OnBufferedAmountChange = Box<dyn FnMut(u64) + Send + Sync>;

/// A message channel. Clones are the same channel. *Works.*
#[derive(Clone)]
pub struct DataChannel {
    pub(crate) inner: Arc<Channel>,
}

impl DataChannel {
    /// Queues a message. *Works.*
    ///
    /// # Errors
    /// See [`DataChannelError`]. At most 16 MiB wait in a channel.
    pub fn send(&self, data: &[u8], binary: bool) -> Result<(), DataChannelError> {
        if !binary {
            std::str::from_utf8(data)?;
        }
        self.inner.send(data, binary)
    }

    /// The SCTP stream, or -1 while none is assigned. *Works.*
    pub fn id(&self) -> i32 {
        self.inner.id()
    }

    /// The channel's name. *Works.*
    pub fn label(&self) -> String {
        self.inner.label().to_owned()
    }

    /// Where in its life the channel is. *Works.*
    pub fn state(&self) -> DataChannelState {
        self.inner.state()
    }

    /// Closes the channel. *Works.*
    pub fn close(&self) {
        self.inner.close();
    }

    /// Bytes accepted by [`send`](Self::send) that the peer has not acknowledged yet. *Works.*
    pub fn buffered_amount(&self) -> u64 {
        self.inner.buffered_amount()
    }

    /// Sets or removes the callback for changes of state. *Works.* Called on the engine's own threads.
    pub fn on_state_change(&self, callback: Option<OnStateChange>) {
        self.inner.on_state_change(callback);
    }

    /// Sets or removes the callback for messages. *Works.* Messages that came before are delivered first.
    pub fn on_message(&self, callback: Option<OnMessage>) {
        self.inner.on_message(callback);
    }

    /// Sets or removes the callback for progress in sending. *Works.* The sum of what it is called with equals the
    /// bytes accepted, once all are sent.
    pub fn on_buffered_amount_change(&self, callback: Option<OnBufferedAmountChange>) {
        self.inner.on_buffered_amount_change(callback);
    }
}

impl fmt::Debug for DataChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DataChannel")
            .field("id", &self.id())
            .field("label", &self.label())
            .field("state", &self.state())
            .finish()
    }
}
