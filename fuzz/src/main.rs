//! `slipway-fuzz`: fuzzes one reader for a while, or replays a seed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use slipway_fuzz::{Finding, Target, input, run};

/// Most findings that are printed before the run ends.
const MAX_FINDINGS: usize = 10;

/// Fuzzes a reader of outsiders' text.
#[derive(Parser)]
#[command(name = "slipway-fuzz", version)]
struct Options {
    /// What to fuzz: parser, expressions, commands, env-files, junit, lcov, cobertura, sarif, sbom, webhooks, resource-names, results or archives
    #[arg(value_parser = target)]
    target: Target,
    /// For how long
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Replay the one seed and print its input
    #[arg(long)]
    replay: bool,
}

fn target(name: &str) -> Result<Target, String> {
    Target::ALL
        .into_iter()
        .find(|target| target.name() == name)
        .ok_or_else(|| format!("use one of {}", Target::ALL.map(Target::name).join(", ")))
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.replay {
        println!("{}", String::from_utf8_lossy(&input(options.target, options.seed)));
        return report(run(options.target, options.seed).err().as_slice());
    }
    let start = Instant::now();
    let mut findings = Vec::new();
    let mut slowest = (Duration::ZERO, 0);
    let mut seed = options.seed;
    while start.elapsed() < Duration::from_secs(options.seconds) && findings.len() < MAX_FINDINGS {
        let before = Instant::now();
        findings.extend(run(options.target, seed).err());
        slowest = slowest.max((before.elapsed(), seed));
        seed = seed.wrapping_add(1);
    }
    let executions = seed.wrapping_sub(options.seed);
    println!(
        "{}: {executions} executions in {:.0} s, {} findings; the slowest took {:.1} ms (seed {})",
        options.target.name(),
        start.elapsed().as_secs_f64(),
        findings.len(),
        slowest.0.as_secs_f64() * 1_000.0,
        slowest.1
    );
    report(&findings)
}

fn report(findings: &[Finding]) -> ExitCode {
    for finding in findings {
        println!("finding: seed {}: {}", finding.seed, finding.message);
    }
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
