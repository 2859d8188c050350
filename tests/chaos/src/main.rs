//! `slipway-chaos`: a campaign against real processes. Coordinators on a PostgreSQL with a synchronous stand-by, agents in
//! network namespaces, jobs in containers; blow after blow at them, and at the end the count of what the containers did
//! against what was told.
//!
//! It needs root: for network namespaces, packet filters and small disks. It belongs to the tests and panics like one.

#![allow(clippy::unwrap_used, clippy::panic)]

mod borrower;
mod campaign;
mod clerk;
mod door;
mod fault;
mod interrupt;
mod plant;
mod report;
mod shape;
mod strike;
mod told;
mod verdict;
mod workload;

use std::process::ExitCode;

use clap::Parser;

use campaign::Campaign;
use shape::Shape;

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
    kinds: Vec<String>,
    /// One coordinator on SQLite instead of three on PostgreSQL.
    #[arg(long)]
    single: bool,
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
    let shape = if options.single { Shape::Single } else { Shape::Several };
    let kinds = match shape.kinds(&options.kinds) {
        Ok(kinds) => kinds,
        Err(reason) => {
            eprintln!("slipway-chaos: --kinds: {reason}");
            return ExitCode::from(2);
        }
    };
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    let campaign = Campaign { shape, blows: options.kills, seed, kinds, as_json: options.json };
    interrupt::listen();
    match std::panic::catch_unwind(|| campaign.run()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(payload) if payload.is::<interrupt::Interrupted>() => {
            eprintln!("interrupted; what was started is ended");
            ExitCode::from(130)
        }
        Err(payload) => std::panic::resume_unwind(payload),
    }
}
