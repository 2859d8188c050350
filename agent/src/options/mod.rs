//! What an agent is told when it starts: flags, `SLIPWAY_*` variables, a TOML file, in this order of weight.

mod arguments;
mod bounds;
mod disk;
mod isolation;
pub mod job_engine;
mod sizes;
mod warm;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use thiserror::Error;

use arguments::File;
pub use arguments::{Arguments, CacheSize};
pub use isolation::Isolation;
pub use job_engine::JobEngine;
pub use sizes::{Amount, Sizes};

use crate::actions::ActionsSource;
use crate::coordinator::{Fingerprint, Server, ServerError, Trusted};
use crate::disk::DiskOptions;
use crate::docker::container::Limits;
use crate::docker::network::AddressRange;
use crate::limits::TIER_DEFAULT_GIB;
use slipway_wire::enrolment;

/// Labels of GitHub's own machines that stand for the default runner image.
pub const GITHUB_LABELS: [&str; 3] = ["ubuntu-latest", "ubuntu-24.04", "ubuntu-22.04"];

/// Image of [`GITHUB_LABELS`] unless configured.
pub const RUNNER_IMAGE: &str = "slipway/runner:latest";

/// Most jobs one agent runs at once.
pub const MAX_SLOTS: u32 = 256;

/// Most of the disk that the agent's part of the cache may use, in GiB.
const MAX_CACHE_GIB: u64 = 1 << 20;

/// Longest name and label.
const MAX_NAME_CHARS: usize = 100;

/// An architecture, as GitHub writes it in `runner.arch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// x86-64.
    X64,
    /// AArch64.
    Arm64,
}

impl Architecture {
    /// This machine's, if Slipway supports it.
    #[must_use]
    pub fn native() -> Option<Self> {
        match std::env::consts::ARCH {
            "x86_64" => Some(Self::X64),
            "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }

    /// `X64` or `ARM64`: the label and `runner.arch`.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::X64 => "X64",
            Self::Arm64 => "ARM64",
        }
    }

    /// The engine's name for it.
    #[must_use]
    pub fn platform(self) -> &'static str {
        match self {
            Self::X64 => "linux/amd64",
            Self::Arm64 => "linux/arm64",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "x64" | "amd64" | "x86_64" => Some(Self::X64),
            "arm64" | "aarch64" => Some(Self::Arm64),
            _ => None,
        }
    }
}

/// Checked settings of an agent.
#[derive(Debug, Clone)]
pub struct Options {
    /// The coordinators, which share one journal, and whose certificates are good for them.
    pub servers: Vec<Server>,
    /// The agent token.
    pub token: String,
    /// What people see.
    pub name: String,
    /// Labels beyond `self-hosted`, `linux`, the architecture and the keys of `images`.
    pub labels: Vec<String>,
    /// Jobs at once.
    pub slots: u32,
    /// Where it keeps its id and its jobs.
    pub data_dir: PathBuf,
    /// Image of a label, by label in lower case.
    pub images: BTreeMap<String, String>,
    /// Image of a job none of whose labels has one.
    pub default_image: String,
    /// The architecture it works as.
    pub architecture: Architecture,
    /// Whether that is emulated on this machine.
    pub emulated: bool,
    /// The engine's socket, `unix://…`.
    pub docker_host: String,
    /// Where the subnets of job networks come from.
    pub subnets: AddressRange,
    /// Containers that wait for jobs.
    pub warm: usize,
    /// Checkouts of large repositories that are made ready before a job asks.
    pub ready_checkouts: usize,
    /// What one job may use.
    pub limits: Limits,
    /// Processors and memory that jobs share, where they count beside slots.
    pub sizes: Option<Sizes>,
    /// Where actions of other repositories come from.
    pub actions_source: ActionsSource,
    /// Where this machine keeps them. Several agents may share it.
    pub actions_dir: PathBuf,
    /// Folder with Node for JavaScript actions; none: this machine has none.
    pub externals: Option<PathBuf>,
    /// Whether the original code runs of actions that are built in.
    pub original_actions: bool,
    /// Whether workflows may ask for privileged containers.
    pub allow_privileged: bool,
    /// Whether it runs code from outside (a fork's pull request) too. Then no job gains rights by setuid (no `sudo`),
    /// for a specification does not say whose code it runs.
    pub accept_untrusted: bool,
    /// Bytes of the disk that the agent's own part of the cache for build tools may use; 0: it has none.
    pub cache_bytes: u64,
    /// Where traces go; the program that embeds the agent sends them.
    pub otlp: Option<String>,
    /// How much of the disk has to be free, and what one job may use of it.
    pub disk: DiskOptions,
    /// How jobs are kept apart from the machine.
    pub isolation: Isolation,
    /// The Docker engine of jobs.
    pub job_engine: JobEngine,
}

