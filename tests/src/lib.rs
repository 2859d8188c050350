//! End-to-end, chaos and wire tests over real processes and containers.
