//! What to do about a pool: a pure function from what is known to what is done, without a clock.
//!
//! Invariants, held by `decide_tests.rs`: what is asked for, is on its way, is there or goes is together never more than the pool's
//! maximum; nobody is let go below its minimum; only agents that are idle and have been there for a while are let go, and the
//! driver stops an agent only when it has no job; deciding twice about the same asks nothing twice.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use slipway_scheduler::{AgentId, Timestamp};

use super::limits::{AWAY_MS, JUST_ARRIVED_MS, SETTLE_MS, STOP_TRIES_MAX};
use super::state::{Memory, Order, Phase};

/// What of a pool's settings decisions depend on; times in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) cooldown_ms: u64,
    pub(super) quiet_ms: u64,
    pub(super) at_once: u32,
    pub(super) start_ms: u64,
}

/// A pool as it is counted for people, as far as it matters here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// How many agents there should be, within the bounds.
    pub(super) desired: u32,
    pub(super) min: u32,
    pub(super) max: u32,
    /// Agents that take jobs.
    pub(super) ready: u32,
    /// Agents that take no more and have jobs: what these run was counted for `desired`.
    pub(super) finishing: u32,
    /// Agents of the pool with a session that nobody asked for here.
    pub(super) others: u32,
}

/// What is seen of an agent that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) id: AgentId,
    pub(super) connected: bool,
    pub(super) draining: bool,
    pub(super) leases: u32,
    /// Whether the agent counts for the pool that it was asked for.
    pub(super) member: bool,
}

/// The driver's part in stopping an agent, which is remembered by this process alone: another tells the driver again.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stop {
    /// The driver said that it is done.
    pub(super) done: bool,
    /// How often it was told.
    pub(super) tries: u32,
    /// Before when it is not told again.
    pub(super) not_before: Timestamp,
    /// Why the last time did not do.
    pub(super) failure: Option<String>,
}

/// An agent that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Machine {
    pub(super) name: String,
    pub(super) order: Order,
    /// What is seen of it, if it ever had a session with this leader.
    pub(super) seen: Option<Seen>,
    /// When this leader last saw it connected; when it began to lead, if it never did.
    pub(super) seen_at: Timestamp,
    /// Whether a call of the driver about it is under way.
    pub(super) calling: bool,
    pub(super) stop: Stop,
}

impl Machine {
    fn connected(&self) -> Option<Seen> {
        self.seen.filter(|seen| seen.connected)
    }

    /// It was asked for and may still come.
    fn on_its_way(&self) -> bool {
        matches!(self.order.phase, Phase::Asked | Phase::Started)
    }
}

/// All that a decision depends on.
#[derive(Debug, Clone)]
pub(super) struct Input {
    pub(super) now: Timestamp,
    /// When this leader began.
    pub(super) leads_since: Timestamp,
    pub(super) terms: Terms,
    /// The pool; none: it has no bounds, and nothing is asked for.
    pub(super) counts: Option<Counts>,
    pub(super) memory: Memory,
    pub(super) machines: Vec<Machine>,
    /// Since when there are more agents than there should be.
    pub(super) surplus_since: Option<Timestamp>,
    pub(super) names: Names,
}

/// The names that agents can be asked for under.
#[derive(Debug, Clone)]
pub(super) struct Names {
    /// All there are, in order; none: any number of them, after the pool.
    pub(super) listed: Option<Vec<String>>,
    /// What those that are not listed begin with.
    pub(super) prefix: String,
    /// Names that somebody has.
    pub(super) taken: BTreeSet<String>,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    /// Ask for an agent of this name.
    Ask { agent: String, number: u64 },
    /// Tell the driver to start it.
    CallUp { agent: String },
    /// It is there.
    Came { agent: String, id: AgentId, stray: bool },
    /// Let it take nothing new.
    Drain { agent: String, failure: Option<String> },
    /// Let it take jobs again.
    Resume { agent: String },
    /// It is to be stopped.
    Stop { agent: String, failure: Option<String> },
    /// Tell the driver to stop it.
    CallDown { agent: String },
    /// Forget it.
    Forget { agent: String, failure: Option<String> },
}

