//! A coordinator and one agent in this process, for figures of real jobs.

use std::path::Path;

use slipway_agent::agent::{self, Agent};
use slipway_agent::options::{Arguments, Options as AgentOptions};
use slipway_coordinator::options::Options;
use slipway_coordinator::{Coordinator, Handle};

/// Starts both below this folder; jobs for `bench` run in `image`, in containers that are made for each.
///
/// # Errors
/// When one of them cannot be started.
pub async fn start(folder: &Path, image: &str) -> anyhow::Result<(Handle, agent::Handle)> {
    start_with(folder, image, 0).await
}

/// The same with so many containers that wait for jobs.
///
/// # Errors
/// When one of them cannot be started.
pub async fn start_with(folder: &Path, image: &str, warm: usize) -> anyhow::Result<(Handle, agent::Handle)> {
    let coordinator = Coordinator::start(Options::embedded(folder.join("coordinator"))).await?;
    let agent = Agent::start(AgentOptions::from_arguments(Arguments {
        server: Some(format!("http://{}", coordinator.grpc_addr)),
        token: Some(coordinator.agent_token.reveal().to_owned()),
        data_dir: Some(folder.join("agent")),
        image: vec![format!("bench={image}")],
        warm: Some(warm),
        ..Arguments::default()
    })?)
    .await?;
    Ok((coordinator, agent))
}
