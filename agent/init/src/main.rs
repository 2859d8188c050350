//! The `slipway-init` program.

fn main() {}
