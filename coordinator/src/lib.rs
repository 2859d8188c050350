//! The coordinator: takes commands and webhooks, decides, keeps the journal, leases jobs to agents.
//!
//! The way through: [`http`], [`grpc`] and [`github`] are the front doors; [`submit`] starts runs; the [`driver`] is the
//! single writer over the [`journal`], the pure scheduler and its fleet; the [`planner`] evaluates jobs beside it;
//! [`records`] keeps what attempts send, and [`run_stream`] reads it.
//!
//! Invariant: nothing that follows from an event is seen before the event is durable. Deliberately absent: everything that
//! runs on agents; the two meet in `slipway-proto`.

pub mod access;
pub mod audit;
pub mod authority;
pub mod backup;
mod blobs;
pub mod cache;
mod chain;
mod coordinator;
pub mod data_dir;
mod dispatch;
pub mod driver;
pub mod forge;
pub mod github;
mod give_way;
pub mod grpc;
pub mod hashicorp_vault;
pub mod history;
pub mod house;
pub mod http;
mod https;
pub mod identity;
pub mod journal;
mod key;
pub mod keys;
mod leading;
mod log_keeper;
pub mod metrics;
mod mirror;
pub mod options;
mod pages;
mod places;
pub mod planner;
pub mod records;
pub mod reports;
pub mod repositories;
pub mod rerun;
pub mod results;
pub mod run_stream;
pub mod scaler;
mod schedule;
mod seal;
mod secret_file;
pub mod secrets;
pub mod services;
mod sign_in;
mod small_files;
mod sqlite;
pub mod submit;
pub mod test_cases;
pub mod tls;
pub mod token;
pub mod trends;
pub mod vault;
mod vault_keys;
pub mod view;

pub use coordinator::{Coordinator, Handle, StartError};
