//! The pure scheduler: a state machine without clock, randomness, IO or async.
