//! All that the scheduler knows. Only [`State::apply`] changes it.
//!
//! Invariant: the state is a function of the events applied to it ([`crate::invariant`] says what always holds). What can
//! be derived (queues, counts) is derived from the instances, never kept as a second truth.
//! Deliberately absent: agents, sessions, heartbeats and lease deadlines. They are soft: see [`crate::fleet`].

mod call;
pub(crate) mod group;
mod instance;
mod label_index;
mod line;
pub(crate) mod queue;
mod run;
mod shelf;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

pub use call::{Call, CallPhase, Parent};
pub use instance::{Attempt, AttemptEnd, Backoff, Instance, Phase, Review};
pub use line::Line;
pub(crate) use queue::{Queues, is_over};
pub use run::{Cancelled, Job, Lineage, Run, RunEnd, Stage};
pub use snapshot::{FrozenState, SNAPSHOT_VERSION};

use crate::command::{AgentView, Command, Entrant, Gate, LeaseRef, Trust};
use crate::ids::{AgentId, FencingToken, InstanceId, RunId};
use crate::label::LabelSet;
use crate::time::Timestamp;
use shelf::Shelf;

/// The scheduler's state. Serialises as a snapshot, from which it comes back equal.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// The last token granted; its epoch is the current one.
    pub(crate) last_token: Option<FencingToken>,
    pub(crate) epoch: u64,
    pub(crate) next_order: u64,
    pub(crate) runs: Shelf<RunId, Run>,
    pub(crate) instances: Shelf<InstanceId, Instance>,
    pub(crate) deliveries: BTreeMap<String, RunId>,
    pub(crate) delivery_order: VecDeque<String>,
    // Derived from the above.
    pub(crate) queues: Queues,
    pub(crate) leased: BTreeSet<InstanceId>,
    /// What waits for its environment, by when time does something about it.
    pub(crate) gates: BTreeSet<(Timestamp, InstanceId)>,
    pub(crate) finished_runs: BTreeSet<(Timestamp, RunId)>,
    pub(crate) groups: group::Groups,
}

impl State {
    /// The state before the first event.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The current leader's epoch; 0 before the first.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The last token granted.
    #[must_use]
    pub fn last_token(&self) -> Option<FencingToken> {
        self.last_token
    }

    /// The run of this id, unless it is retired.
    #[must_use]
    pub fn run(&self, id: RunId) -> Option<&Run> {
        self.runs.get(&id)
    }

    /// All runs, in the order of their ids (by time, where these are UUIDs of version 7).
    pub fn runs(&self) -> impl DoubleEndedIterator<Item = &Run> {
        self.runs.values()
    }

    /// The instance of this id, unless its run is retired.
    #[must_use]
    pub fn instance(&self, id: InstanceId) -> Option<&Instance> {
        self.instances.get(&id)
    }

    /// How many instances there are, those included that are finished and whose runs are kept.
    #[must_use]
    pub fn instances_len(&self) -> usize {
        self.instances.len()
    }

    /// The instances of a run's job, in the matrix' order.
    pub fn instances_of<'a>(&'a self, job: &'a Job) -> impl Iterator<Item = &'a Instance> {
        job.instances.iter().filter_map(|id| self.instance(*id))
    }

    /// The job of an instance.
    #[must_use]
    pub fn job_of(&self, instance: &Instance) -> Option<&Job> {
        self.runs.get(&instance.run)?.jobs.get(instance.job as usize)
    }

    /// The run that holds this run's concurrency group (or a job of which does), and how many wait before it; `None` unless
    /// it waits.
    #[must_use]
    pub fn ahead_in_group(&self, run: &Run) -> Option<(Option<RunId>, usize)> {
        let order = run.waits.filter(|_| run.end.is_none() && !run.held)?;
        self.ahead(&run.group_key()?, order)
    }

    /// The run that holds a group, itself or by a job, and how many wait before this place.
    pub(crate) fn ahead(&self, key: &group::Key, order: u64) -> Option<(Option<RunId>, usize)> {
        let group = self.groups.get(key)?;
        let holder = group.holder.and_then(|holder| self.run_of(holder));
        Some((holder, group.waiting.range(..order).count()))
    }

