//! The coordinator over its real front doors: gRPC and HTTP on loopback, SQLite and files in a folder, agents that say what
//! a test makes them say.
#![allow(clippy::unwrap_used, clippy::panic)]

mod api;
mod audit;
mod backup;
mod bazel;
mod called;
mod calls;
mod ccache;
mod clients;
mod events;
mod fair;
mod fake_agent;
mod fixture;
mod grpc_runs;
mod history;
mod kept_results;
mod leases;
mod locked;
mod logs;
mod native;
mod records;
mod rerun;
mod restart;
mod results;
mod s3;
mod schedule;
mod several;
mod test_cases;
mod thin_path;
mod trouble;
mod webhook;
