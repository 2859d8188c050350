//! The command line: what can be typed, and the way from there to a command and its exit code.

use std::ffi::OsString;
use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use slipway_kit::telemetry::{self, TelemetryOptions};

use crate::commands::{
    admin, agents, approve, artifacts, audit, backup, cache, cancel, dispatch, doctor, eval, generated,
    github, identity, lint, lock, logs, plan, pools, rerun, run, runs, secrets, show, tokens, up, variables,
};
use crate::failure::{Exit, Failure};
use crate::output::{self, Out};
use crate::settings::Settings;

/// Runs GitHub Actions workflows on your own machines.
#[derive(Debug, Parser)]
#[command(name = "slipway", version, max_term_width = 100, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 success, 1 the workflow failed or was cancelled, \
                        2 wrong usage or an invalid workflow, 3 the fleet failed.\n\
                        Configuration file: server, token, server_ca, server_fingerprint, allow_plaintext, data_dir, http, grpc, agents, objects, keep_logs, keep_blobs, \
                         journal, journal_file, keep_journal, \
                        actions_source, externals, original_actions, otlp, webhook_secret_file, allow_repositories, public_url, and tables [images], [github], [[repository]] and [[environment]].")]
struct Cli {
    /// A configuration file (TOML); flags and SLIPWAY_* variables win over it
    #[arg(long, global = true, value_name = "FILE", env = "SLIPWAY_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start a coordinator and agents in one process
    Up(Box<up::Up>),
    /// Run this checkout's workflow, uncommitted changes included
    Run(Box<run::Run>),
    /// Check workflows for mistakes
    Lint(lint::Lint),
    /// Pin the actions that the workflows use to commits
    Lock(lock::Lock),
    /// Show what would run for an event, and why not
    Plan(plan::Plan),
    /// Evaluate an expression
    Eval(eval::Eval),
    /// List runs, newest first
    Runs(runs::Runs),
    /// Show a run: its jobs, their attempts, and what waiting ones wait for
    Show(show::Show),
    /// Print a run's logs
    Logs(logs::Logs),
    /// Cancel a run
    Cancel(cancel::Cancel),
    /// Let what waits for an environment go on, or not
    Approve(approve::Approve),
    /// List, download, pin or remove what runs left
    Artifacts(artifacts::Artifacts),
    /// Run a finished run again, or only what failed of it
    Rerun(rerun::Rerun),
    /// Start a workflow that has `workflow_dispatch`
    Dispatch(dispatch::Dispatch),
    /// List the agents, or steer one
    Agents(agents::Agents),
    /// List the pools: agents of one kind, what waits for them, and how many there should be
    Pools(pools::Pools),
    /// Keep what workflows find in the `secrets` context
    Secrets(secrets::Secrets),
    /// Keep what workflows find in the `vars` context
    #[command(visible_alias = "vars")]
    Variables(variables::Variables),
    /// Show who signs identity tokens of jobs, or let another key sign
    Identity(identity::Identity),
    /// Make tokens for people and programs, with roles
    Tokens(tokens::Tokens),
    /// Check this machine and the coordinator, and say what to do
    Doctor(doctor::Doctor),
    /// Show who asked for what, or check that nobody changed the record of it
    Audit(audit::Audit),
    /// Save all that the coordinator keeps into a file, while it works
    Backup(backup::Backup),
    /// Show what the caches hold, remove what nobody uses, check them, or make a token for them
    Cache(cache::Cache),
    /// Make a GitHub App that tells GitHub of runs, or check the one there is
    Github(github::Github),
    /// Make a new data directory from a backup
    Restore(backup::Restore),
    /// Mend a journal that is damaged or lost something, or make the history again
    Admin(admin::Admin),
    /// Print a shell's completions
    Completions(generated::Completions),
    /// Write the manual pages of all programs into a folder
    Manual(generated::Manual),
}

/// The whole command line.
pub(crate) fn command() -> clap::Command {
    <Cli as clap::CommandFactory>::command()
}

