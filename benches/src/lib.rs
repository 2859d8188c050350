//! The load driver: each figure beside a baseline measured in the same run.
//!
//! Machines are noisy and differ: a figure alone says little, so every one is printed with its baseline and their
//! ratio. Deliberately absent: assertions. A figure that got worse is seen by people who read it, not by a test that
//! fails on a busy machine.

pub mod agent_cache;
pub mod backlog;
pub mod browsers;
pub mod build_cache;
pub mod cache;
mod cache_sink;
pub mod canary;
pub mod checkout;
pub mod dedup;
pub mod dispatch;
pub mod echo;
pub mod expressions;
pub mod failover;
pub mod figure;
pub mod idle;
pub mod journal;
pub mod local;
pub mod logs;
pub mod mask;
pub mod node;
pub mod plan;
pub mod process;
pub mod programs;
pub mod results;
pub mod scheduler;
pub mod start;
pub mod submission;
pub mod webhooks;
