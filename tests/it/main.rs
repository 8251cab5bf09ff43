//! Integration tests of the worker: one binary, so that it is linked once.
//!
//! Each module is one part of the program against real servers on the loopback interface.

mod pool;
