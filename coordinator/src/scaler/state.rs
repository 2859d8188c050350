//! What the scaler asked for and what became of it, from the journal: so that nothing is started twice, whatever restarts.
//!
//! An agent that is asked for has a name, and the name is all that links the machine to the order: the driver is told it, and
//! the agent that comes calls itself so. The way of each: asked → started (the driver said so) → there → draining → stopping →
//! forgotten; one that does not come is stopping at once. Invariant: like the rest of the ledger it is a function of the
//! journal; [`Scaling::apply`] cannot fail, and only what [`Scaling::admits`] is journaled.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use slipway_scheduler::{AgentId, Timestamp};

use super::limits::{ORDERS_MAX, RETRY_FIRST_MS, RETRY_MAX_MS, WHY_MAX_CHARS};

/// Something that the scaler decided or saw, as the journal has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ScaleEvent {
    /// A pool is to have another agent.
    Asked {
        /// What the agent will call itself.
        agent: String,
        /// The pool's name in lower case.
        pool: String,
        /// The place of the name among those that the pool's driver can give.
        number: u64,
        /// When.
        at: Timestamp,
    },
    /// The driver says that it is on its way.
    Started {
        /// Which.
        agent: String,
        /// When.
        at: Timestamp,
    },
    /// It has a session.
    Came {
        /// Which.
        agent: String,
        /// Its id.
        id: AgentId,
        /// Whether it is none of the pool's: then it is no proof that agents come.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        stray: bool,
        /// When.
        at: Timestamp,
    },
    /// It takes no more jobs and is to go.
    Draining {
        /// Which.
        agent: String,
        /// Why it is no use; none: it is not needed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// It is needed after all.
    Resumed {
        /// Which.
        agent: String,
        /// When.
        at: Timestamp,
    },
    /// It has no job, and the driver is told to stop it.
    Stopping {
        /// Which.
        agent: String,
        /// What went wrong with it, if that is why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
        /// When.
        at: Timestamp,
    },
    /// It is gone, or given up.
    Stopped {
        /// Which.
        agent: String,
        /// Why nobody knows whether it is gone.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        failure: Option<String>,
        /// When.
        at: Timestamp,
    },
}

impl ScaleEvent {
    /// The agent's name.
    #[must_use]
    pub fn agent(&self) -> &str {
        match self {
            Self::Asked { agent, .. }
            | Self::Started { agent, .. }
            | Self::Came { agent, .. }
            | Self::Draining { agent, .. }
            | Self::Resumed { agent, .. }
            | Self::Stopping { agent, .. }
            | Self::Stopped { agent, .. } => agent,
        }
    }

    /// What went wrong, if something did.
    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Draining { failure, .. }
            | Self::Stopping { failure, .. }
            | Self::Stopped { failure, .. } => failure.as_deref(),
            Self::Asked { .. } | Self::Started { .. } | Self::Came { .. } | Self::Resumed { .. } => None,
        }
    }

    /// The action's name in the audit trail.
    pub(crate) fn action(&self) -> &'static str {
        match self {
            Self::Asked { .. } => "scaler.ask",
            Self::Started { .. } => "scaler.started",
            Self::Came { .. } => "scaler.came",
            Self::Draining { .. } => "scaler.drain",
            Self::Resumed { .. } => "scaler.resume",
            Self::Stopping { .. } => "scaler.stop",
            Self::Stopped { .. } => "scaler.stopped",
        }
    }
}

/// Where an agent that was asked for is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The driver is to be told, or was, and has not answered.
    Asked,
    /// The driver says that it is on its way.
    Started,
    /// It was seen.
    There,
    /// It finishes what it has.
    Draining,
    /// The driver is to stop it.
    Stopping,
}

/// An agent that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The pool's name in lower case.
    pub pool: String,
    /// When it was asked for.
    pub asked_at: Timestamp,
    /// Where it is.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// The agent's id, once it came.
    pub id: Option<AgentId>,
    /// When it came.
    pub came_at: Option<Timestamp>,
    /// Whether it goes because something was wrong with it.
    pub failed: bool,
}

