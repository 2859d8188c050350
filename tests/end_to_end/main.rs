//! The programs as users have them, over real containers, against what the contract promises.
//!
//! One module per promise. A test says what must come out, never how fast.

#![allow(clippy::unwrap_used, clippy::panic)]

mod actions;
mod arm64;
mod arm64_agent;
mod artifacts;
mod background;
mod bad_input;
mod build_tools;
mod calls;
mod certificates;
mod chaos;
mod delivery;
mod enrolment;
mod environments;
mod events;
mod failover;
mod full_image;
mod https;
mod identity;
mod images;
mod large_blob;
mod local_rerun;
mod low_disk;
mod many_blows;
mod many_jobs;
mod missing_images;
mod native_actions;
mod numbered;
mod own_ci;
mod packages;
mod pages;
mod pages_long_log;
mod private_fleet;
mod reach;
mod rerun;
mod results;
mod scaler;
mod schedule;
mod services;
mod sign_in;
mod sudden_death;
mod test_reports;
mod tls;
mod tracing;
mod unruly_steps;
mod upgrade;
mod workflows;
