//! What a look at the driver's state tells of pools and of agents that were asked for.

use std::collections::{BTreeMap, BTreeSet};

use slipway_scheduler::{AgentId, Timestamp};

use super::decide::{Counts, Seen};
use super::state::{Memory, Order};
use crate::driver::View;
use crate::view;

/// What is known of one pool with a scaler.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    /// None: it has no bounds.
    pub(super) counts: Option<Counts>,
    /// For drivers.
    pub(super) arch: String,
    pub(super) labels: Vec<String>,
    pub(super) memory: Memory,
    /// The agents that were asked for, with what is seen of each.
    pub(super) orders: Vec<(String, Order, Option<Seen>)>,
    /// Names that somebody has.
    pub(super) taken: BTreeSet<String>,
}

/// What is known of all of them.
#[derive(Debug, Clone, Default)]
pub(super) struct World {
    pub(super) now: Timestamp,
    /// By their names in lower case.
    pub(super) pools: BTreeMap<String, Pool>,
}

/// Looks at the pools of these names.
pub(super) fn look(view: View<'_>, names: &[String]) -> World {
    let scaling = view.ledger.scaling();
    let (staffed, _) = view::staffed(view);
    let connected: BTreeMap<&str, AgentId> = view
        .fleet
        .agents()
        .filter(|agent| agent.connected)
        .map(|agent| (agent.profile.name.as_str(), agent.profile.id))
        .collect();
    let mut world = World { now: view.now, pools: BTreeMap::new() };
    for name in names {
        let found = staffed.iter().find(|(pool, _)| pool.name.eq_ignore_ascii_case(name));
        let members: BTreeSet<AgentId> =
            found.map(|(_, members)| members.iter().copied().collect()).unwrap_or_default();
        let seen = |agent: &str, order: &Order| {
            let id = order.id.or_else(|| connected.get(agent).copied())?;
            let status = view.fleet.agent(id)?;
            Some(Seen {
                id,
                connected: status.connected,
                draining: status.draining,
                leases: status.leases,
                member: members.contains(&id),
            })
        };
        let orders: Vec<_> = scaling
            .orders_of(name)
            .map(|(agent, order)| (agent.to_owned(), order.clone(), seen(agent, order)))
            .collect();
        let ours: BTreeSet<AgentId> =
            orders.iter().filter_map(|(_, _, seen)| Some(seen.as_ref()?.id)).collect();
        let statuses =
            || members.iter().filter_map(|id| view.fleet.agent(*id)).filter(|agent| agent.connected);
        let counts = found.and_then(|(pool, _)| {
            Some(Counts {
                desired: pool.desired,
                min: pool.min?,
                max: pool.max?,
                ready: pool.ready,
                finishing: statuses().filter(|agent| agent.draining && agent.leases > 0).count() as u32,
                others: statuses().filter(|agent| !ours.contains(&agent.profile.id)).count() as u32,
            })
        });
        let taken = connected.keys().map(|taken| (*taken).to_owned());
        let taken = taken.chain(scaling.names().map(str::to_owned)).collect();
        let (arch, labels) =
            found.map(|(pool, _)| (pool.arch.clone(), pool.labels.clone())).unwrap_or_default();
        let memory = scaling.memory(name);
        world.pools.insert(name.clone(), Pool { counts, arch, labels, memory, orders, taken });
    }
    world
}
