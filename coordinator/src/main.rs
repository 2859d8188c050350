//! The `slipway-coordinator` program.

fn main() {}
