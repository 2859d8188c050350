//! Keeps jobs from the addresses at which cloud machines tell their programs who they are: see [`slipway_init::rules`].
//!
//! The rules are the machine's, shared by all agents on it; they stay when an agent ends. Before each job the agent looks whether
//! they stand, which needs no privilege and no container, since whoever manages the machine's network may have flushed them; a container of init's
//! own adds what is missing.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use slipway_init::limits::RULES_FLAG;
use slipway_init::rules;
use tokio::sync::Mutex;

use crate::docker::Engine;
use crate::docker::network::AddressRange;
use crate::docker::once::Once;
use crate::failure::{Cause, Failure};
use crate::limits::ONCE_TIME;

/// See the module.
#[derive(Debug)]
pub struct MetadataGuard {
    range: AddressRange,
    /// Jobs may reach them.
    allowed: bool,
    /// Without rules there are no jobs.
    required: bool,
    program: PathBuf,
    adding: Mutex<()>,
    told: AtomicBool,
    /// The engine has a network of its own, in which addresses of jobs are not those that the machine routes.
    apart: AtomicBool,
}

impl MetadataGuard {
    /// For jobs with addresses of this range; `program` is init. `required`: jobs are refused while the rules do not stand.
    #[must_use]
    pub fn new(range: AddressRange, allowed: bool, required: bool, program: PathBuf) -> Self {
        Self {
            range,
            allowed,
            required,
            program,
            adding: Mutex::default(),
            told: AtomicBool::new(false),
            apart: AtomicBool::new(false),
        }
    }

    /// The engine has no root's rights: no rule of the machine holds for its jobs, whoever added it.
    pub fn note_rootless(&self) {
        self.apart.store(true, Ordering::Relaxed);
    }

    /// Has the rules stand. `image`: any that is here.
    ///
    /// # Errors
    /// `container_start`, when they can't and are required.
    pub async fn stand(&self, engine: &Engine, image: &str) -> Result<(), Failure> {
        if self.allowed {
            return Ok(());
        }
        if self.apart.load(Ordering::Relaxed) {
            return self.fail("an engine without root's rights has a network of its own");
        }
        if stands(self.range).is_ok() {
            return Ok(());
        }
        // Where it did not work once it is not tried before each job.
        if !self.required && self.told.load(Ordering::Relaxed) {
            return Ok(());
        }
        // One adds them, others wait and find them.
        let _adding = self.adding.lock().await;
        if stands(self.range).is_ok() {
            return Ok(());
        }
        match self.add(engine, image).await {
            Ok(()) => Ok(()),
            Err(why) => self.fail(&why),
        }
    }

    /// They can't stand: no job where they are required, else a word about it, once.
    fn fail(&self, why: &str) -> Result<(), Failure> {
        if self.required {
            return Err(Failure::new(
                Cause::ContainerStart,
                format!(
                    "jobs on this agent could reach the cloud's metadata addresses, and it accepts code from outside: {why}; see \
                     docs/ISOLATION.md"
                ),
            ));
        }
        if !self.told.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                why,
                "jobs can reach the cloud's metadata addresses (docs/ISOLATION.md); --allow-metadata says that they may"
            );
        }
        Ok(())
    }

    async fn add(&self, engine: &Engine, image: &str) -> Result<(), String> {
        let range = self.range.to_string();
        let arguments = [RULES_FLAG, range.as_str()];
        let once = Once {
            image,
            program: &self.program,
            arguments: &arguments,
            capabilities: &["NET_ADMIN"],
            folder: None,
            time: ONCE_TIME,
        };
        engine
            .run_once(once)
            .await
            .map_err(|failure| format!("the routing rules can't be added: {failure}"))?;
        tracing::info!(range, "jobs are kept from the cloud's metadata addresses by routing rules");
        stands(self.range)
    }
}

/// Whether the rules for this range stand in the network of this process.
///
/// # Errors
/// A sentence, when they don't.
pub fn stands(range: AddressRange) -> Result<(), String> {
    match rules::missing(range.parts()) {
        Ok(missing) if missing.is_empty() => Ok(()),
        Ok(missing) => Err(format!(
            "{} routing rules for {range} are missing in the agent's network (an engine without root's rights, or of another \
             machine, has another one)",
            missing.len()
        )),
        Err(error) => Err(format!("the machine's routing rules can't be read: {error}")),
    }
}
