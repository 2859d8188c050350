//! The `slipway-agent` program.

use std::process::ExitCode;

use slipway_agent::agent::{Agent, Handle};
use slipway_agent::options::{Arguments, Options};
use slipway_agent::session::supervisor::{NoMember, Status};
use slipway_kit::service;
use slipway_kit::shutdown::{HandOverSignal, StopSignals};
use slipway_kit::telemetry::{self, TelemetryOptions};

/// Wrong usage, as the other programs' (the contract's exit codes).
const USAGE: u8 = 2;

/// The coordinator does not know this agent (any more): the fleet's failure, as the contract has it. Starting again is of no use.
const NO_MEMBER: u8 = 3;

#[tokio::main]
async fn main() -> ExitCode {
    slipway_kit::allocator::prefer_small_pages();
    let options = match Options::from_arguments(Arguments::from_command_line()) {
        Ok(options) => options,
        Err(error) => {
            eprintln!("slipway-agent: {error}");
            return ExitCode::from(USAGE);
        }
    };
    let mut telemetry = TelemetryOptions::new("slipway-agent");
    telemetry.otlp_endpoint.clone_from(&options.otlp);
    // Held to the end: it sends the last spans.
    let _telemetry = match telemetry::init(&telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("slipway-agent: {error}");
            return ExitCode::from(USAGE);
        }
    };
    match run(options).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("slipway-agent: {error}");
            match error.is::<NoMember>() {
                true => ExitCode::from(NO_MEMBER),
                false => ExitCode::FAILURE,
            }
        }
    }
}

async fn run(options: Options) -> anyhow::Result<()> {
    // Before anything else: a start takes a moment, and who ends or replaces the agent then is to be heard.
    let (stop, hand_over) = (StopSignals::heard()?, HandOverSignal::heard()?);
    let handle = Agent::start(options).await?;
    let trigger = handle.trigger();
    tokio::spawn(async move { stop.follow(&trigger).await });
    let trigger = handle.trigger();
    tokio::spawn(async move { hand_over.follow(&trigger).await });
    tell_service_manager(&handle);
    handle.wait().await?;
    Ok(())
}

/// That it begins is told by the drain's own end: a service manager that heard of it would give jobs no more than its time to stop.
fn tell_service_manager(handle: &Handle) {
    let said = |status: Status| match (status.connected, status.jobs) {
        (true, jobs) => format!("serves the coordinator; {jobs} jobs"),
        (false, jobs) => format!("the coordinator is out of reach; {jobs} jobs"),
    };
    let mut status = handle.status();
    service::ready(&said(*status.borrow_and_update()));
    let alive = status.clone();
    tokio::spawn(async move {
        while status.changed().await.is_ok() {
            service::status(&said(*status.borrow_and_update()));
        }
    });
    // Without the supervisor nothing renews leases.
    tokio::spawn(service::keep_telling(move || {
        let alive = alive.has_changed().is_ok();
        async move { alive }
    }));
}
