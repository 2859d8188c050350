//! A job's `services:`: containers beside the job's, in its network, reached by their key.
//!
//! They are started before the job's container and waited for after it, so that both start side by side. A service that
//! does not become healthy is the workflow's failure, with the service's output in the log; an engine that does not
//! start it is the fleet's (GitHub's runner, `ContainerOperationProvider`). They carry the job's labels, so that
//! whatever removes the job's container by label removes them too.
//!
//! Invariant: a service's ports are known before the first step, and what adoption needs of them is in the journal.

use std::net::{Ipv4Addr, SocketAddrV4};

use serde::{Deserialize, Serialize};
use slipway_kit::backoff::Backoff;
use slipway_workflow::job_spec::{ServiceSpec, Text};
use tokio::time::Instant;

use super::Machine;
use super::attempt::{Attempt, End};
use super::prepare::{Wanted, container};
use super::vessel::Vessel;
use crate::docker::container::{ContainerPlan, Main};
use crate::docker::options::{CreateOptions, split_words};
use crate::docker::passwd::ContainerUser;
use crate::docker::service::Health;
use crate::docker::volumes::Volume;
use crate::failure::Failure;
use crate::init::RelayTarget;
use crate::limits::{HEALTH_LOOK_FIRST, HEALTH_LOOK_MAX, HEALTH_WAIT_MAX, SERVICES_MAX};
use crate::records::log::JobLog;
use crate::steps::annotations::Level;
use crate::steps::contexts::Scope;

/// A service that was started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Its key.
    pub name: String,
    /// Its container's id.
    pub container: String,
    /// Its ports, without protocol, and those under which this machine has them.
    pub ports: Vec<(String, String)>,
}

/// A service, evaluated.
pub(super) struct WantedService {
    name: String,
    container: Wanted,
    entrypoint: Option<Vec<String>>,
    command: Option<Vec<String>>,
}

/// Evaluates the services; one whose image evaluates to nothing is left out. An error is the workflow's.
pub(super) fn wanted(
    machine: &Machine,
    specs: &[ServiceSpec],
    scope: &Scope<'_>,
) -> Result<Vec<WantedService>, String> {
    let mut services = Vec::new();
    for spec in specs {
        let named = |error: String| format!("service `{}`: {error}", spec.name);
        let text = |text: &Text| scope.key(text).map_err(|error| error.to_string());
        let image = text(&spec.container.image)?;
        if image.trim().is_empty() {
            continue;
        }
        let words = |from: Option<&Text>| match from.map(text).transpose()? {
            Some(line) if !line.trim().is_empty() => {
                split_words(&line).map(Some).map_err(|error| named(error.to_string()))
            }
            _ => Ok(None),
        };
        services.push(WantedService {
            name: spec.name.clone(),
            container: container(machine, &spec.container, image.trim(), scope, false).map_err(named)?,
            entrypoint: words(spec.entrypoint.as_ref())?,
            command: words(spec.command.as_ref())?,
        });
    }
    // It has no init that compares what was mounted; so nobody may have had the folder before it.
    let with_work = |service: &&WantedService| service.container.volumes.iter().any(Volume::is_of_work);
    if services.iter().filter(with_work).count() > 1 {
        return Err("only one of a job's services can have a path of the job's work folder in its `volumes`; share a named \
                    volume instead"
            .to_owned());
    }
    if services.len() > SERVICES_MAX {
        return Err(format!(
            "the job has {} services; at most {SERVICES_MAX} fit into its network",
            services.len()
        ));
    }
    Ok(services)
}

impl Attempt {
    /// Starts the services in the job's network, in file order.
    pub(super) async fn start_services(
        &self,
        log: &mut JobLog,
        wanted: Vec<WantedService>,
        user: &ContainerUser,
        network: &str,
    ) -> Result<Vec<Service>, End> {
        let mut services = Vec::new();
        for wanted in wanted {
            let image = self.ensure_image(log, &wanted.container).await?;
            let id = self.start_service(&wanted, &image.id, user, network).await?;
            log.say(&format!("Service {} runs image {}", wanted.name, wanted.container.image));
            let state = self.machine.engine.service(&id, network).await?;
            let ports = state
                .ports
                .into_iter()
                .map(|(inner, outer)| (plain_port(&inner).to_owned(), outer.to_string()))
                .collect();
            services.push(Service { name: wanted.name, container: id, ports });
        }
        Ok(services)
    }

    async fn start_service(
        &self,
        wanted: &WantedService,
        image: &str,
        user: &ContainerUser,
        network: &str,
    ) -> Result<String, End> {
        let machine = &self.machine;
        let lease = self.saved.lease;
        let container = &wanted.container;
        let (mut folders, mut binds) = (Vec::new(), Vec::new());
        self.add_volumes(&container.volumes, user, &mut folders, &mut binds).await?;
        let plan = ContainerPlan {
            name: format!(
                "slipway-{}-{}-{}",
                lease.attempt.folder_name(),
                lease.token.sequence,
                wanted.name.to_ascii_lowercase()
            ),
            image: image.to_owned(),
            platform: machine.platform().map(str::to_owned),
            lease: Some(lease),
            main: Main::Image { entrypoint: wanted.entrypoint.clone(), command: wanted.command.clone() },
            aliases: vec![wanted.name.clone()],
            user: None,
            env: container.env.clone(),
            folders,
            binds,
            ports: container.ports.clone(),
            network: network.to_owned(),
            limits: self.limits(),
            no_new_privileges: machine.options.accept_untrusted,
            runtime: machine.options.isolation.runtime.clone(),
            options: CreateOptions { volumes: Vec::new(), ..container.options.clone() },
        };
        let id = machine.engine.create_container(plan).await?;
        machine.engine.start_container(&id).await.map_err(|failure| Failure {
            message: format!("service `{}`: {}", wanted.name, failure.message),
            ..failure
        })?;
        Ok(id)
    }

