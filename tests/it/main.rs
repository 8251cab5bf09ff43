//! Integration tests of the worker: one binary, so that it is linked once.
//!
//! Each module is one part of the program against real servers on the loopback interface; `common`
//! is the harness they share.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod common;
mod pool;
mod program;
mod worker;
