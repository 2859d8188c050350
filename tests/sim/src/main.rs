//! The `slipway-sim` program: runs seeds, prints what they came to, and exits with 1 and the seed where something broke.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;
use rustix::time::{ClockId, clock_gettime};
use slipway_sim::minimise::minimise;
use slipway_sim::report::Totals;
use slipway_sim::{Failure, Keep, Sabotage, Script, WorldKind, run};

/// Drive the scheduler, or the whole control plane, through hostile worlds, one for each seed, and check every invariant after
/// each event.
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
    #[arg(long, value_name = "N", default_value_t = 300)]
    events: u64,
    /// The whole control plane, with the real driver, instead of the scheduler alone.
    #[arg(long)]
    whole: bool,
    /// Plant a bug, to see that it is found: one of ignore-fencing, double-lease, …
    #[arg(long, value_name = "NAME", value_parser = sabotage)]
    sabotage: Option<Sabotage>,
    /// Where a failing world is saved.
    #[arg(long, value_name = "DIR", default_value = ".")]
    save: PathBuf,
    /// Step through a saved world: print each step, and exit with 1 if it breaks.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["seeds", "seed", "events", "whole", "sabotage"])]
    replay: Option<PathBuf>,
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
    match &options.replay {
        Some(file) => replay(file),
        None => seeds(&options),
    }
}

fn seeds(options: &Options) -> ExitCode {
    let world = match options.sabotage {
        Some(sabotage) => sabotage.world(),
        None if options.whole => WorldKind::Whole,
        None => WorldKind::Scheduler,
    };
    let first = options.seed.unwrap_or(0);
    let count = options.seeds.unwrap_or(if options.seed.is_some() { 1 } else { 1_000 });
    let (begin, cpu_begin) = (Instant::now(), cpu_seconds());
    let mut totals = Totals::new(world);
    for seed in (first..=u64::MAX).take(count as usize) {
        let script =
            Script { events: options.events, sabotage: options.sabotage, ..Script::new(world, seed) };
        match run(&script, Keep::Nothing) {
            Ok(summary) => totals.add(&summary),
            // The same world once more, for its trace.
            Err(failure) => return failed(*run(&script, Keep::Tail).err().unwrap_or(failure), &options.save),
        }
    }
    println!("{totals}");
    let per_hour = |seconds: f64| totals.seeds as f64 / seconds.max(f64::EPSILON) * 3_600.0;
    let (cpu, wall) = (per_hour(cpu_seconds() - cpu_begin), per_hour(begin.elapsed().as_secs_f64()));
    println!("speed   {cpu:.0} seeds/hour on one core, by CPU time; {wall:.0} by the clock");
    ExitCode::SUCCESS
}

/// The processor time that this process used: what others do on the machine does not count.
fn cpu_seconds() -> f64 {
    let used = clock_gettime(ClockId::ProcessCPUTime);
    used.tv_sec as f64 + used.tv_nsec as f64 / 1e9
}

/// Makes a failing world smaller, saves it, and says how to see it again.
fn failed(failure: Failure, folder: &Path) -> ExitCode {
    println!("broken  seed {}: {}; looking for a smaller world", failure.script.seed, failure.broken);
    let smaller = minimise(failure);
    print_failure(&smaller);
    let script = Script { broken: Some(smaller.broken.to_string()), ..smaller.script };
    match script.save(folder) {
        Ok(path) => println!("saved   {0}; again with: slipway-sim --replay {0}", path.display()),
        Err(error) => println!("not saved in {}: {error}; it is\n{script:?}", folder.display()),
    }
    ExitCode::FAILURE
}

fn print_failure(failure: &Failure) {
    for line in &failure.lines {
        println!("{line}");
    }
    println!("broken  {}", failure.broken);
    let Script { seed, agents, runs, jobs, .. } = failure.script;
    let troubles: usize = failure.came.values().map(Vec::len).sum();
    println!(
        "seed {seed}, after {} events and {troubles} troubles; {agents} agents, at most {runs} runs of {jobs} jobs",
        failure.events
    );
}

fn replay(file: &Path) -> ExitCode {
    let script = match Script::load(file) {
        Ok(script) => script,
        Err(error) => {
            eprintln!("slipway-sim: {error}");
            return ExitCode::from(2);
        }
    };
    let Err(failure) = run(&script, Keep::All) else {
        println!("nothing broke: this build does not do what the saved world was to show");
        return ExitCode::SUCCESS;
    };
    print_failure(&failure);
    if script.broken.as_ref().is_some_and(|saved| *saved != failure.broken.to_string()) {
        println!("when it was saved, something else broke: {}", script.broken.unwrap_or_default());
    }
    ExitCode::FAILURE
}
