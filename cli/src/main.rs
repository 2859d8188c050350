//! The `slipway` program.

fn main() {}
