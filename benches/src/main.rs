//! `slipway-bench`: measures Slipway, each figure beside its baseline.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use slipway_bench::dispatch::{self, Load};
use slipway_bench::{
    agent_cache, backlog, browsers, build_cache, cache, checkout, dedup, expressions, failover,
    figure::Figure, idle, journal, logs, mask, plan, programs, results, scheduler, start, webhooks,
};

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
    Plan {
        /// A folder of workflow files to measure on, instead of the benchmark's own three.
        #[arg(long)]
        files: Option<PathBuf>,
    },
    /// Expressions evaluated a second, beside GitHub's own package.
    Expressions,
    /// Output masked with 100 secrets in all their encodings, beside a plain copy.
    Mask,
    /// A step and a one-step job, beside `docker exec` and `docker run`.
    Start {
        /// The image of the containers; it has `sh` and `true`.
        #[arg(long, default_value = "slipway/runner:slim")]
        image: String,
        /// How often each side is measured.
        #[arg(long, default_value_t = 15)]
        rounds: usize,
    },
    /// A checkout of a large repository by an agent that has had it before, beside `git clone` from the local disk.
    Checkout {
        /// Files of the repository.
        #[arg(long, default_value_t = 100_000)]
        files: usize,
        /// How often each side is measured.
        #[arg(long, default_value_t = 5)]
        rounds: usize,
    },
    /// An agent that waits for jobs, and a coordinator with many that do, each enrolled and with a connection of its own. Needs the programs
    /// built in the same profile (`cargo build --release --bins`).
    Idle {
        /// How many agents.
        #[arg(long, default_value_t = 10_000)]
        agents: usize,
    },
    /// A cache entry saved and restored, straight and through an agent, beside a plain copy.
    Results {
        /// The entry's size in MiB.
        #[arg(long, default_value_t = 200)]
        mebibytes: u64,
    },
    /// The cache: a folder saved and restored by the built-in `actions/cache`, beside GitHub's own client under Node;
    /// what build tools ask for, with Redis and on disk, beside bare servers; and what an agent has on its own disk. Needs
    /// `redis-server`.
    Cache {
        /// The folder's size in MiB.
        #[arg(long, default_value_t = 200)]
        mebibytes: u64,
        /// Only this part of it.
        #[arg(long)]
        only: Option<Part>,
        /// Measure that of build tools beside another server of the remote cache at this address, with a Redis of its own and an instance
        /// without a name.
        #[arg(long, value_name = "IP:PORT")]
        beside: Option<std::net::SocketAddr>,
    },
    /// What the cache takes for the target folders of successive commits of this repository, beside their files. Builds them, which takes a while.
    Dedup {
        /// How many commits.
        #[arg(long, default_value_t = 20)]
        builds: usize,
        /// What is built of each.
        #[arg(long, default_value = "slipway-workflow")]
        package: String,
    },
    /// How long nobody leads after a leader's death, and a restart after a million events. Needs PostgreSQL, and the programs
    /// built in the same profile (`cargo build --release --bins`).
    Failover {
        /// Leaders killed, one after the other.
        #[arg(long, default_value_t = 30)]
        kills: usize,
        /// Leaders that hang.
        #[arg(long, default_value_t = 5)]
        hangs: usize,
        /// Events in the journal before the restart.
        #[arg(long, default_value_t = 1_000_000)]
        events: u64,
    },
    /// A step's output until it is durable, beside plain copies of the same bytes; and how soon a follower sees a line.
    Logs {
        /// The image of the containers; it has `sh`, `cat`, `yes`, `head`, `seq` and `usleep`.
        #[arg(long, default_value = "slipway/busybox:amd64")]
        image: String,
        /// The log's size in MiB.
        #[arg(long, default_value_t = 500)]
        mebibytes: u64,
    },
    /// A lease of the pure scheduler with 1,000 to 1,000,000 waiting jobs, beside one with 1,000.
    Scheduler {
        /// The longest queue: 1,000,000 jobs take 700 MB.
        #[arg(long, default_value_t = 1_000_000)]
        waiting: usize,
    },
    /// Batches appended to the journal's engines, beside the same rows inserted without a journal.
    Journal {
        /// URL of an empty PostgreSQL database without TLS; none: SQLite alone.
        #[arg(long, value_name = "URL", env = "SLIPWAY_JOURNAL", hide_env_values = true)]
        postgres: Option<String>,
        /// Where SQLite's files go: the file system that is measured.
        #[arg(long, default_value = ".")]
        folder: PathBuf,
        /// Batches on each side.
        #[arg(long, default_value_t = 500)]
        batches: usize,
        /// Records in a batch.
        #[arg(long, default_value_t = 20)]
        records: usize,
        /// Bytes in a record.
        #[arg(long, default_value_t = 500)]
        bytes: usize,
    },
    /// From submission to an agent's stream, beside a bare tonic echo.
    Dispatch {
        /// Simulated agents, with one slot each.
        #[arg(long, default_value_t = 1_000)]
        agents: usize,
        /// Runs of one job each.
        #[arg(long, default_value_t = 10_000)]
        jobs: usize,
        /// Runs submitted a second.
        #[arg(long, default_value_t = 1_000.0)]
        rate: f64,
    },
    /// A busy log that many pages follow live, beside one page.
    Browsers {
        /// How many pages.
        #[arg(long, default_value_t = 500)]
        browsers: usize,
        /// Lines of the log, 1,000 a second.
        #[arg(long, default_value_t = 20_000)]
        lines: u64,
    },
    /// Webhooks until they are durable and answered, beside a bare axum handler that checks the same signature; and until an agent has the
    /// lease.
    Webhooks {
        /// Deliveries in each part of the first figures.
        #[arg(long, default_value_t = 10_000)]
        deliveries: usize,
        /// Deliveries that become leases, one after the other.
        #[arg(long, default_value_t = 300)]
        leases: usize,
    },
    /// Agents that become free while a hundred thousand jobs wait, beside a bare tonic echo. Needs the programs built in the
    /// same profile (`cargo build --release --bins`).
    Backlog {
        /// Simulated agents, with one slot each.
        #[arg(long, default_value_t = 10_000)]
        agents: usize,
        /// Jobs that wait before the first agent comes.
        #[arg(long, default_value_t = 100_000)]
        waiting: usize,
        /// Leases a second while latency is measured.
        #[arg(long, default_value_t = 2_000.0)]
        rate: f64,
        /// Leases in each part.
        #[arg(long, default_value_t = 30_000)]
        leases: usize,
    },
}

