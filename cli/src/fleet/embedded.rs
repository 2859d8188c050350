//! A coordinator and its agents in this process.
//!
//! Invariant: once [`Fleet::start`] gives a fleet, the coordinator serves and every agent is connected; when it fails,
//! nothing of it is left running.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use slipway_agent::agent::{Agent, Handle as AgentHandle};
use slipway_coordinator::options::Options as CoordinatorOptions;
use slipway_coordinator::{Coordinator, Handle as CoordinatorHandle, StartError};
use slipway_kit::shutdown::{Shutdown, Stage};

use super::{Offer, OwnSettings};
use crate::client::{Client, Target};
use crate::failure::Failure;

/// How long an agent may take to connect to the coordinator beside it.
const CONNECT_LIMIT: Duration = Duration::from_secs(30);

/// How to start a fleet.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// The coordinator; its data directory holds the agents' too.
    pub coordinator: CoordinatorOptions,
    /// How many agents.
    pub agents: u32,
    /// Jobs at once of each agent; half the processors by default.
    pub slots: Option<u32>,
    /// Containers of each that wait for jobs; the agent's own default by default.
    pub warm: Option<usize>,
    /// What they offer.
    pub offer: Offer,
}

/// A running fleet.
pub struct Fleet {
    coordinator: CoordinatorHandle,
    agents: Vec<AgentHandle>,
}

impl Fleet {
    /// Starts coordinator and agents, and waits until they are connected.
    ///
    /// # Errors
    /// A port in use, a data directory that cannot be used, no container engine.
    pub async fn start(options: FleetOptions) -> Result<Self, Failure> {
        let data_dir = options.coordinator.data_dir.clone();
        let coordinator = Coordinator::start(options.coordinator).await.map_err(explain)?;
        let mut fleet = Fleet { coordinator, agents: Vec::new() };
        let own = OwnSettings { name: None, slots: options.slots, warm: options.warm };
        match fleet.start_agents(data_dir, options.agents, own, &options.offer).await {
            Ok(()) => Ok(fleet),
            Err(failure) => {
                fleet.discard().await;
                Err(failure)
            }
        }
    }

    async fn start_agents(
        &mut self,
        data_dir: PathBuf,
        count: u32,
        own: OwnSettings,
        offer: &Offer,
    ) -> Result<(), Failure> {
        let server = format!("http://{}", self.coordinator.grpc_addr);
        for number in 1..=count {
            // One agent bears the host's name, as if it ran by itself; several are told apart.
            let name = if count == 1 { None } else { Some(format!("agent-{number}")) };
            let folder = data_dir.join(format!("agents/{number}"));
            let token = self.coordinator.agent_token.reveal();
            let settings = offer.agent(&server, token, &folder, OwnSettings { name, ..own.clone() })?;
            let agent = Agent::start(settings).await.map_err(|error| Failure::fleet(error.to_string()))?;
            self.agents.push(agent);
        }
        for agent in &self.agents {
            let mut status = agent.status();
            let connected = async { status.wait_for(|status| status.connected).await.is_ok() };
            if !matches!(tokio::time::timeout(CONNECT_LIMIT, connected).await, Ok(true)) {
                let limit = CONNECT_LIMIT.as_secs();
                return Err(Failure::fleet(format!(
                    "an agent did not connect within {limit} s; SLIPWAY_LOG=debug tells more"
                )));
            }
        }
        Ok(())
    }

    /// Where HTTP is served.
    pub fn http(&self) -> SocketAddr {
        self.coordinator.http_addr
    }

    /// Where gRPC is served.
    pub fn grpc(&self) -> SocketAddr {
        self.coordinator.grpc_addr
    }

    /// A client with all rights.
    ///
    /// # Errors
    /// The system offers no network at all.
    pub fn client(&self) -> Result<Client, Failure> {
        let token = self.coordinator.admin_token.reveal();
        Client::new(Target::embedded(&self.http().to_string(), token, "the token of this fleet")?)
    }

    /// Waits until the coordinator cannot go on.
    pub async fn failed(&mut self) -> Failure {
        explain(self.coordinator.failed().await)
    }

    /// Ends every job at once, removes its containers and networks, and ends the coordinator.
    pub async fn discard(self) {
        for agent in self.agents {
            agent.discard().await;
        }
        self.coordinator.shutdown().await;
    }

    /// Stops in good order: agents take nothing new and finish what they run, then the coordinator ends. Once `hurry`
    /// says so, jobs that still run are left to their containers, and the next start takes them over.
    pub async fn stop(self, mut hurry: Shutdown) {
        let triggers: Vec<_> = self.agents.iter().map(AgentHandle::trigger).collect();
        let raise = |stage| triggers.iter().for_each(|trigger| trigger.raise(stage));
        raise(Stage::Drain);
        if self.agents.iter().any(|agent| agent.status().borrow().jobs > 0) {
            tracing::info!("waiting for running jobs; a second signal leaves them to the next start");
        }
        let drained = async {
            for agent in self.agents {
                if let Err(error) = agent.wait().await {
                    tracing::warn!(%error, "an agent ended by itself");
                }
            }
        };
        let mut drained = std::pin::pin!(drained);
        tokio::select! {
            () = &mut drained => {}
            () = hurry.reached(Stage::Now) => {
                raise(Stage::Now);
                drained.await;
            }
        }
        self.coordinator.shutdown().await;
    }
}

/// What a person typed wrong is their usage; everything else is the fleet's.
fn explain(error: StartError) -> Failure {
    match error {
        StartError::Options(error) => Failure::usage(error.to_string()),
        other => Failure::fleet(other.to_string()),
    }
}
