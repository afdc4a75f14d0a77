//! The `verigate` program.

fn main() {}
