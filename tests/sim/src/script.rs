//! What makes a world, in full: the same script gives the same world, event for event. Saved as JSON, one is a failure that
//! anybody can step through.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::fault::Fault;
use crate::sabotage::Sabotage;
use crate::troubles::Chosen;

/// Version of the form below. What a seed means changes with the program: a script is for the version that wrote it.
pub const SCRIPT_VERSION: u32 = 1;

/// Most agents of a world.
pub const AGENTS_MAX: usize = 4;

/// Most jobs of a run, calls apart.
pub const JOBS_MAX: u64 = 6;

/// Which world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum WorldKind {
    /// The pure scheduler and its fleet, millions of seeds: [`crate::scheduler`].
    #[default]
    Scheduler,
    /// The whole control plane around it, with the real driver: [`crate::whole`].
    Whole,
}

/// One world.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// [`SCRIPT_VERSION`].
    pub version: u32,
    /// Which world.
    pub world: WorldKind,
    /// All random numbers come from it.
    pub seed: u64,
    /// Events after which the world is healed.
    pub events: u64,
    /// How many agents there are: 1 to [`AGENTS_MAX`].
    pub agents: usize,
    /// How many runs are submitted at most.
    pub runs: u64,
    /// How many jobs a run has at most, calls apart: 1 to [`JOBS_MAX`].
    pub jobs: u64,
    /// Kinds of trouble that never come.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub without: Vec<Fault>,
    /// The only troubles that come, each by its kind and the number of its opportunity; none: all that the seed has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<Chosen>,
    /// The planted fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sabotage: Option<Sabotage>,
    /// What broke, where something did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<String>,
}

impl Script {
    /// The world of a seed, as large as they come.
    #[must_use]
    pub fn new(world: WorldKind, seed: u64) -> Self {
        Self {
            version: SCRIPT_VERSION,
            world,
            seed,
            events: 300,
            agents: AGENTS_MAX,
            runs: 10_000,
            jobs: JOBS_MAX,
            without: Vec::new(),
            only: None,
            sabotage: None,
            broken: None,
        }
    }

    /// The same with a planted fault.
    #[must_use]
    pub fn with_sabotage(sabotage: Sabotage, seed: u64) -> Self {
        Self { sabotage: Some(sabotage), ..Self::new(sabotage.world(), seed) }
    }

    /// Reads a saved one.
    ///
    /// # Errors
    /// One sentence: the file cannot be read, or holds no script of this version.
    pub fn load(path: &Path) -> Result<Self, String> {
        let place = path.display();
        let text = fs::read_to_string(path).map_err(|error| format!("{place}: {error}"))?;
        let mut script: Self = serde_json::from_str(&text).map_err(|error| format!("{place}: {error}"))?;
        if script.version != SCRIPT_VERSION {
            let found = script.version;
            return Err(format!("{place}: a script of version {found}; this build reads {SCRIPT_VERSION}"));
        }
        if !(1..=AGENTS_MAX).contains(&script.agents) || !(1..=JOBS_MAX).contains(&script.jobs) {
            return Err(format!("{place}: `agents` must be 1 to {AGENTS_MAX}, `jobs` 1 to {JOBS_MAX}"));
        }
        if script.sabotage.is_some_and(|sabotage| sabotage.world() != script.world) {
            return Err(format!("{place}: `sabotage` is of another world"));
        }
        for numbers in script.only.iter_mut().flat_map(|only| only.values_mut()) {
            numbers.sort_unstable();
        }
        Ok(script)
    }

    /// Saves it in a folder, and says where.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn save(&self, folder: &Path) -> io::Result<PathBuf> {
        let world = match self.world {
            WorldKind::Scheduler => "scheduler",
            WorldKind::Whole => "whole",
        };
        let planted = self.sabotage.map_or_else(String::new, |sabotage| format!("-{}", sabotage.name()));
        let path = folder.join(format!("slipway-sim-{world}-{}{planted}.json", self.seed));
        fs::write(&path, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(path)
    }
}
