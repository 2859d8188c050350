//! The cache's front doors: what build tools speak, over the evictable cache of [`slipway_cas::cache`].
//!
//! A door checks what a client sends, asks its host who the client is ([`gate`]), and reads and writes through a [`view`] of what
//! that client may see. Coordinators and agents open the same doors.
//!
//! Invariants: a client reads and writes only in the scopes that its host named; no byte goes out that is not of the digest asked
//! for; what is stored was checked against its digest; a cache that cannot be asked is a miss or a lost write, never an error that
//! fails a build.

pub mod accounts;
pub mod gate;
pub mod http;
mod leave;
pub mod limits;
mod one_port;
pub mod reapi;
pub mod remote;
pub mod view;

pub use accounts::{Account, Accounts, Door};
pub use gate::{Access, Admitted, Asking, Gate, Refusal, Scope};
pub use leave::waits_for_leave;
pub use one_port::{HTTP_PREFIX, is_of_cache, on_one_port};