/// What is to be done now.
pub(super) fn decide(input: &Input) -> Vec<Action> {
    let mut actions: Vec<Action> =
        input.machines.iter().filter_map(|machine| follow(input, machine)).collect();
    let (Some(counts), true) = (&input.counts, is_settled(input)) else { return actions };
    let have = have(input, counts);
    if counts.desired > have {
        grow(input, counts, counts.desired - have, &mut actions);
    } else if has_surplus(input) {
        shrink(input, counts, &mut actions);
    }
    actions
}

/// Whether agents of the time before this leader had their time to come back.
fn is_settled(input: &Input) -> bool {
    input.now >= input.leads_since.after(SETTLE_MS)
}

/// Whether more agents are there than there should be: when that is so for long enough, some are let go.
pub(super) fn has_surplus(input: &Input) -> bool {
    input.counts.is_some_and(|counts| surplus(&counts) > 0)
}

fn surplus(counts: &Counts) -> u32 {
    let surplus = counts.ready.saturating_add(counts.finishing).saturating_sub(counts.desired);
    surplus.min(counts.ready.saturating_sub(counts.min))
}

/// Agents that are there, and those that may be expected.
fn have(input: &Input, counts: &Counts) -> u32 {
    let expected = input.machines.iter().filter(|machine| match machine.order.phase {
        Phase::Asked | Phase::Started => !is_late(input, machine),
        // Its connection was lost a moment ago.
        Phase::There => machine.connected().is_none() && input.now < machine.seen_at.after(SETTLE_MS),
        Phase::Draining | Phase::Stopping => false,
    });
    // One that came and is not noted yet is among those that are ready.
    let expected = expected.filter(|machine| machine.connected().is_none_or(|seen| !seen.member));
    counts.ready.saturating_add(counts.finishing).saturating_add(expected.count() as u32)
}

fn is_late(input: &Input, machine: &Machine) -> bool {
    input.now >= machine.order.asked_at.after(input.terms.start_ms)
}

/// The next thing on the way of one agent, whatever the pool needs.
fn follow(input: &Input, machine: &Machine) -> Option<Action> {
    let agent = machine.name.clone();
    let away = machine.connected().is_none() && input.now >= machine.seen_at.after(AWAY_MS);
    match machine.order.phase {
        Phase::Asked | Phase::Started => match machine.connected() {
            Some(seen) => Some(Action::Came { agent, id: seen.id, stray: !seen.member }),
            None if machine.calling => None,
            // A leader before this one may have told the driver: then it comes by itself, and nobody need be told
            // again. Nor was it late while nobody led.
            None if machine.order.asked_at < input.leads_since && !is_settled(input) => None,
            None if is_late(input, machine) => {
                let seconds = input.terms.start_ms / 1_000;
                let failure = Some(format!("it did not come within {seconds} s"));
                Some(Action::Stop { agent, failure })
            }
            None if machine.order.phase == Phase::Asked => Some(Action::CallUp { agent }),
            None => None,
        },
        Phase::There if away => {
            let failure = Some(format!("it was away for {} s", AWAY_MS / 1_000));
            Some(Action::Stop { agent, failure })
        }
        Phase::There => machine.connected().filter(|seen| !seen.member).map(|_| {
            let failure = Some("it came without the pool's labels or architecture".to_owned());
            Action::Drain { agent, failure }
        }),
        Phase::Draining => match machine.connected() {
            Some(seen) if seen.leases == 0 => Some(Action::Stop { agent, failure: None }),
            Some(_) => None,
            None => away.then_some(Action::Stop { agent, failure: None }),
        },
        Phase::Stopping => stop(input, machine),
    }
}

fn stop(input: &Input, machine: &Machine) -> Option<Action> {
    let agent = machine.name.clone();
    if machine.calling {
        return None;
    }
    if machine.stop.done && machine.connected().is_none() {
        return Some(Action::Forget { agent, failure: None });
    }
    if input.now < machine.stop.not_before {
        return None;
    }
    if machine.stop.tries >= STOP_TRIES_MAX {
        let why = machine.stop.failure.as_deref().unwrap_or("it stays connected");
        return Some(Action::Forget { agent, failure: Some(format!("it could not be stopped: {why}")) });
    }
    Some(Action::CallDown { agent })
}

