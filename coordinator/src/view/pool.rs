//! Pools: the agents of one architecture and set of labels, what waits for them, and how many there should be.
//!
//! Every agent is in one pool: of those with a rule the one that asks for most of its labels, else that of its architecture. Every
//! waiting job counts for one pool: of those that can run it the one with fewest labels, so that what runs anywhere does not
//! call for special machines.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use slipway_scheduler::fleet::{AgentProfile, AgentStatus};
use slipway_scheduler::{AgentId, LabelSet};

use super::agent::arch;
use crate::driver::View;
use crate::house::PoolRule;
use crate::scaler::ScalerView;

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
    /// Agents that finish what they have, or take nothing new for now.
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
    /// In how many milliseconds the last of the jobs that wait is expected to begin, from how long such jobs took lately; none:
    /// nothing is known, or no agent takes jobs.
    pub predicted_wait_ms: Option<u64>,
    /// What its scaler does; none: it has none, or this coordinator does not lead.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scaler: Option<ScalerView>,
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
    /// Those of its agents that count processors and memory.
    sized: Vec<AgentProfile>,
    /// How many slots' worth is taken, and how many waits: a large job stands for several.
    slots_taken: (u64, u64),
    /// Its agents.
    members: Vec<AgentId>,
    /// How long the work takes that waits and of which that is known, in milliseconds, and how many jobs that is.
    known_work: (u64, u64),
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
            predicted_wait_ms: None,
            scaler: None,
        };
        Self {
            view,
            wants,
            offers: Vec::new(),
            sized: Vec::new(),
            slots_taken: (0, 0),
            members: Vec::new(),
            known_work: (0, 0),
        }
    }

    fn count(&mut self, agent: &AgentStatus<'_>) {
        self.members.push(agent.profile.id);
        let view = &mut self.view;
        match (agent.connected, agent.draining || agent.paused.is_some()) {
            (false, _) => view.gone += 1,
            (true, true) => view.draining += 1,
            (true, false) => {
                view.ready += 1;
                view.slots += agent.profile.slots;
            }
        }
        if agent.connected {
            view.busy += agent.leases;
            self.slots_taken.0 += u64::from(agent.slots_taken());
        }
        let offer = (agent.profile.labels.clone(), agent.profile.accepts_untrusted);
        if !self.offers.contains(&offer) {
            self.offers.push(offer);
        }
        let same = |other: &&AgentProfile| {
            (other.slots, &other.sizing) == (agent.profile.slots, &agent.profile.sizing)
        };
        if agent.profile.sizing.is_some() && !self.sized.iter().any(|other| same(&other)) {
            self.sized.push(agent.profile.clone());
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

    fn wait(&mut self, labels: &LabelSet, waiting: u64, usual_ms: Option<u64>) {
        self.view.queued += waiting;
        let worth = self.sized.iter().map(|agent| agent.slots_worth(labels)).max().unwrap_or(1);
        self.slots_taken.1 = self.slots_taken.1.saturating_add(waiting.saturating_mul(worth.into()));
        if let Some(usual_ms) = usual_ms {
            self.known_work.0 = self.known_work.0.saturating_add(usual_ms.saturating_mul(waiting));
            self.known_work.1 += waiting;
        }
    }

    /// Each slot is free again once in the time that a job takes. Jobs of which that is not known are thought to take as long as
    /// the others.
    fn predicted_wait_ms(&self) -> Option<u64> {
        if self.view.queued == 0 {
            return Some(0);
        }
        let (work_ms, jobs) = self.known_work;
        let work_ms = work_ms.checked_div(jobs)?.saturating_mul(self.view.queued);
        work_ms.checked_div(self.view.slots.into())
    }

    fn finish(mut self) -> (PoolView, Vec<AgentId>) {
        self.view.predicted_wait_ms = self.predicted_wait_ms();
        let view = &mut self.view;
        let slots_each = view.slots.checked_div(view.ready).unwrap_or(1).max(1);
        let (taken, waiting) = self.slots_taken;
        let wanted = taken.saturating_add(waiting).div_ceil(u64::from(slots_each));
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        view.desired = wanted.max(view.min.unwrap_or(0)).min(view.max.unwrap_or(u32::MAX));
        (self.view, self.members)
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
    let (pools, unplaced) = staffed(view);
    Pools { pools: pools.into_iter().map(|(pool, _)| pool).collect(), unplaced }
}

/// All pools, each with its agents, and how many jobs wait for labels which no pool has.
pub(crate) fn staffed(view: View<'_>) -> (Vec<(PoolView, Vec<AgentId>)>, u64) {
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
            Some(pool) => pool.wait(labels, waiting as u64, view.fleet.usual_duration_ms(labels)),
            None => unplaced += waiting as u64,
        }
    }
    // Of pools without a rule only those that say something.
    let pools: BTreeMap<(String, String), (PoolView, Vec<AgentId>)> = pools
        .into_iter()
        .map(Counted::finish)
        .filter(|(pool, _)| {
            pool.min.is_some() || pool.ready + pool.draining + pool.gone > 0 || pool.queued > 0
        })
        .map(|pool| ((pool.0.arch.clone(), pool.0.name.clone()), pool))
        .collect();
    (pools.into_values().collect(), unplaced)
}
