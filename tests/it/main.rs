//! Integration tests of the worker: one binary, a module per subject, the harness in `common`.

mod common;
mod worker;
