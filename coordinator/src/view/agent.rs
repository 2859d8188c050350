//! Agents.

use serde::Serialize;
use slipway_scheduler::LabelSet;

use crate::driver::View;

/// An agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AgentView {
    /// Its id.
    pub agent_id: String,
    /// What people call it.
    pub name: String,
    /// `X64` or `ARM64`.
    pub arch: String,
    /// What it offers, in lower case.
    pub labels: Vec<String>,
    /// How many jobs it runs at a time.
    pub slots: u32,
    /// How many more it would take now.
    pub free_slots: u32,
    /// Its processors and memory, where they count beside slots.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resources: Option<ResourcesView>,
    /// How many jobs it has.
    pub leases: u32,
    /// Whether it has a session.
    pub connected: bool,
    /// Whether it takes nothing new.
    pub draining: bool,
    /// Why it takes nothing new for now, by its own account, such as a disk that is nearly full.
    pub paused: Option<String>,
    /// Whether it runs code from outside too.
    pub accepts_untrusted: bool,
    /// Whether it has a credential of its own.
    pub enrolled: bool,
}

/// What an agent has, and what of it its jobs take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ResourcesView {
    /// Processors to share among jobs, in thousandths of one.
    pub cpu_millis: u64,
    /// Those that jobs take.
    pub used_cpu_millis: u64,
    /// Memory to share among jobs, in bytes.
    pub memory_bytes: u64,
    /// What jobs take of it.
    pub used_memory_bytes: u64,
}

/// The architecture that an agent of these labels has.
pub(crate) fn arch(labels: &LabelSet) -> &'static str {
    if labels.contains("arm64") { "ARM64" } else { "X64" }
}

/// All agents that are known, but for those that an admin removed.
#[must_use]
pub fn agents(view: View<'_>) -> Vec<AgentView> {
    let house = view.ledger.house();
    view.fleet
        .agents()
        .filter(|agent| !house.is_removed(agent.profile.id))
        .map(|agent| AgentView {
            agent_id: agent.profile.id.to_string(),
            name: agent.profile.name.clone(),
            arch: arch(&agent.profile.labels).to_owned(),
            labels: agent.profile.labels.iter().map(str::to_owned).collect(),
            slots: agent.profile.slots,
            free_slots: agent.free_slots,
            resources: agent.profile.sizing.as_ref().map(|sizing| ResourcesView {
                cpu_millis: sizing.total.cpu_millis,
                used_cpu_millis: agent.used.cpu_millis,
                memory_bytes: sizing.total.memory_bytes,
                used_memory_bytes: agent.used.memory_bytes,
            }),
            leases: agent.leases,
            connected: agent.connected,
            draining: agent.draining,
            paused: agent.paused.map(str::to_owned),
            accepts_untrusted: agent.profile.accepts_untrusted,
            enrolled: house.agent(agent.profile.id).is_some(),
        })
        .collect()
}
