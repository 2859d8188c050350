//! From a specification to a running container.

use std::net::Ipv4Addr;

use slipway_workflow::job_spec::{ContainerSpec, JobSpec};

use super::Machine;
use super::attempt::{Attempt, End};
use super::container::{Asked, Making};
use super::course::Loaded;
use super::folder::{HOST_WORK, Layout};
use super::inside::Inside;
use super::job_engine::is_socket;
use super::sandbox::Recipe;
use super::saved::Prepared;
use super::services::WantedService;
use super::vessel::Vessel;
use crate::actions::Fetched;
use crate::docker::container::PortMapping;
use crate::docker::folders::{Folder, WRONG_FOLDER_MESSAGE};
use crate::docker::image::{Credentials, Image};
use crate::docker::leftovers::container_name;
use crate::docker::options::CreateOptions;
use crate::docker::passwd::{ContainerUser, ImageFacts, RUNNER_USER};
use crate::docker::volumes::{Allowed, Source, Volume};
use crate::failure::{Cause, Failure};
use crate::init::Carried;
use crate::records::log::JobLog;
use crate::steps::contexts::Scope;
use crate::steps::shell::Semantics;

/// What the workflow says about a container, evaluated.
pub(super) struct Wanted {
    pub(super) image: String,
    in_container: bool,
    pub(super) env: Vec<String>,
    pub(super) volumes: Vec<Volume>,
    pub(super) ports: Vec<PortMapping>,
    pub(super) options: CreateOptions,
    credentials: Option<Credentials>,
}

/// Evaluates the container. An error is the workflow's.
pub(super) fn wanted(machine: &Machine, spec: &JobSpec, scope: &Scope<'_>) -> Result<Wanted, String> {
    if let Some(wanted) = &spec.container {
        let image = scope.key(&wanted.image).map_err(|error| error.to_string())?;
        // An image that evaluates to nothing means no container.
        if !image.trim().is_empty() {
            return container(machine, wanted, image.trim(), scope, true);
        }
    }
    let labels = spec.labels.iter().map(String::as_str);
    Ok(Wanted {
        image: machine.options.image_for(labels).to_owned(),
        in_container: false,
        env: Vec::new(),
        volumes: Vec::new(),
        ports: Vec::new(),
        options: CreateOptions::default(),
        credentials: None,
    })
}

/// Evaluates a container of this image: the job's (`own`), or a service's.
pub(super) fn container(
    machine: &Machine,
    spec: &ContainerSpec,
    image: &str,
    scope: &Scope<'_>,
    own: bool,
) -> Result<Wanted, String> {
    let text = |text| scope.key(text).map_err(|error| error.to_string());
    let options = match &spec.options {
        Some(options) => CreateOptions::parse(&text(options)?, machine.options.allow_privileged)
            .map_err(|error| error.to_string())?,
        None => CreateOptions::default(),
    };
    let mut env = Vec::new();
    for entry in &spec.env {
        for (name, value) in scope.container_env(entry).map_err(|error| error.to_string())? {
            env.push(format!("{name}={value}"));
        }
    }
    let allowed = Allowed {
        everything: machine.options.allow_privileged,
        volumes: &machine.options.isolation.volumes,
        work: HOST_WORK,
    };
    let written = spec.volumes.iter().map(text).collect::<Result<Vec<_>, _>>()?;
    // The engine's socket is there without being asked for.
    let asked = options.volumes.iter().chain(&written).filter(|volume| !own || !is_socket(machine, volume));
    let volumes = asked.map(|volume| Volume::parse(volume, allowed));
    let volumes = volumes.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    let everywhere = machine.options.allow_privileged;
    let ports = spec.ports.iter().map(|port| parse_port(&text(port)?, everywhere));
    let ports = ports.collect::<Result<_, _>>()?;
    let credentials = match &spec.credentials {
        Some((username, password)) => {
            Some(Credentials { username: text(username)?, password: text(password)? })
        }
        None => None,
    };
    Ok(Wanted {
        image: image.strip_prefix("docker://").unwrap_or(image).to_owned(),
        in_container: true,
        env,
        volumes,
        ports,
        options,
        credentials,
    })
}

/// Where ports of containers are on the machine.
const LOOPBACK: &str = "127.0.0.1";

