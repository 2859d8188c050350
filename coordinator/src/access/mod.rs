//! Who may do what over the API and on the pages: roles, the rule of each call, and tokens of people and programs.
//!
//! Whoever has the data directory's admin token may do everything. Everybody else has a token of their own with a name, a role and
//! an end ([`AccessToken`]); of its text the coordinator keeps the SHA-256. Invariants: a call without a rule is for administrators
//! ([`rules`]), and a token that was revoked is worth nothing as soon as that is durable ([`AccessTable`]).
//! Deliberately absent: passwords, and roles of one repository.

mod caller;
mod role;
pub(crate) mod rules;
mod table;
mod token;

pub(crate) use caller::Caller;
pub use role::UserRole;
pub use table::AccessTable;
pub use token::{ACCESS_LIFE_MS_MAX, ACCESS_NAME_MAX_CHARS, AccessToken};
