//! `slipway-bench`: measures Slipway, each figure beside its baseline.

use clap::{Parser, Subcommand};
use slipway_bench::{figure::Figure, plan};

#[derive(Parser)]
#[command(name = "slipway-bench", version, about = "Measures Slipway, each figure beside its baseline")]
struct Arguments {
    #[command(subcommand)]
    figure: What,
    /// Print one JSON object a line.
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Subcommand)]
enum What {
    /// Workflow files parsed and planned a second, beside GitHub's own parser.
    Plan,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let figures: Vec<Figure> = match arguments.figure {
        What::Plan => plan::measure()?,
    };
    figures.iter().try_for_each(|figure| figure.print(arguments.json))
}
