//! Pools: the agents of one architecture and set of labels, what waits for them, and how many there should be.
//!
//! Every agent is in one pool: of those with a rule the one that asks for most of its labels, else that of its architecture. Every
//! waiting job counts for one pool: of those that can run it the one with fewest labels, so that what runs anywhere does not
//! call for special machines.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use slipway_scheduler::LabelSet;
use slipway_scheduler::fleet::AgentStatus;

use super::agent::arch;
use crate::driver::View;
use crate::house::PoolRule;

/// Labels that every agent has.
const COMMON: [&str; 2] = ["self-hosted", "linux"];

/// The architectures.
const ARCHITECTURES: [&str; 2] = ["X64", "ARM64"];

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoolView {
    /// Its name.
    pub name: String,
    /// `X64` or `ARM64`.
    pub arch: String,
    /// What its agents have beyond what all of the architecture have.
    pub labels: Vec<String>,
    /// Never fewer agents than these; none without a rule.
    pub min: Option<u32>,
    /// Never more than these; none without a rule.
    pub max: Option<u32>,
    /// Agents that take jobs.
    pub ready: u32,
    /// Agents that finish what they have.
    pub draining: u32,
    /// Agents without a session.
    pub gone: u32,
    /// Slots of the agents that take jobs.
    pub slots: u32,
    /// How many of all connected agents' slots have a job.
    pub busy: u32,
    /// Jobs that wait and would run here.
    pub queued: u64,
    /// How many agents there should be: enough slots for what runs and waits, within the rule.
    pub desired: u32,
}

/// All pools, and what waits for none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Pools {
    /// By architecture and name.
    pub pools: Vec<PoolView>,
    /// Jobs that wait for labels which no pool has.
    pub unplaced: u64,
}

/// A pool being counted.
struct Counted {
    view: PoolView,
    /// What it takes an agent to be in it.
    wants: LabelSet,
    /// What its agents offer; without any, what it says they would.
    offers: Vec<(LabelSet, bool)>,
}

impl Counted {
    fn new(name: &str, arch: &str, labels: &[String], rule: Option<&PoolRule>) -> Self {
        let wants = LabelSet::new(labels.iter().map(String::as_str).chain([arch]));
        let view = PoolView {
            name: name.to_owned(),
            arch: arch.to_owned(),
            labels: labels.to_vec(),
            min: rule.map(|rule| rule.min),
            max: rule.map(|rule| rule.max),
            ready: 0,
            draining: 0,
            gone: 0,
            slots: 0,
            busy: 0,
            queued: 0,
            desired: 0,
        };
        Self { view, wants, offers: Vec::new() }
    }

    fn count(&mut self, agent: &AgentStatus<'_>) {
        let view = &mut self.view;
        match (agent.connected, agent.draining) {
            (false, _) => view.gone += 1,
            (true, true) => view.draining += 1,
            (true, false) => {
                view.ready += 1;
                view.slots += agent.profile.slots;
            }
        }
        if agent.connected {
            view.busy += agent.leases;
        }
        let offer = (agent.profile.labels.clone(), agent.profile.accepts_untrusted);
        if !self.offers.contains(&offer) {
            self.offers.push(offer);
        }
    }

    fn can_run(&self, labels: &LabelSet, untrusted: bool) -> bool {
        if self.offers.is_empty() {
            // Nobody is there to ask: what its rule names, and the names that GitHub's own machines go by.
            return labels.iter().all(|label| {
                self.wants.contains(label)
                    || COMMON.contains(&label)
                    || hosted(label) == Some(self.view.arch.as_str())
            });
        }
        self.offers.iter().any(|(offered, accepts)| labels.fits(offered) && (*accepts || !untrusted))
    }

    fn finish(mut self) -> PoolView {
        let view = &mut self.view;
        let slots_each = view.slots.checked_div(view.ready).unwrap_or(1).max(1);
        let wanted = (u64::from(view.busy) + view.queued).div_ceil(u64::from(slots_each));
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        view.desired = wanted.max(view.min.unwrap_or(0)).min(view.max.unwrap_or(u32::MAX));
        self.view
    }
}

/// The architecture of GitHub's own Linux machines of this name.
fn hosted(label: &str) -> Option<&'static str> {
    let rest = label.strip_prefix("ubuntu-")?;
    Some(if rest.ends_with("-arm") { "ARM64" } else { "X64" })
}

/// All pools.
#[must_use]
pub fn pools(view: View<'_>) -> Pools {
    let house = view.ledger.house();
    let mut pools: Vec<Counted> =
        house.pools().map(|rule| Counted::new(&rule.name, &rule.arch, &rule.labels, Some(rule))).collect();
    let plain: BTreeSet<&str> =
        house.pools().filter(|rule| rule.labels.is_empty()).map(|rule| rule.arch.as_str()).collect();
    let unruled = ARCHITECTURES.iter().filter(|arch| !plain.contains(*arch));
    pools.extend(unruled.map(|arch| Counted::new(&arch.to_lowercase(), arch, &[], None)));
    for agent in view.fleet.agents() {
        if house.is_removed(agent.profile.id) {
            continue;
        }
        let fitting = pools.iter_mut().filter(|pool| {
            pool.view.arch == arch(&agent.profile.labels) && pool.wants.fits(&agent.profile.labels)
        });
        if let Some(pool) =
            fitting.max_by_key(|pool| (pool.wants.len(), std::cmp::Reverse(pool.view.name.clone())))
        {
            pool.count(&agent);
        }
    }
    let mut unplaced = 0;
    for (labels, trust, waiting) in view.state.queue_lengths() {
        let untrusted = trust == slipway_scheduler::command::Trust::Untrusted;
        let able = pools.iter_mut().filter(|pool| pool.can_run(labels, untrusted));
        match able.min_by_key(|pool| (pool.wants.len(), pool.offers.is_empty(), pool.view.name.clone())) {
            Some(pool) => pool.view.queued += waiting as u64,
            None => unplaced += waiting as u64,
        }
    }
    // Of pools without a rule only those that say something.
    let mut pools: BTreeMap<(String, String), PoolView> = pools
        .into_iter()
        .map(Counted::finish)
        .filter(|pool| pool.min.is_some() || pool.ready + pool.draining + pool.gone > 0 || pool.queued > 0)
        .map(|pool| ((pool.arch.clone(), pool.name.clone()), pool))
        .collect();
    Pools { pools: std::mem::take(&mut pools).into_values().collect(), unplaced }
}
