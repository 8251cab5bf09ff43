//! The pool and the providers on it, over real HTTP.

mod aimock;
mod cleanup;
mod faults;
mod limits;
mod pooling;
mod privacy;
pub(crate) mod stages;
mod streams;
mod wire;