/// The whole program.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    one_line_panics();
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output with code 0; nobody reading is fine.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(Exit::Usage.code()));
        }
    };
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(|| start(cli)));
    match outcome {
        Ok(Ok(exit)) => exit.into(),
        Ok(Err(failure)) => {
            if !matches!(failure, Failure::ReaderGone) {
                output::note(&format!("error: {failure}"));
            }
            failure.exit().into()
        }
        Err(_) => Exit::Defect.into(),
    }
}

fn start(cli: Cli) -> Result<Exit, Failure> {
    let settings = Settings::load(cli.config.as_deref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::fleet(format!("cannot start threads: {error}")))?;
    let outcome = runtime.block_on(execute(cli.command, settings));
    // A blocking read that still waits (a name look-up, a terminal) must not hold the process up.
    runtime.shutdown_background();
    outcome
}

async fn execute(command: Command, settings: Settings) -> Result<Exit, Failure> {
    let mut options = TelemetryOptions::new("slipway");
    match &command {
        Command::Up(up) => options.otlp_endpoint = up.otlp(&settings),
        // Everything that matters to the person is said by the command itself.
        Command::Run(run) => {
            options.otlp_endpoint = run.otlp(&settings);
            options.filter = "error".to_owned();
        }
        _ => options.filter = "error".to_owned(),
    }
    let _telemetry = telemetry::init(&options).map_err(|error| Failure::usage(error.to_string()))?;
    let mut out = Out::stdout();
    match command {
        Command::Up(up) => up.run(&settings, &mut out).await,
        Command::Run(run) => run.run(&settings, &mut out).await,
        Command::Lint(lint) => lint.run(&mut out),
        Command::Lock(lock) => lock.run(&settings, &mut out).await,
        Command::Plan(plan) => plan.run(&mut out),
        Command::Eval(eval) => eval.run(&mut out),
        Command::Github(github) => github.run(&settings, &mut out).await,
        Command::Runs(runs) => runs.run(&settings, &mut out).await,
        Command::Show(show) => show.run(&settings, &mut out).await,
        Command::Logs(logs) => logs.run(&settings, &mut out).await,
        Command::Cancel(cancel) => cancel.run(&settings, &mut out).await,
        Command::Approve(approve) => approve.run(&settings, &mut out).await,
        Command::Artifacts(artifacts) => artifacts.run(&settings, &mut out).await,
        Command::Rerun(rerun) => rerun.run(&settings, &mut out).await,
        Command::Dispatch(dispatch) => dispatch.run(&settings, &mut out).await,
        Command::Agents(agents) => agents.run(&settings, &mut out).await,
        Command::Pools(pools) => pools.run(&settings, &mut out).await,
        Command::Tokens(tokens) => tokens.run(&settings, &mut out).await,
        Command::Identity(identity) => identity.run(&settings, &mut out).await,
        Command::Secrets(secrets) => secrets.run(&settings, &mut out).await,
        Command::Variables(variables) => variables.run(&settings, &mut out).await,
        Command::Doctor(doctor) => doctor.run(&settings, &mut out).await,
        Command::Audit(audit) => audit.run(&settings, &mut out).await,
        Command::Backup(backup) => backup.run(&settings, &mut out).await,
        Command::Cache(cache) => cache.run(&settings, &mut out).await,
        Command::Restore(restore) => restore.run(&mut out),
        Command::Admin(admin) => admin.run(&settings, &mut out).await,
        Command::Completions(completions) => completions.run(&mut out),
        Command::Manual(manual) => manual.run(&mut out),
    }
}

/// A defect says where in one line; it never shows a stack trace.
fn one_line_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map_or(String::new(), |at| format!(" at {}:{}", at.file(), at.line()));
        let text = panic.payload().downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.payload().downcast_ref::<String>().map(String::as_str));
        let message = text.unwrap_or("no message");
        let line = format!("error: a defect of slipway{place}: {message}");
        let _ = writeln!(std::io::stderr(), "{}", output::escape::name(&line));
    }));
}