/// What is remembered of a pool whatever becomes of its agents.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// The place of the last name that was given.
    pub number: u64,
    /// When agents were last asked for or let go.
    pub acted_at: Timestamp,
    /// How many failed since the last one came.
    pub failures: u32,
    /// When the last one failed.
    pub failed_at: Timestamp,
    /// Which, and why.
    pub failure: Option<(String, String)>,
}

impl Memory {
    /// Before when nothing is asked for, because what was asked for failed.
    #[must_use]
    pub fn next_try(&self) -> Timestamp {
        match self.failures {
            0 => Timestamp(0),
            failures => self.failed_at.after(waits_ms(failures)),
        }
    }
}

/// How long is waited after so many failures in a row, in milliseconds.
pub(super) fn waits_ms(failures: u32) -> u64 {
    let doublings = failures.saturating_sub(1).min(20);
    RETRY_FIRST_MS.saturating_mul(1 << doublings).min(RETRY_MAX_MS)
}

/// All that was asked for and is not forgotten.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Scaling {
    /// By the agents' names.
    orders: BTreeMap<String, Order>,
    /// By the pools' names in lower case.
    pools: BTreeMap<String, Memory>,
}

impl Scaling {
    /// Whether this can be so after all that was before.
    #[must_use]
    pub fn admits(&self, event: &ScaleEvent) -> bool {
        use Phase::{Asked, Draining, Started, Stopping, There};
        let phase = self.orders.get(event.agent()).map(|order| order.phase);
        match event {
            ScaleEvent::Asked { .. } => phase.is_none() && self.orders.len() < ORDERS_MAX,
            ScaleEvent::Started { .. } => phase == Some(Asked),
            ScaleEvent::Came { .. } => matches!(phase, Some(Asked | Started)),
            ScaleEvent::Draining { .. } => phase == Some(There),
            ScaleEvent::Resumed { .. } => phase == Some(Draining),
            ScaleEvent::Stopping { .. } => matches!(phase, Some(Asked | Started | There | Draining)),
            ScaleEvent::Stopped { .. } => phase == Some(Stopping),
        }
    }

    /// Takes note of an entry of the journal.
    pub fn apply(&mut self, event: &ScaleEvent) {
        if let ScaleEvent::Asked { agent, pool, number, at } = event {
            let order = Order {
                pool: pool.clone(),
                asked_at: *at,
                phase: Phase::Asked,
                since: *at,
                id: None,
                came_at: None,
                failed: false,
            };
            self.orders.insert(agent.clone(), order);
            let memory = self.pools.entry(pool.clone()).or_default();
            (memory.number, memory.acted_at) = (*number, *at);
            return;
        }
        let Some(order) = self.orders.get_mut(event.agent()) else { return };
        let memory = self.pools.entry(order.pool.clone()).or_default();
        let (phase, at) = match event {
            ScaleEvent::Asked { at, .. } => (Phase::Asked, at),
            ScaleEvent::Started { at, .. } => (Phase::Started, at),
            ScaleEvent::Came { id, stray, at, .. } => {
                (order.id, order.came_at) = (Some(*id), Some(*at));
                if !stray {
                    (memory.failures, memory.failure) = (0, None);
                }
                (Phase::There, at)
            }
            ScaleEvent::Draining { at, .. } => {
                memory.acted_at = *at;
                (Phase::Draining, at)
            }
            ScaleEvent::Resumed { at, .. } => (Phase::There, at),
            ScaleEvent::Stopping { at, .. } | ScaleEvent::Stopped { at, .. } => (Phase::Stopping, at),
        };
        (order.phase, order.since) = (phase, *at);
        if let Some(why) = event.failure() {
            order.failed = true;
            memory.failures = memory.failures.saturating_add(1);
            memory.failed_at = *at;
            let why = why.chars().take(WHY_MAX_CHARS).collect();
            memory.failure = Some((event.agent().to_owned(), why));
        }
        if let ScaleEvent::Stopped { .. } = event {
            self.orders.remove(event.agent());
        }
    }