/// Asks for agents, after those that are just being let go.
fn grow(input: &Input, counts: &Counts, mut needed: u32, actions: &mut Vec<Action>) {
    let draining = input.machines.iter().filter(|machine| machine.order.phase == Phase::Draining);
    for machine in draining.filter(|machine| !machine.order.failed) {
        let Some(seen) = machine.connected() else { continue };
        // Of idle ones this takes back what was said of them.
        actions.retain(|action| !matches!(action, Action::Stop { agent, .. } if *agent == machine.name));
        actions.push(Action::Resume { agent: machine.name.clone() });
        // One that has jobs was counted before.
        needed = needed.saturating_sub(u32::from(seen.leases == 0));
        if needed == 0 {
            return;
        }
    }
    if input.now < not_before(input) {
        return;
    }
    let known = counts.others.saturating_add(input.machines.len() as u32);
    let on_their_way = input.machines.iter().filter(|machine| machine.on_its_way()).count() as u32;
    let room = counts.max.saturating_sub(known).min(input.terms.at_once.saturating_sub(on_their_way));
    let names = input.names.next(input.memory.number, needed.min(room) as usize);
    actions.extend(names.into_iter().map(|(agent, number)| Action::Ask { agent, number }));
}

/// Before when nothing is asked for, after what was done last.
pub(super) fn not_before(input: &Input) -> Timestamp {
    let cooled = match input.memory.acted_at {
        Timestamp(0) => Timestamp(0),
        acted_at => acted_at.after(input.terms.cooldown_ms),
    };
    cooled.max(input.memory.next_try())
}

/// Lets agents go that are idle, the youngest first: the caches of the others are warm.
fn shrink(input: &Input, counts: &Counts, actions: &mut Vec<Action>) {
    let quiet = input.surplus_since.is_some_and(|since| input.now >= since.after(input.terms.quiet_ms));
    let cooled = input.now >= input.memory.acted_at.after(input.terms.cooldown_ms);
    if !quiet || !cooled {
        return;
    }
    let mut idle: Vec<&Machine> = input.machines.iter().filter(|machine| may_go(input, machine)).collect();
    idle.sort_by_key(|machine| (Reverse(machine.order.came_at), Reverse(machine.name.clone())));
    let chosen = idle.into_iter().take(surplus(counts) as usize);
    actions.extend(chosen.map(|machine| Action::Drain { agent: machine.name.clone(), failure: None }));
}

fn may_go(input: &Input, machine: &Machine) -> bool {
    let idle = machine.connected().is_some_and(|seen| seen.member && !seen.draining && seen.leases == 0);
    let came_at = machine.order.came_at.unwrap_or(input.now);
    idle && machine.order.phase == Phase::There && input.now >= came_at.after(JUST_ARRIVED_MS)
}

impl Names {
    /// The next names that nobody has, with their places. Those that are listed take turns, so that one which never comes
    /// does not keep the others from being tried.
    fn next(&self, last: u64, most: usize) -> Vec<(String, u64)> {
        match &self.listed {
            Some(listed) => {
                let count = listed.len() as u64;
                let places = (0..count).map(|step| (last + step) % count.max(1) + 1);
                let named = places
                    .filter_map(|place| Some((listed.get(usize::try_from(place - 1).ok()?)?.clone(), place)));
                named.filter(|(name, _)| !self.taken.contains(name)).take(most).collect()
            }
            None => {
                let named =
                    (last.saturating_add(1)..).map(|place| (format!("{}-{place}", self.prefix), place));
                named.filter(|(name, _)| !self.taken.contains(name)).take(most).collect()
            }
        }
    }

    /// Whether all that are listed are taken.
    pub(super) fn is_exhausted(&self) -> bool {
        self.listed.as_ref().is_some_and(|listed| listed.iter().all(|name| self.taken.contains(name)))
    }
}

#[cfg(test)]
#[path = "decide_tests.rs"]
mod tests;
