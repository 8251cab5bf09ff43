//! The `voxpool` program.

fn main() {}
