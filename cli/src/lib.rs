//! The slipway command line, and everything in one process.
