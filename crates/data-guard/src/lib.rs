//! Bounds what participants send to a LiveKit client as data packets and data streams.
//!
//! LiveKit's client keeps every stream that was opened and never ended, makes an inflater for each
//! compressed header, inflates before it looks at a limit, takes chunks of any participant for any
//! open stream and starts a task for each RPC request. A process that serves many calls cannot
//! afford that, so [`Guard`] reads every data packet before the client does and hands on only what
//! is within the [`limits`]. `crates/libwebrtc` calls it; it has no I/O and takes time as an
//! argument.
//!
//! It is a filter on the wire and no replacement of the client's crate `livekit-data-stream`: it
//! stands before the client's unbounded queues, which a replacement would not, it stays correct
//! when that crate changes, and its only contract is the protocol. The price is that each packet
//! is decoded twice, and that it reads no end-to-end encrypted packet. The engine cannot decrypt
//! such packets either, so the guard refuses them.
//!
//! **Invariant:** the streams that are open here are those that are open in the client: a stream
//! that the guard gives up gets a trailer of the guard's own.
//! **Invariant:** a compressed stream reaches the client inflated, so the client has no inflater.

mod bucket;
mod counts;
mod guard;
mod inflate;
pub mod limits;
mod meter;
mod packet;
mod streams;
mod topics;

#[cfg(test)]
mod tests;

pub use counts::{Kind, refused};
pub use guard::Guard;
pub use topics::read_only_topics;
