//! Content-addressed blobs: digests, the store trait and its engines.