/// A setting that can't be used; names the flag.
#[derive(Debug, Error)]
pub enum OptionsError {
    /// It has no value anywhere.
    #[error("{flag} is missing: give the flag, {variable}, or `{key}` in the configuration file")]
    Missing {
        /// The flag.
        flag: &'static str,
        /// The variable.
        variable: &'static str,
        /// The file's key.
        key: &'static str,
    },
    /// Its value makes no sense.
    #[error("{flag}: {message}")]
    Invalid {
        /// The flag.
        flag: &'static str,
        /// What is wrong and what would do.
        message: String,
    },
    /// The coordinator's address or CA file can't be used.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The configuration file can't be used.
    #[error(transparent)]
    File(#[from] slipway_kit::config::ConfigError),
}

fn invalid(flag: &'static str, message: impl Into<String>) -> OptionsError {
    OptionsError::Invalid { flag, message: message.into() }
}

impl Options {
    /// Settings of an agent in the coordinator's own process or beside it, with defaults for the rest. It keeps no part of the cache:
    /// the coordinator's is on the same disk.
    ///
    /// # Errors
    /// When this machine's architecture is not supported.
    pub fn local(server: &str, token: &str, data_dir: &Path) -> Result<Self, OptionsError> {
        Self::from_arguments(Arguments {
            server: Some(server.to_owned()),
            token: Some(token.to_owned()),
            data_dir: Some(data_dir.to_owned()),
            cache_size: Some(CacheSize(0)),
            ..Arguments::default()
        })
    }

    /// Checks the arguments, with the file they name.
    ///
    /// # Errors
    /// See [`OptionsError`].
    pub fn from_arguments(given: Arguments) -> Result<Self, OptionsError> {
        let file: File = slipway_kit::config::load(given.config.as_deref())?;
        let disk = disk::disk(&given, &file)?;
        let (architecture, emulated) = architecture(
            given.arch.or(file.arch).as_deref(),
            given.allow_emulation.or(file.allow_emulation).as_deref(),
        )?;
        let server = given.server.or(file.server).ok_or(OptionsError::Missing {
            flag: "--server",
            variable: "SLIPWAY_SERVER",
            key: "server",
        })?;
        let token = token(given.token, given.token_file.or(file.token_file))?;
        let ca_file = given.ca_file.or(file.ca_file);
        let allow_plaintext = given.allow_plaintext || file.allow_plaintext;
        // What a token names goes before what stands in a file: it is the narrower of the two.
        let trusted = match (pinned(&token)?, ca_file.as_deref()) {
            (Some(fingerprint), _) => Trusted::Pinned(fingerprint),
            (None, Some(file)) => Trusted::File(file),
            (None, None) => Trusted::Machine,
        };
        let servers =
            server.split(',').map(|server| Server::trusting(server.trim(), trusted, allow_plaintext));
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        let allow_privileged = given.allow_privileged || file.allow_privileged;
        let accept_untrusted = given.accept_untrusted || file.accept_untrusted;
        if allow_privileged && accept_untrusted {
            let message =
                "cannot be combined with --allow-privileged: code from outside would own this machine";
            return Err(invalid("--accept-untrusted", message));
        }
        let slots = given.slots.or(file.slots).unwrap_or_else(default_slots);
        if !(1..=MAX_SLOTS).contains(&slots) {
            return Err(invalid("--slots", format!("{slots} is not between 1 and {MAX_SLOTS}")));
        }
        let limits = bounds::limits(
            given.job_memory.or(file.job_memory),
            given.job_cpus.or(file.job_cpus),
            given.job_pids.or(file.job_pids),
            slots,
        )?;
        let labels = if given.labels.is_empty() { file.labels } else { given.labels };
        let subnets = match given.subnets.or(file.subnets) {
            Some(text) => AddressRange::parse(&text).map_err(|message| invalid("--subnets", message))?,
            None => AddressRange::DEFAULT,
        };
        let data_dir =
            given.data_dir.or(file.data_dir).unwrap_or_else(|| PathBuf::from("/var/lib/slipway-agent"));
        // Docker mounts folders below it, and takes only whole paths.
        let data_dir = std::path::absolute(&data_dir)
            .map_err(|error| invalid("--data-dir", format!("`{}`: {error}", data_dir.display())))?;
        Ok(Self {
            token,
            name: checked_name("--name", given.name.or(file.name).unwrap_or_else(host_name))?,
            labels: labels
                .into_iter()
                .map(|label| checked_name("--labels", label))
                .collect::<Result<_, _>>()?,
            slots,
            actions_dir: data_dir.join("actions"),
            data_dir,
            images: images(given.image, file.images, emulated)?,
            default_image: given
                .default_image
                .or(file.default_image)
                .unwrap_or_else(|| RUNNER_IMAGE.to_owned()),
            architecture,
            emulated,
            docker_host: given
                .docker_host
                .or(file.docker_host)
                .or_else(|| std::env::var("DOCKER_HOST").ok().filter(|host| !host.is_empty()))
                .unwrap_or_else(|| crate::docker::DEFAULT_HOST.to_owned()),
            subnets,
            warm: warm::warm(given.warm.or(file.warm), slots)?,
            ready_checkouts: warm::ready_checkouts(given.ready_checkouts.or(file.ready_checkouts))?,
            limits,
            sizes: sizes::sizes(
                sizes::Given {
                    cpus: given.cpus.or(file.cpus),
                    memory: given.memory.or(file.memory),
                    sizes: given.size,
                    written: file.sizes,
                },
                limits,
                slots,
            )?,
            actions_source: match given.actions_source.or(file.actions_source) {
                Some(text) => {
                    ActionsSource::parse(&text).map_err(|message| invalid("--actions-source", message))?
                }
                None => ActionsSource::default(),
            },
            externals: externals(given.externals.or(file.externals))?,
            original_actions: given.original_actions || file.original_actions,
            allow_privileged,
            accept_untrusted,
            cache_bytes: cache_bytes(given.cache_size.or(file.cache_size))?,
            otlp: given.otlp.or(file.otlp),
            isolation: Isolation {
                runtime: given.runtime.or(file.runtime),
                volumes: [given.allow_volume, file.allow_volumes].concat(),
                metadata: given.allow_metadata || file.allow_metadata,
            }
            .checked(accept_untrusted)?,
            job_engine: JobEngine::checked(
                given.job_engine.or(file.job_engine),
                given.job_engine_image.or(file.job_engine_image),
                accept_untrusted,
                emulated,
            )?,
            servers,
            disk,
        })
    }