/// `8080`, `8080:80`, `127.0.0.1:8080:80/udp`; `everywhere`: also at other addresses than the loopback's.
fn parse_port(text: &str, everywhere: bool) -> Result<PortMapping, String> {
    let wrong =
        || format!("container port `{text}` is not PORT, HOST:PORT or ADDRESS:HOST:PORT, with /tcp or /udp");
    let (ports, protocol) = text.trim().split_once('/').unwrap_or((text.trim(), "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        return Err(wrong());
    }
    let number = |text: &str| text.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong);
    let mut parts = ports.rsplitn(3, ':');
    let container = number(parts.next().unwrap_or_default())?;
    let host = parts.next().filter(|host| !host.is_empty()).map(number).transpose()?;
    // On every address of the machine, other jobs and other machines would reach it.
    let host_address = match parts.next() {
        None => LOOPBACK.to_owned(),
        Some(address)
            if everywhere || address.parse::<Ipv4Addr>().is_ok_and(|address| address.is_loopback()) =>
        {
            address.to_owned()
        }
        Some(address) => {
            return Err(format!(
                "container port `{text}` would be open at {address}, to other jobs and machines; ports of jobs are at {LOOPBACK} \
                 unless the agent's administrator starts it with --allow-privileged"
            ));
        }
    };
    Ok(PortMapping { host_address, host, container: format!("{container}/{protocol}") })
}

impl Attempt {
    /// Makes network, folders and container, starts it and connects to its init.
    pub(super) async fn prepare(
        &mut self,
        log: &mut JobLog,
        wanted: Wanted,
        services: Vec<WantedService>,
        actions: Vec<(Loaded, Fetched)>,
    ) -> Result<Vessel, End> {
        let machine = std::sync::Arc::clone(&self.machine);
        let image = self.ensure_image(log, &wanted).await?;
        machine.metadata.stand(&machine.engine, &image.id).await?;
        let user = self.container_user(&image, &wanted).await?;
        let _preparing = machine.warm.preparing();
        let sandbox = match wanted.in_container {
            true => None,
            false => {
                let (name, image, user) = (wanted.image.clone(), image.clone(), user.clone());
                self.take_sandbox(&Recipe { name, image, user, limits: self.limits() }).await
            }
        };
        tracing::Span::current().record("warm", sandbox.is_some());
        let semantics = if wanted.in_container { Semantics::Container } else { Semantics::Host };
        let layout = Layout::new(semantics, &self.repository);
        super::job_engine::share(&machine, &self.folder, &user)?;
        layout.create(&self.folder, &user)?;
        for (loaded, fetched) in &actions {
            super::action::put(loaded, fetched, &self.folder.work(), &user).await?;
        }
        let event =
            serde_json::to_vec(self.spec.contexts.github.get("event").unwrap_or(&serde_json::Value::Null))
                .map_err(|error| Failure::new(Cause::Internal, error.to_string()))?;
        layout
            .inside_temp(&self.folder, "_github_workflow")?
            .write("event.json", &event, &user)
            .map_err(|error| Failure::io("cannot write the event's payload", &error))?;
        let is_cold = sandbox.is_none();
        let (mut vessel, network) = match sandbox {
            Some(sandbox) => sandbox,
            None => self.new_vessel().await?,
        };
        let services = self.start_services(log, services, &user, &network).await?;
        if is_cold {
            self.start_container(&mut vessel, &wanted, &image, &user, &layout, &network).await?;
        }
        log.say(&format!(
            "Container {} of image {} on {}",
            short(&vessel.container),
            wanted.image,
            machine.options.name
        ));
        self.await_services(log, &services, &network).await?;
        if !wanted.in_container {
            self.relay_services(log, &vessel, &services, &network).await?;
        }
        let env = image.env.iter().cloned().chain(wanted.env).chain(wanted.options.env).collect();
        self.saved.prepared = Some(Prepared {
            container: vessel.container.clone(),
            network,
            in_container: wanted.in_container,
            user,
            libc: self.image_facts(&image).await?.libc,
            env,
            services,
            engine: vessel.engine.as_ref().map(|engine| engine.container.clone()),
        });
        Ok(vessel)
    }

    /// The image of a container, pulled when it is not here; of this agent's architecture.
    pub(super) async fn ensure_image(&self, log: &mut JobLog, wanted: &Wanted) -> Result<Image, End> {
        let machine = &self.machine;
        let mut told = Vec::new();
        let (name, credentials) = (&wanted.image, wanted.credentials.as_ref());
        let tell = |line| told.push(line);
        let image =
            machine.kept_images.ensure(&machine.engine, name, machine.platform(), credentials, tell).await;
        for line in told {
            log.say(&line);
        }
        let image = image?;
        // The engine would start it, and each program in it would fail (or be emulated unasked).
        let expected = machine.options.architecture.platform().trim_start_matches("linux/");
        if !image.architecture.is_empty() && image.architecture != expected {
            let message = format!(
                "image {} on this machine is for {}, and this agent works as {expected}: give it an image for {expected}",
                wanted.image, image.architecture
            );
            return Err(Failure::new(Cause::ImageNotFound, message).into());
        }
        Ok(image)
    }

