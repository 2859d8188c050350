//! Whom a client trusts: TLS 1.3 of rustls on ring, by the machine's certificates, a file's, or the fingerprint of one authority; and what is
//! wrong with a server's TLS, in words that say what to do.
//!
//! Invariant: whatever comes of [`Trust`] verifies the server's chain, name and time, and nothing else does. There is no way to turn that off.
//!
//! Deliberately absent: connections, addresses, and what servers show ([`Trust::builder`] leaves the client's own certificate to its caller).

mod explain;
mod pin;
pub mod roots;
mod trust;

pub use explain::{Peer, explain, in_words};
pub use pin::Fingerprint;
pub use trust::Trust;
