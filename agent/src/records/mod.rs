//! What a job's log is made of: numbered records, kept in its journal and sent until the coordinator has them.
//!
//! Invariant: one writer ([`log::JobLog`]) gives a record its number and puts it into the journal together with the
//! spool offset behind it; one sender ([`upload`]) reads the journal. They share nothing but the journal.

pub mod ledger;
pub mod log;
pub mod upload;
mod wire;
