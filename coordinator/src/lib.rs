//! The coordinator: takes commands and webhooks, decides, keeps the journal, leases jobs to agents.

pub mod data_dir;
pub mod driver;
pub mod journal;
pub mod metrics;
pub mod records;
mod secret_file;
pub mod secrets;
pub mod token;
