//! The `slipway-bench` program.

fn main() {}
