//! Plants faults in whose turn it is.

use slipway_scheduler::command::{Grant, Trust};
use slipway_scheduler::state::{Instance, Phase};

use super::world::World;
use crate::sabotage::Sabotage;

/// The share that is skipped.
const SKIPPED: &str = "/o/a";

impl World {
    /// The grant, or another one for the same agent where the planted fault wants it.
    pub(crate) fn unfair(&self, grant: Grant) -> Grant {
        let state = &self.coordinator.state;
        let Some(chosen) = state.instance(grant.instance).filter(|instance| is_first(instance)) else {
            return grant;
        };
        let rather: Box<dyn Fn(&&Instance) -> bool> = match self.script.sabotage {
            Some(Sabotage::SkipShare) if chosen.line().share() == SKIPPED => {
                Box::new(|other| other.line().share() != SKIPPED)
            }
            Some(Sabotage::IgnoreAge) => Box::new(|other| other.line().priority() > chosen.line().priority()),
            _ => return grant,
        };
        let instances = state.runs().flat_map(|run| run.jobs()).flat_map(|job| state.instances_of(job));
        let fitting = instances.filter(|instance| {
            is_first(instance)
                && instance.labels().fits(&grant.agent.labels)
                && (instance.trust() == Trust::Trusted || grant.agent.accepts_untrusted)
        });
        let other = fitting.filter(rather).max_by_key(|other| other.line().priority()).map(Instance::id);
        Grant { instance: other.unwrap_or(grant.instance), ..grant }
    }
}

/// Whether it waits for its first attempt.
fn is_first(instance: &Instance) -> bool {
    *instance.phase() == Phase::Waiting { backoff: None }
}