    /// A vessel without its container yet, and a network for it.
    async fn new_vessel(&self) -> Result<(Vessel, String), End> {
        let placed = self.machine.programs.place(Carried::Init, &self.folder.run());
        placed.map_err(|error| Failure::new(Cause::Internal, error.to_string()))?;
        let vessel = Vessel::create(&self.folder, self.link.orders.clone())?;
        let network = self.machine.networks.take().await?;
        self.things.set_network(&network);
        Ok((vessel, network))
    }

    async fn start_container(
        &self,
        vessel: &mut Vessel,
        wanted: &Wanted,
        image: &Image,
        user: &ContainerUser,
        layout: &Layout,
        network: &str,
    ) -> Result<(), End> {
        let mut folders = layout.folders(&self.folder)?;
        let (mut binds, mut shared) = (Vec::new(), Vec::new());
        let (new, known): (Vec<Volume>, Vec<Volume>) =
            wanted.volumes.iter().cloned().partition(|volume| volume.source == Source::Anonymous);
        self.add_volumes(&known, user, &mut folders, &mut shared).await?;
        self.add_volumes(&new, user, &mut folders, &mut binds).await?;
        binds.extend(shared.iter().cloned());
        let making = Making {
            name: container_name(&self.saved.lease),
            lease: Some(self.saved.lease),
            image,
            user,
            folder: &self.folder,
            folders,
            network,
            limits: self.limits(),
            asked: Asked {
                env: wanted.env.clone(),
                binds,
                shared,
                ports: wanted.ports.clone(),
                options: wanted.options.clone(),
            },
        };
        let made = |id: &str| self.things.set_container(id);
        match super::container::start(&self.machine, vessel, making, made).await? {
            true => Ok(()),
            false => Err(End::Work(WRONG_FOLDER_MESSAGE.to_owned())),
        }
    }

    /// Makes what a container's volumes need and adds them to what is mounted.
    pub(super) async fn add_volumes(
        &self,
        volumes: &[Volume],
        user: &ContainerUser,
        folders: &mut Vec<Folder>,
        binds: &mut Vec<String>,
    ) -> Result<(), End> {
        let job = self.saved.lease.attempt.folder_name();
        for volume in volumes {
            match &volume.source {
                Source::Anonymous => binds.push(volume.bind(None)),
                Source::Machine(source) => binds.push(volume.bind(Some(source))),
                Source::Job(name) => {
                    let source = self.machine.engine.job_volume(&job, name).await?;
                    binds.push(volume.bind(Some(&source)));
                }
                Source::Work(inside) => {
                    let work = self.folder.work();
                    Inside::make(&work, inside, user).map_err(|error| {
                        End::Work(format!("volume `{HOST_WORK}/{}`: {error}", inside.display()))
                    })?;
                    let folder = Folder::of_job(&work, inside, &volume.target)?;
                    folders.push(if volume.is_read_only() { folder.read_only() } else { folder });
                }
            }
        }
        Ok(())
    }

    /// What an image has, looked up once.
    pub(super) async fn image_facts(&self, image: &Image) -> Result<ImageFacts, Failure> {
        let mut known = self.machine.images.lock().await;
        if let Some(facts) = known.get(&image.id) {
            return Ok(facts.clone());
        }
        let facts = self.machine.engine.image_facts(image, self.machine.platform()).await?;
        known.insert(image.id.clone(), facts.clone());
        Ok(facts)
    }

    /// Whom the container works as: what `--user` says; without `container:` the image's `runner`; else the image's
    /// user.
    async fn container_user(&self, image: &Image, wanted: &Wanted) -> Result<ContainerUser, End> {
        let users = self.image_facts(image).await?.users;
        let asked = match &wanted.options.user {
            Some(user) => user.as_str(),
            None if !wanted.in_container && users.has(RUNNER_USER) => RUNNER_USER,
            None => &image.user,
        };
        users.resolve(asked).ok_or_else(|| {
            End::Work(format!(
                "image {} has no user `{asked}`: name one that it has, or a number",
                wanted.image
            ))
        })
    }
}

/// The first digits of an id, as Docker shows it.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn ports_are_read_as_docker_reads_them() {
        let port = parse_port("127.0.0.1:8080:80/udp", false).unwrap();
        assert_eq!(
            (port.host_address.as_str(), port.host, port.container.as_str()),
            ("127.0.0.1", Some(8080), "80/udp")
        );
        assert_eq!(parse_port("5432", false).unwrap().host, None);
        let fixed = parse_port("5432:5432", false).unwrap();
        assert_eq!((fixed.host, fixed.host_address.as_str()), (Some(5432), LOOPBACK));
        assert!(parse_port("0.0.0.0:5432:5432", false).unwrap_err().contains("--allow-privileged"));
        assert_eq!(parse_port("0.0.0.0:5432:5432", true).unwrap().host_address, "0.0.0.0");
        for text in ["", "x", "0", "80/icmp", "1:2:3:4x", "70000"] {
            assert!(parse_port(text, false).is_err(), "{text}");
        }
    }
}
