//! Slipway's workflow language against GitHub's own packages, on generated and hand-picked input.
//!
//! Every difference fails, unless `docs/DIFFERENCES.md` names it. What is generated follows from a seed, which a
//! failure prints; `SLIPWAY_SEED` replays it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod expressions;
mod generate;
mod hostile;
mod listed;
mod oracle;
mod random;
mod workflows;
mod yaml;