    /// All labels it offers.
    #[must_use]
    pub fn all_labels(&self) -> Vec<String> {
        let mut labels =
            vec!["self-hosted".to_owned(), "linux".to_owned(), self.architecture.label().to_owned()];
        let sizes = self.sizes.iter().flat_map(|sizes| sizes.by_label.keys());
        for label in self.labels.iter().chain(self.images.keys()).chain(sizes) {
            if !labels.iter().any(|known| known.eq_ignore_ascii_case(label)) {
                labels.push(label.clone());
            }
        }
        labels
    }

    /// What the containers of a job with these labels may use.
    #[must_use]
    pub fn limits_for<'a>(&self, labels: impl IntoIterator<Item = &'a str>) -> Limits {
        match &self.sizes {
            Some(sizes) => sizes.limits(labels, self.limits),
            None => self.limits,
        }
    }

    /// All images that it was told of.
    #[must_use]
    pub fn all_images(&self) -> BTreeSet<String> {
        self.images.values().chain([&self.default_image]).cloned().collect()
    }

    /// The image of a job without `container:`: that of the first of its labels which has one.
    #[must_use]
    pub fn image_for<'a>(&self, labels: impl IntoIterator<Item = &'a str>) -> &str {
        labels
            .into_iter()
            .find_map(|label| self.images.get(&label.to_ascii_lowercase()))
            .unwrap_or(&self.default_image)
    }
}

fn architecture(asked: Option<&str>, allowed: Option<&str>) -> Result<(Architecture, bool), OptionsError> {
    let parse = |flag, text: &str| {
        Architecture::parse(text).ok_or_else(|| invalid(flag, format!("`{text}` is neither X64 nor ARM64")))
    };
    let allowed = allowed.map(|text| parse("--allow-emulation", text)).transpose()?;
    let native = Architecture::native();
    let asked = match asked {
        Some(text) => parse("--arch", text)?,
        None => {
            native.ok_or_else(|| invalid("--arch", format!("no agent for `{}`", std::env::consts::ARCH)))?
        }
    };
    if Some(asked) == native {
        return Ok((asked, false));
    }
    if allowed != Some(asked) {
        let label = asked.label();
        return Err(invalid(
            "--arch",
            format!(
                "this machine is not {label}; to run {label} jobs under emulation add --allow-emulation {label}"
            ),
        ));
    }
    Ok((asked, true))
}

