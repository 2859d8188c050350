//! What the agents of this process offer: labels, and the image behind each.

use std::path::{Path, PathBuf};

use clap::Args;
use slipway_agent::disk::mark::Marks;
use slipway_agent::options::{Arguments, CacheSize, Options};

use super::Reach;
use crate::client::types::Instance;
use crate::failure::Failure;
use crate::settings::Settings;

/// Stands for a coordinator that is not started yet.
const NO_SERVER: &str = "http://127.0.0.1:1";

/// Where the agents of this process have actions and Node from.
#[derive(Debug, Clone, Default, Args)]
pub struct ActionArgs {
    /// Where actions and reusable workflows of other repositories come from: a forge or mirror, or file:///FOLDER with
    /// owner/name in it [default: https://github.com]
    #[arg(long, value_name = "URL", env = "SLIPWAY_ACTIONS_SOURCE")]
    pub actions_source: Option<String>,
    /// Folder with Node for JavaScript actions, as scripts/fetch-externals.sh makes it
    #[arg(long, value_name = "DIR", env = "SLIPWAY_EXTERNALS")]
    pub externals: Option<PathBuf>,
    /// Run the original code of actions that are built in (checkout, cache, upload-artifact, download-artifact)
    #[arg(long, env = "SLIPWAY_ORIGINAL_ACTIONS")]
    pub original_actions: bool,
}

impl ActionArgs {
    /// With what the configuration file says where the flags say nothing.
    #[must_use]
    pub fn or_file(&self, settings: &Settings) -> Self {
        Self {
            actions_source: self.actions_source.clone().or_else(|| settings.actions_source.clone()),
            externals: self.externals.clone().or_else(|| settings.externals.clone()),
            original_actions: self.original_actions || settings.original_actions,
        }
    }
}

/// The settings that all agents of this process have in common.
#[derive(Debug, Clone)]
pub struct Offer {
    images: Vec<String>,
    actions: ActionArgs,
    reach: Reach,
    /// Where actions are kept, beyond the agents' own folders.
    actions_dir: Option<PathBuf>,
    /// Whether it is for a run of a person who looks on.
    personal: bool,
    options: Options,
}

impl Offer {
    /// From `--image` flags over the configuration file's images over the agent's defaults.
    ///
    /// # Errors
    /// A label or image that cannot be, or a machine that can have no agent.
    pub fn of(
        settings: &Settings,
        flags: &[(String, String)],
        actions: &ActionArgs,
        reach: &Reach,
    ) -> Result<Self, Failure> {
        let from_file = settings.images.iter().map(|(label, image)| format!("{label}={image}"));
        let from_flags = flags.iter().map(|(label, image)| format!("{label}={image}"));
        let images: Vec<String> = from_file.chain(from_flags).collect();
        let actions = actions.or_file(settings);
        let reach = reach.or_file(settings);
        let place = Place { server: NO_SERVER, token: "none", data_dir: Path::new("/") };
        let options = agent_options(&images, &actions, &reach, place, OwnSettings::default())?;
        Ok(Offer { images, actions, reach, actions_dir: None, personal: false, options })
    }

    /// Keeps actions in this folder, which outlives the agents.
    #[must_use]
    pub fn keep_actions_in(mut self, folder: Option<PathBuf>) -> Self {
        self.actions_dir = folder;
        self
    }

    /// For the run of a person who looks on, with their own code: no agent waits for more room on the disk, and the machine's
    /// routing stays as it is.
    #[must_use]
    pub fn personal(mut self) -> Self {
        self.personal = true;
        self
    }

    /// Where actions come from, as it was given.
    pub fn actions_source(&self) -> Option<&str> {
        self.actions.actions_source.as_deref()
    }

    /// Settings of one agent: where its coordinator is, where its files are, its name and its slots.
    ///
    /// # Errors
    /// Its name or number of slots cannot be.
    pub fn agent(
        &self,
        server: &str,
        token: &str,
        data_dir: &Path,
        own: OwnSettings,
    ) -> Result<Options, Failure> {
        let place = Place { server, token, data_dir };
        let mut options = agent_options(&self.images, &self.actions, &self.reach, place, own)?;
        if let Some(folder) = &self.actions_dir {
            options.actions_dir.clone_from(folder);
        }
        if self.personal {
            options.disk.marks = Marks::OFF;
            options.disk.images_bytes = None;
            options.isolation.metadata = true;
        }
        Ok(options)
    }

    /// All labels.
    pub fn labels(&self) -> Vec<String> {
        self.options.all_labels()
    }

    /// The engine's socket.
    pub fn docker_host(&self) -> &str {
        &self.options.docker_host
    }

