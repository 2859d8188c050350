//! The `slipway-sim` program: runs seeds, prints what they came to, and exits with 1 and the seed where something broke.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use slipway_sim::report::Totals;
use slipway_sim::{Config, Failure, Sabotage, run_seed};

/// Drive the pure scheduler through hostile worlds, one for each seed, and check every invariant after each event.
#[derive(Debug, Parser)]
#[command(name = "slipway-sim", version)]
struct Options {
    /// How many seeds to run. Default: 1,000, or one with --seed.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// The first seed.
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Events of a seed before its world is healed.
    #[arg(long, value_name = "N", default_value_t = Config::default().events_min)]
    events: u64,
    /// Plant a fault in the scheduler, to see that it is found: one of ignore-fencing, double-lease, …
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<Sabotage>,
}

fn sabotage(name: &str) -> Result<Sabotage, String> {
    let names = || Sabotage::ALL.map(Sabotage::name).join(", ");
    Sabotage::ALL
        .into_iter()
        .find(|fault| fault.name() == name)
        .ok_or_else(|| format!("use one of {}", names()))
}

fn main() -> ExitCode {
    let options = Options::parse();
    let config = Config { events_min: options.events, sabotage: options.sabotage };
    let first = options.seed.unwrap_or(0);
    let count = options.seeds.unwrap_or(if options.seed.is_some() { 1 } else { 1_000 });
    let begin = Instant::now();
    let mut totals = Totals::default();
    for seed in (first..=u64::MAX).take(count as usize) {
        match run_seed(seed, config, false) {
            Ok(summary) => totals.add(&summary),
            Err(failure) => {
                // The same seed once more, for its trace.
                let failure = run_seed(seed, config, true).err().unwrap_or(failure);
                print_failure(&failure, &options);
                return ExitCode::FAILURE;
            }
        }
    }
    let seconds = begin.elapsed().as_secs_f64().max(f64::EPSILON);
    println!("{totals}");
    println!("speed   {:.0} seeds/hour on one core", totals.seeds as f64 / seconds * 3_600.0);
    ExitCode::SUCCESS
}

fn print_failure(failure: &Failure, options: &Options) {
    for line in &failure.tail {
        println!("{line}");
    }
    println!("broken  {}", failure.broken);
    let planted = options.sabotage.map_or(String::new(), |fault| format!(" --sabotage {}", fault.name()));
    println!("after {} events; again with: slipway-sim --seed {}{planted}", failure.events, failure.seed);
}
