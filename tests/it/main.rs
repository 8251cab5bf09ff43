//! Integration tests of the worker: one binary, so that it is linked once; the harness in `common`.
//!
//! Each module is one part of the program against real servers on the loopback interface, or, for
//! `session`, against scripted fakes in virtual time.

#![expect(clippy::unwrap_used, reason = "a helper that fails fails its test")]

mod cache;
mod call;
mod common;
mod console;
mod hostile;
mod mcp;
mod mcp_excess;
mod memory;
mod memory_tools;
mod playground;
mod pool;
mod program;
mod services;
mod session;
mod worker;