    /// The image of a job with these labels and no `container:`.
    pub fn image_for(&self, labels: &[String]) -> &str {
        self.options.image_for(labels.iter().map(String::as_str))
    }

    /// Why no agent takes a job with these labels; `None`: one does.
    pub fn lacks(&self, job: &str, labels: &[String]) -> Option<String> {
        let offered = self.labels();
        let missing: Vec<&str> = labels
            .iter()
            .filter(|label| !offered.iter().any(|offered| offered.eq_ignore_ascii_case(label)))
            .map(String::as_str)
            .collect();
        if missing.is_empty() {
            return None;
        }
        let (missing, offered) = (missing.join("`, `"), offered.join(", "));
        Some(format!(
            "no agent for job `{job}`: the private fleet has no label `{missing}`, only {offered}; \
             map it with --image LABEL=IMAGE, or use a coordinator with --server"
        ))
    }

    /// Why an instance that waits will wait forever.
    pub fn unserved(&self, instance: &Instance) -> Option<String> {
        let waits = instance.state == "waiting" && !instance.labels.is_empty();
        if waits { self.lacks(&instance.job, &instance.labels) } else { None }
    }
}

/// What tells an agent from its neighbours.
#[derive(Debug, Clone, Default)]
pub struct OwnSettings {
    /// What people see; the host's name by default.
    pub name: Option<String>,
    /// Jobs at once; half the processors by default.
    pub slots: Option<u32>,
    /// Containers that wait for jobs; the agent's own default by default.
    pub warm: Option<usize>,
}

/// Where an agent's coordinator and its files are.
#[derive(Clone, Copy)]
struct Place<'a> {
    server: &'a str,
    token: &'a str,
    data_dir: &'a Path,
}

fn agent_options(
    images: &[String],
    actions: &ActionArgs,
    reach: &Reach,
    place: Place<'_>,
    own: OwnSettings,
) -> Result<Options, Failure> {
    Options::from_arguments(Arguments {
        server: Some(place.server.to_owned()),
        token: Some(place.token.to_owned()),
        data_dir: Some(place.data_dir.to_owned()),
        image: images.to_vec(),
        actions_source: actions.actions_source.clone(),
        externals: actions.externals.clone(),
        original_actions: actions.original_actions,
        allow_volume: reach.allow_volumes.clone(),
        allow_privileged: reach.allow_privileged,
        job_engine: reach.job_engine,
        name: own.name,
        slots: own.slots,
        warm: own.warm,
        // Where nothing waits, nothing is made ready either.
        ready_checkouts: own.warm.filter(|count| *count == 0),
        // The coordinator's is on the same disk.
        cache_size: Some(CacheSize(0)),
        ..Arguments::default()
    })
    .map_err(|error| Failure::usage(error.to_string()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn labels(labels: &[&str]) -> Vec<String> {
        labels.iter().map(|label| (*label).to_owned()).collect()
    }

    #[test]
    fn flags_map_labels_over_the_file() {
        let settings = Settings {
            images: [("gpu".to_owned(), "file:1".to_owned()), ("big".to_owned(), "big:1".to_owned())].into(),
            ..Settings::default()
        };
        let offer = Offer::of(
            &settings,
            &[("GPU".to_owned(), "flag:2".to_owned())],
            &ActionArgs::default(),
            &Reach::default(),
        )
        .unwrap();
        assert_eq!(offer.image_for(&labels(&["self-hosted", "gpu"])), "flag:2");
        assert_eq!(offer.image_for(&labels(&["big"])), "big:1");
        assert_eq!(offer.lacks("a", &labels(&["Linux", "Ubuntu-Latest", "Gpu"])), None);
        let reason = offer.lacks("a", &labels(&["linux", "windows-latest"])).unwrap();
        assert!(
            reason.contains("`a`") && reason.contains("`windows-latest`") && !reason.contains("`linux`"),
            "{reason}"
        );
    }

    #[test]
    fn only_waiting_instances_are_unserved() {
        let offer = Offer::of(&Settings::default(), &[], &ActionArgs::default(), &Reach::default()).unwrap();
        let instance = |state: &str, label: &str| -> Instance {
            serde_json::from_value(
                serde_json::json!({"instance_id": "i", "job": "a", "state": state, "labels": [label]}),
            )
            .unwrap()
        };
        assert!(offer.unserved(&instance("waiting", "gpu")).is_some());
        assert!(offer.unserved(&instance("finished", "gpu")).is_none());
        assert!(offer.unserved(&instance("waiting", "ubuntu-latest")).is_none());
    }
}
