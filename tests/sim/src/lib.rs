//! The simulator: drives the pure scheduler from one seed and checks every invariant after each event.
