//! The `slipway-agent` program.

fn main() {}