    /// Lets the job's own container reach services under `localhost` and the port on the machine, where a job without
    /// `container:` expects them (GitHub docs, "About service containers": such a job runs on the machine itself).
    pub(super) async fn relay_services(
        &self,
        log: &mut JobLog,
        vessel: &Vessel,
        services: &[Service],
        network: &str,
    ) -> Result<(), End> {
        let Some(link) = vessel.link() else { return Ok(()) };
        for service in services {
            let state = self.machine.engine.service(&service.container, network).await?;
            let Ok(address) = state.address.parse::<Ipv4Addr>() else { continue };
            for (inner, outer) in state.ports {
                let Some(port) = inner.strip_suffix("/tcp").and_then(|port| port.parse::<u16>().ok()) else {
                    // Datagrams have no connection to relay; the name reaches them.
                    log.remark(
                        Level::Warning,
                        &format!(
                            "localhost:{outer} does not reach service `{}`: port {inner} is not TCP; use {}:{}",
                            service.name,
                            service.name,
                            plain_port(&inner)
                        ),
                    );
                    continue;
                };
                let target = RelayTarget::Address(SocketAddrV4::new(address, port));
                if let Err(error) = link.relay(outer, target).await {
                    log.remark(
                        Level::Warning,
                        &format!("localhost:{outer} does not reach service `{}`: {error}", service.name),
                    );
                }
            }
        }
        Ok(())
    }

    /// Waits until every service with a health check is healthy. A cancelled job waits no longer: its steps say the
    /// rest.
    pub(super) async fn await_services(
        &self,
        log: &mut JobLog,
        services: &[Service],
        network: &str,
    ) -> Result<(), End> {
        let give_up = Instant::now() + HEALTH_WAIT_MAX;
        for service in services {
            match self.await_service(log, service, network, give_up).await? {
                Health::Healthy => log.say(&format!("Service {} is healthy.", service.name)),
                Health::Unchecked | Health::Starting => {}
                health @ (Health::Unhealthy | Health::Ended) => {
                    self.show_output(log, service).await;
                    let how = match health {
                        Health::Ended => "ended before the first step",
                        _ => "is not healthy",
                    };
                    return Err(End::Work(format!(
                        "service `{}` {how}; what it wrote is above",
                        service.name
                    )));
                }
            }
        }
        Ok(())
    }

    async fn await_service(
        &self,
        log: &mut JobLog,
        service: &Service,
        network: &str,
        give_up: Instant,
    ) -> Result<Health, End> {
        let mut orders = self.link.orders.clone();
        let mut backoff = Backoff::new(HEALTH_LOOK_FIRST, HEALTH_LOOK_MAX);
        let mut told = false;
        loop {
            let state = self.machine.engine.service(&service.container, network).await?;
            let health = state.health;
            if health == Health::Ended && !state.checked {
                // GitHub goes on: only what has a check promises to be there.
                log.remark(Level::Warning, &format!("Service {} is not in running state.", service.name));
                self.show_output(log, service).await;
                return Ok(Health::Unchecked);
            }
            if health != Health::Starting {
                return Ok(health);
            }
            if Instant::now() >= give_up {
                log.say(&format!(
                    "Service {} was starting for {} s.",
                    service.name,
                    HEALTH_WAIT_MAX.as_secs()
                ));
                return Ok(Health::Unhealthy);
            }
            if !told {
                told = true;
                log.say(&format!("Service {} is starting; waiting for its health check.", service.name));
                self.keep(log).await?;
            }
            // An error: the agent ends, and another process begins again.
            let cancelled = async {
                if orders.wait_for(|orders| orders.cancel.is_some()).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            if tokio::time::timeout(backoff.next_wait(), cancelled).await.is_ok() {
                return Ok(Health::Starting);
            }
        }
    }

    async fn keep(&self, log: &mut JobLog) -> Result<(), End> {
        Ok(log.commit(None, None, false).await?)
    }

    /// Puts the end of every service's output into the log, as GitHub does when a job's containers stop.
    pub(super) async fn show_services(&self, log: &mut JobLog) {
        let services = self.saved.prepared.as_ref().map(|prepared| prepared.services.clone());
        for service in services.unwrap_or_default() {
            self.show_output(log, &service).await;
        }
    }

    async fn show_output(&self, log: &mut JobLog, service: &Service) {
        match self.machine.engine.output_of(&service.container).await {
            Ok(lines) => {
                log.say(&format!("Service container logs: {}", service.name));
                for line in lines {
                    log.say(&line);
                }
            }
            // What the service wrote helps a person; the job's result does not depend on it.
            Err(failure) => log.remark(Level::Warning, &failure.message),
        }
    }
}

/// `6379` of `6379/tcp`.
fn plain_port(port: &str) -> &str {
    port.split_once('/').map_or(port, |(number, _)| number)
}
