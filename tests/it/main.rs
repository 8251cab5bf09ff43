//! Integration tests of the worker: one binary, so that it is linked once; the harness in `common`.
//!
//! Each module is one part of the program against real servers on the loopback interface, or, for
//! `session`, against scripted fakes in virtual time.

mod call;
mod common;
mod pool;
mod session;
mod worker;
