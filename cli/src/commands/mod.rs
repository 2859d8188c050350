//! The commands, one file each: its flags and what it does.

pub mod admin;
pub mod agents;
pub mod approve;
pub mod artifacts;
pub mod audit;
pub mod backup;
pub mod cache;
pub mod cancel;
pub mod dispatch;
pub mod doctor;
pub mod eval;
pub mod github;
pub mod lint;
pub mod lock;
pub mod logs;
mod logs_verify;
pub mod plan;
pub mod pools;
mod rebuild;
pub mod rerun;
pub mod run;
pub mod runs;
pub mod secrets;
pub mod show;
mod show_reports;
pub mod tokens;
pub mod up;
