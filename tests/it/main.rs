//! Integration tests of the worker: one binary, a module for each part.

mod session;
