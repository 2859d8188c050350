//! What every program of Slipway shares: clock, configuration, telemetry, shutdown, retry with back-off, connections
//! whose other end vanished, the service manager, sources of repositories.
//!
//! Deliberately absent: anything that knows about workflows, leases or blobs.

pub mod actions_source;
pub mod allocator;
pub mod backoff;
pub mod clock;
pub mod config;
pub mod peer;
pub mod service;
pub mod shutdown;
pub mod telemetry;