/// Whose cache is measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// That of jobs.
    Actions,
    /// That of build tools.
    BuildTools,
    /// That of build tools, on an agent's own disk.
    Agent,
}

impl What {
    fn starts_programs(&self) -> bool {
        match self {
            Self::Plan { .. }
            | Self::Expressions
            | Self::Mask
            | Self::Checkout { .. }
            | Self::Dedup { .. }
            | Self::Webhooks { .. }
            | Self::Scheduler { .. }
            | Self::Start { .. }
            | Self::Journal { .. } => false,
            Self::Results { .. }
            | Self::Cache { .. }
            | Self::Failover { .. }
            | Self::Idle { .. }
            | Self::Logs { .. }
            | Self::Dispatch { .. }
            | Self::Browsers { .. }
            | Self::Backlog { .. } => true,
        }
    }
}

fn main() -> ExitCode {
    match measure(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    if arguments.figure.starts_programs() {
        programs::build()?;
    }
    let figures: Vec<Figure> = match &arguments.figure {
        What::Plan { files } => plan::measure(files.as_deref())?,
        What::Expressions => expressions::measure()?,
        What::Mask => mask::measure()?,
        What::Start { image, rounds } => runtime()?.block_on(start::measure(image, *rounds))?,
        What::Checkout { files, rounds } => runtime()?.block_on(checkout::measure(*files, *rounds))?,
        What::Idle { agents } => runtime()?.block_on(idle::measure(*agents))?,
        What::Results { mebibytes } => runtime()?.block_on(results::measure(*mebibytes))?,
        What::Cache { mebibytes, only, beside } => {
            let mut figures = Vec::new();
            let wanted = |part: Part| only.is_none_or(|only| only == part);
            if wanted(Part::Actions) && beside.is_none() {
                figures = runtime()?.block_on(cache::measure(*mebibytes))?;
            }
            if wanted(Part::BuildTools) {
                figures.extend(runtime()?.block_on(build_cache::measure(*beside))?);
            }
            if wanted(Part::Agent) {
                figures.extend(runtime()?.block_on(agent_cache::measure())?);
            }
            figures
        }
        What::Dedup { builds, package } => {
            let builds = dedup::Builds { count: *builds, package: package.clone() };
            runtime()?.block_on(dedup::measure(&builds))?
        }
        What::Failover { kills, hangs, events } => {
            failover::measure(failover::Load { kills: *kills, hangs: *hangs, events: *events })?
        }
        What::Logs { image, mebibytes } => runtime()?.block_on(logs::measure(image, *mebibytes))?,
        What::Scheduler { waiting } => scheduler::measure(*waiting)?,
        What::Journal { postgres, folder, batches, records, bytes } => {
            let load = journal::Load { batches: *batches, records: *records, bytes: *bytes };
            runtime()?.block_on(journal::measure(load, folder, postgres.as_deref()))?
        }
        What::Dispatch { agents, jobs, rate } => {
            let load = Load { agents: *agents, jobs: *jobs, rate: *rate };
            runtime()?.block_on(dispatch::measure(load))?
        }
        What::Browsers { browsers, lines } => {
            let load = browsers::Load { browsers: *browsers, lines: *lines };
            runtime()?.block_on(browsers::measure(load))?
        }
        What::Webhooks { deliveries, leases } => {
            let load = webhooks::Load { deliveries: *deliveries, leases: *leases };
            runtime()?.block_on(webhooks::measure(load))?
        }
        What::Backlog { agents, waiting, rate, leases } => {
            let load = backlog::Load { agents: *agents, waiting: *waiting, rate: *rate, leases: *leases };
            runtime()?.block_on(backlog::measure(load))?
        }
    };
    figures.iter().try_for_each(|figure| figure.print(arguments.json))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}