    /// The agents of a pool that were asked for, by name.
    pub fn orders_of<'a>(&'a self, pool: &'a str) -> impl Iterator<Item = (&'a str, &'a Order)> {
        self.orders
            .iter()
            .filter(move |(_, order)| order.pool == pool)
            .map(|(name, order)| (name.as_str(), order))
    }

    /// The names of all agents that were asked for.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.orders.keys().map(String::as_str)
    }

    /// What was asked for under this name.
    #[must_use]
    pub fn order(&self, agent: &str) -> Option<&Order> {
        self.orders.get(agent)
    }

    /// What is remembered of a pool.
    #[must_use]
    pub fn memory(&self, pool: &str) -> Memory {
        self.pools.get(pool).cloned().unwrap_or_default()
    }

    /// Whether the driver is stopping the agent of this name: it gets no job any more.
    #[must_use]
    pub fn is_stopping(&self, agent: &str) -> bool {
        self.orders.get(agent).is_some_and(|order| order.phase == Phase::Stopping)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn scaling(events: &[ScaleEvent]) -> Scaling {
        let mut scaling = Scaling::default();
        for event in events {
            assert!(scaling.admits(event), "{event:?}");
            scaling.apply(event);
        }
        scaling
    }

    fn asked(agent: &str, at: u64) -> ScaleEvent {
        ScaleEvent::Asked { agent: agent.into(), pool: "x64".into(), number: 1, at: Timestamp(at) }
    }

    fn stopping(agent: &str, failure: Option<&str>, at: u64) -> ScaleEvent {
        let failure = failure.map(str::to_owned);
        ScaleEvent::Stopping { agent: agent.into(), failure, at: Timestamp(at) }
    }

    fn stopped(agent: &str) -> ScaleEvent {
        ScaleEvent::Stopped { agent: agent.into(), failure: None, at: Timestamp(9) }
    }

    #[test]
    fn an_agent_is_asked_for_once_until_it_is_gone() {
        let scaling = scaling(&[asked("a", 1)]);
        assert!(!scaling.admits(&asked("a", 2)));
        assert!(!scaling.admits(&stopped("a")), "nobody told the driver to stop it");
        assert!(!scaling.admits(&stopping("b", None, 2)));
        let mut gone = scaling.clone();
        for event in [stopping("a", None, 2), stopped("a")] {
            assert!(gone.admits(&event));
            gone.apply(&event);
        }
        assert!(gone.admits(&asked("a", 3)));
        assert_eq!(gone.orders_of("x64").count(), 0);
    }

    #[test]
    fn failures_make_the_next_try_later_until_one_comes() {
        let why = "it did not come";
        let failed = |at| [asked("a", at), stopping("a", Some(why), at), stopped("a")];
        let mut events: Vec<_> = failed(10).into();
        let after_one = scaling(&events).memory("x64");
        assert_eq!(after_one.next_try(), Timestamp(10 + RETRY_FIRST_MS));
        assert_eq!(after_one.failure, Some(("a".into(), why.into())));
        events.extend(failed(20));
        assert_eq!(scaling(&events).memory("x64").next_try(), Timestamp(20 + 2 * RETRY_FIRST_MS));
        let id = AgentId::from_u128(1);
        events.extend([
            asked("b", 30),
            ScaleEvent::Came { agent: "b".into(), id, stray: false, at: Timestamp(31) },
        ]);
        let after_all = scaling(&events).memory("x64");
        assert_eq!((after_all.next_try(), after_all.failure), (Timestamp(0), None));
        assert_eq!(waits_ms(u32::MAX), RETRY_MAX_MS);
    }

    #[test]
    fn it_comes_back_from_a_snapshot_as_it_was() {
        let scaling = scaling(&[asked("a", 1), ScaleEvent::Started { agent: "a".into(), at: Timestamp(2) }]);
        let text = serde_json::to_string(&scaling).unwrap();
        assert_eq!(serde_json::from_str::<Scaling>(&text).unwrap(), scaling);
    }
}
