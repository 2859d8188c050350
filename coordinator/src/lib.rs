//! The coordinator: takes commands and webhooks, decides, keeps the journal, leases jobs to agents.

pub mod journal;
