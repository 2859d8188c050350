//! The `slipway-sim` program.

fn main() {}
