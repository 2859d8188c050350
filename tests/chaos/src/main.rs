//! `slipway-chaos`: a campaign against real processes. Coordinators on a PostgreSQL with a synchronous stand-by, agents in
//! network namespaces, jobs in containers; blow after blow at them, and at the end the count of what the containers did
//! against what was told.
//!
//! It needs root: for network namespaces, packet filters and small disks. It belongs to the tests and panics like one.

#![allow(clippy::unwrap_used, clippy::panic)]

mod campaign;
mod clerk;
mod door;
mod fault;
mod plant;
mod report;
mod strike;
mod told;
mod verdict;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use fault::Fault;

/// Break a whole fleet again and again while jobs run, and count what became of them.
#[derive(Debug, Parser)]
#[command(name = "slipway-chaos", version)]
struct Options {
    /// How many blows.
    #[arg(long, value_name = "N", default_value_t = 1_000, value_parser = at_least_one)]
    kills: usize,
    /// Where the order of the blows begins; printed, to have the same order again. [default: another one each time]
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Only these kinds, with commas between. Every kind comes once before any comes again.
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    kinds: Vec<Fault>,
    /// Print one JSON object at the end.
    #[arg(long)]
    json: bool,
}

fn at_least_one(text: &str) -> Result<usize, String> {
    text.parse().ok().filter(|count| *count > 0).ok_or_else(|| "use a number from 1 on".to_owned())
}

fn main() -> ExitCode {
    let options = Options::parse();
    if !rustix::process::geteuid().is_root() {
        eprintln!(
            "slipway-chaos makes network namespaces and mounts: run it as root, or with `sudo --preserve-env`"
        );
        return ExitCode::from(2);
    }
    let kinds = if options.kinds.is_empty() { Fault::ALL.to_vec() } else { options.kinds };
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    match campaign::run(options.kills, seed, &kinds, options.json) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
