//! The `slipway-coordinator` program.

use std::process::ExitCode;

use clap::Parser;
use slipway_coordinator::options::{Flags, Options};
use slipway_coordinator::{Coordinator, StartError};
use slipway_kit::service;
use slipway_kit::shutdown::{self, Stage};
use slipway_kit::telemetry::{self, TelemetryOptions};

/// Takes commands and webhooks, decides, keeps the journal, leases jobs to agents.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(flatten)]
    flags: Flags,
}

/// Wrong usage, as the shell knows it.
const USAGE: u8 = 2;

#[tokio::main]
async fn main() -> ExitCode {
    slipway_kit::allocator::prefer_small_pages();
    let mut flags = Cli::parse().flags;
    // No flag: it would show in the list of processes.
    flags.webhook_secret = std::env::var("SLIPWAY_WEBHOOK_SECRET").ok();
    let options = match Options::load(flags) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("slipway-coordinator: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let mut telemetry = TelemetryOptions::new("slipway-coordinator");
    telemetry.otlp_endpoint = options.otlp.clone();
    let _telemetry = match telemetry::init(&telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("slipway-coordinator: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match serve(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slipway-coordinator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(options: Options) -> Result<(), StartError> {
    let (trigger, mut stop) = shutdown::channel();
    tokio::spawn(async move {
        if let Err(error) = trigger.follow_signals().await {
            tracing::error!(%error, "signals cannot be followed");
            std::future::pending::<()>().await;
        }
        // Both stages were raised: the trigger has to live until the program ends.
        std::future::pending::<()>().await;
    });
    let mut handle = Coordinator::start(options).await?;
    println!("ready http={} grpc={}", handle.http_addr, handle.grpc_addr);
    service::ready(&format!("serves http={} grpc={}", handle.http_addr, handle.grpc_addr));
    let driver = handle.services().driver.clone();
    tokio::spawn(service::keep_telling(move || {
        let driver = driver.clone();
        // Whatever hangs in the driver's thread hangs here.
        async move { driver.query(|_| ()).await.is_ok() }
    }));
    let failed = tokio::select! {
        () = stop.reached(Stage::Drain) => None,
        error = handle.failed() => Some(error),
    };
    if let Some(error) = failed {
        return Err(error);
    }
    service::stopping("lets streams end and saves a snapshot");
    tokio::select! {
        () = handle.shutdown() => {}
        () = stop.reached(Stage::Now) => {}
    }
    Ok(())
}