    fn run_of(&self, member: group::Member) -> Option<RunId> {
        match member {
            group::Member::Run(run) | group::Member::Call(run, _) => Some(run),
            group::Member::Instance(instance) => Some(self.instance(instance)?.run),
        }
    }

    /// The next command that lets something enter its concurrency group, if anything is about to.
    #[must_use]
    pub fn next_entry(&self) -> Option<Command> {
        Some(Command::EnterGroup(match self.groups.next_entering()? {
            group::Member::Instance(instance) => Entrant::Instance(instance),
            group::Member::Call(run, at) => {
                let job = self.runs.get(&run)?.jobs.get(at.job as usize)?.id.clone();
                Entrant::Call { run, job, call: at.call }
            }
            group::Member::Run(_) => return None,
        }))
    }

    /// The run that this delivery made, while it is remembered.
    #[must_use]
    pub fn delivery(&self, idempotency_key: &str) -> Option<RunId> {
        self.deliveries.get(idempotency_key).copied()
    }

    /// Every live lease and the agent that has it.
    pub fn leases(&self) -> impl Iterator<Item = (LeaseRef, AgentId)> {
        self.leased.iter().filter_map(|id| self.instances.get(id)?.lease())
    }

    /// The instance of this lease, if it is live.
    #[must_use]
    pub fn leased(&self, lease: &LeaseRef) -> Option<&Instance> {
        let instance = self.instance(lease.instance)?;
        instance.lease().filter(|(live, _)| live == lease).map(|_| instance)
    }

    /// How many instances wait for an agent, those in back-off included.
    #[must_use]
    pub fn waiting_len(&self) -> usize {
        self.queues.len
    }

    /// How many instances are leased.
    #[must_use]
    pub fn leased_len(&self) -> usize {
        self.leased.len()
    }

    /// How many instances wait, for each set of labels and level of trust.
    pub fn queue_lengths(&self) -> impl Iterator<Item = (&LabelSet, Trust, usize)> {
        self.queues.by_key.iter().map(|(key, queue)| (&key.labels, key.trust, queue.len()))
    }

    /// What this agent could have now; of several, what has its turn first where nobody was served before. A fleet
    /// remembers who was: see [`crate::Fleet::next_grant`].
    #[must_use]
    pub fn work_for(&self, agent: &AgentView, now: Timestamp) -> Option<InstanceId> {
        if self.epoch == 0 {
            return None;
        }
        Some(self.queues.first_for(agent, now)?.instance)
    }

    /// When the next back-off ends, also if it is over already: look for agents then.
    #[must_use]
    pub fn next_retry(&self) -> Option<Timestamp> {
        self.queues.next_retry()
    }

    /// When time next does something about an environment's gate, also if it is over already.
    #[must_use]
    pub fn next_gate(&self) -> Option<Timestamp> {
        self.gates.first().map(|(at, _)| *at)
    }

    /// What waits for an environment whose time has come, to be decided with [`Command::PassGate`]. A clock that was put back
    /// makes it later, never earlier.
    pub fn due_gates(&self, now: Timestamp) -> impl Iterator<Item = InstanceId> + '_ {
        self.gates.iter().take_while(move |(at, _)| *at <= now).map(|(_, instance)| *instance)
    }

    /// How many instances wait for what their environment asks.
    #[must_use]
    pub fn gated_len(&self) -> usize {
        self.gates.len()
    }

    /// The instances of a run that wait for somebody to decide, with their gates.
    pub fn awaiting_review(&self, run: RunId) -> impl Iterator<Item = (&Instance, &Gate)> {
        let jobs = self.run(run).into_iter().flat_map(|run| run.jobs());
        let instances = jobs.flat_map(|job| self.instances_of(job));
        instances.filter_map(|instance| Some((instance, instance.awaits_review()?)))
    }

    /// The finished runs above this number, oldest first: to be retired.
    pub fn retirable(&self, keep: usize) -> impl Iterator<Item = RunId> + '_ {
        let surplus = self.finished_runs.len().saturating_sub(keep);
        self.finished_runs.iter().take(surplus).map(|(_, run)| *run)
    }
}