/// A folder that is named must be there, and such that it can be mounted.
fn externals(folder: Option<PathBuf>) -> Result<Option<PathBuf>, OptionsError> {
    let Some(folder) = folder else { return Ok(crate::externals::default_folder()) };
    let wrong = |why: String| invalid("--externals", format!("{}: {why}", folder.display()));
    if !folder.is_dir() {
        return Err(wrong("there is no such folder; scripts/fetch-externals.sh makes one".to_owned()));
    }
    let whole = std::path::absolute(&folder).map_err(|error| wrong(error.to_string()))?;
    if whole.to_str().is_none_or(|path| path.contains(':')) {
        return Err(wrong("its path has a colon or is not UTF-8, so that it cannot be mounted".to_owned()));
    }
    Ok(Some(whole))
}

fn cache_bytes(size: Option<CacheSize>) -> Result<u64, OptionsError> {
    let CacheSize(gib) = size.unwrap_or(CacheSize(TIER_DEFAULT_GIB));
    match gib <= MAX_CACHE_GIB {
        true => Ok(gib << 30),
        false => Err(invalid("--cache-size", format!("{gib} is more than {MAX_CACHE_GIB} GiB"))),
    }
}

fn token(given: Option<String>, file: Option<PathBuf>) -> Result<String, OptionsError> {
    let (flag, text) = match (given, file) {
        (Some(token), _) => ("--token", token),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(&path).map_err(|error| {
                invalid("--token-file", format!("cannot read {}: {error}", path.display()))
            })?;
            ("--token-file", text)
        }
        (None, None) => {
            return Err(OptionsError::Missing {
                flag: "--token-file",
                variable: "SLIPWAY_TOKEN_FILE",
                key: "token_file",
            });
        }
    };
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(invalid(flag, "the token is empty or has characters that a token never has"));
    }
    Ok(token.to_owned())
}

/// The authority that a token for enrolment names.
fn pinned(token: &str) -> Result<Option<Fingerprint>, OptionsError> {
    if !enrolment::is_token(token) {
        return Ok(None);
    }
    let damaged = || invalid("--token-file", "the token is not whole: it was cut or changed on its way here");
    let (_, fingerprint) = enrolment::take_apart(token).map_err(|_| damaged())?;
    fingerprint.map(|text| Fingerprint::parse(text).ok_or_else(damaged)).transpose()
}

fn checked_name(flag: &'static str, name: String) -> Result<String, OptionsError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME_CHARS || name.chars().any(char::is_control) {
        return Err(invalid(flag, format!("`{name}` must have 1 to {MAX_NAME_CHARS} printable characters")));
    }
    Ok(name.to_owned())
}

fn images(
    given: Vec<String>,
    file: BTreeMap<String, String>,
    emulated: bool,
) -> Result<BTreeMap<String, String>, OptionsError> {
    // An agent that emulates takes jobs that ask for its architecture only: GitHub's labels mean the machine's own, and
    // so does the runner image.
    let own = GITHUB_LABELS.iter().filter(|_| !emulated);
    let mut images: BTreeMap<String, String> =
        own.map(|label| ((*label).to_owned(), RUNNER_IMAGE.to_owned())).collect();
    let given = given.iter().map(|pair| match pair.split_once('=') {
        Some((label, image)) => Ok((label.to_owned(), image.to_owned())),
        None => Err(invalid("--image", format!("`{pair}` is not LABEL=IMAGE"))),
    });
    for pair in file.into_iter().map(Ok).chain(given) {
        let (label, image) = pair?;
        if image.trim().is_empty() {
            return Err(invalid("--image", format!("label `{label}` has an empty image")));
        }
        images.insert(checked_name("--image", label)?.to_ascii_lowercase(), image.trim().to_owned());
    }
    Ok(images)
}

fn default_slots() -> u32 {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    u32::try_from(processors / 2).unwrap_or(MAX_SLOTS).clamp(1, MAX_SLOTS)
}

fn host_name() -> String {
    let name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if name.trim().is_empty() { "agent".to_owned() } else { name }
}

#[cfg(test)]
mod tests;
