//! What nobody should ask for: each kind must be refused, with its own reason, and change nothing.

use slipway_cas::Digest;
use slipway_scheduler::command::{
    AgentView, Expansion, ExtendLease, FinishCall, Grant, LeaseRef, Report, Resolution, ResolveJob,
};
use slipway_scheduler::limits::{LEASE_MS_MAX, NAME_BYTES_MAX};
use slipway_scheduler::{
    AgentId, Command, FencingToken, InstanceId, JobId, LabelSet, Outcome, Rejection, RunId,
};

use super::world::World;
use crate::broken::Broken;
use crate::random::Random;

/// How many kinds of nonsense there are.
const KINDS: u64 = 14;

/// A command, and whether it is refused as it should be.
type Senseless = (Command, fn(&Rejection) -> bool);

impl World {
    /// Asks for something that must be refused.
    pub(crate) fn nonsense(&mut self, mut random: Random) -> Result<(), Broken> {
        let kind = random.below(KINDS);
        let Some((command, expected)) = self.senseless(kind, &mut random) else { return Ok(()) };
        match self.execute(command)? {
            Err(rejection) if expected(&rejection) => Ok(()),
            Err(rejection) => Err(Broken::FleetRefused(rejection)),
            Ok(_) => Err(Broken::Leftover),
        }
    }

    /// Before the first leader nobody gets anything.
    pub(crate) fn grant_without_leader(&mut self) -> Result<(), Broken> {
        let (id, labels) = (AgentId::from_u128(1), LabelSet::default());
        let agent = AgentView { id, labels, accepts_untrusted: true };
        let grant = Grant { agent, instance: InstanceId::from_u128(1) };
        match self.execute(Command::Grant(grant))? {
            Err(Rejection::NoLeader) => Ok(()),
            _ => Err(Broken::Leftover),
        }
    }

    /// A senseless command of a kind, and how it must be refused; `None`: the state has nothing to ask it of.
    fn senseless(&self, kind: u64, random: &mut Random) -> Option<Senseless> {
        let state = &self.coordinator.state;
        let run = state.runs().next()?;
        let stranger = RunId::from_u128(random.wide());
        let nobody = InstanceId::from_u128(random.wide());
        let token = FencingToken { epoch: state.epoch(), sequence: u64::MAX };
        let submit = |random: &mut Random| self.workload.submit(random, None);
        let resolve =
            |run, job, resolution| Command::ResolveJob(ResolveJob { run, job, cancelled: false, resolution });
        let skip = Resolution::Skip { reason: String::new() };
        let view = |id, labels: LabelSet| AgentView { id, labels, accepts_untrusted: true };
        let job = run.jobs().first()?;
        Some(match kind {
            0 => {
                let again = slipway_scheduler::command::Submit { run: run.id(), ..submit(random) };
                (Command::Submit(Box::new(again)), |it| matches!(it, Rejection::IdInUse { .. }))
            }
            1 => {
                let mut circle = submit(random);
                let first = circle.jobs.first_mut()?;
                first.needs = vec![first.id.clone()];
                (Command::Submit(Box::new(circle)), |it| matches!(it, Rejection::InvalidJobs(_)))
            }
            2 => {
                let mut wide = submit(random);
                wide.meta.repository = "x".repeat(NAME_BYTES_MAX * 64);
                (Command::Submit(Box::new(wide)), |it| matches!(it, Rejection::Limit { .. }))
            }
            3 => (Command::RetireRun { run: stranger }, |it| matches!(it, Rejection::UnknownRun { .. })),
            4 => {
                let open = state.runs().find(|run| run.end().is_none())?;
                (Command::RetireRun { run: open.id() }, |it| matches!(it, Rejection::NotFinished { .. }))
            }
            5 => {
                let cancel = slipway_scheduler::command::Cancel {
                    run: state.runs().find(|run| run.end().is_some())?.id(),
                    actor: String::new(),
                    reason: String::new(),
                };
                (Command::Cancel(cancel), |it| matches!(it, Rejection::AlreadyFinished { .. }))
            }
            6 => (resolve(run.id(), JobId::new("no such job"), skip), |it| {
                matches!(it, Rejection::UnknownJob { .. })
            }),
            7 => {
                let ready = state.runs().find_map(|run| {
                    let ready = |job: &&slipway_scheduler::state::Job| {
                        job.stage() == slipway_scheduler::state::Stage::Ready && !run.is_cancelled_for(job)
                    };
                    Some((run.id(), run.jobs().iter().find(ready)?.id().clone()))
                });
                let none = Expansion { instances: Vec::new(), fail_fast: false, max_parallel: None };
                let (run, job) = ready?;
                (resolve(run, job, Resolution::Instances(none)), |it| {
                    matches!(it, Rejection::InvalidInstances { .. })
                })
            }
            8 => {
                let finish =
                    FinishCall { run: run.id(), job: job.id().clone(), call: u32::MAX, outputs: Ok(None) };
                (Command::FinishCall(finish), |it| matches!(it, Rejection::NotDone { .. }))
            }
            9 => {
                let agent = view(AgentId::from_u128(9), LabelSet::new(["plan9"]));
                let waiting = state.runs().flat_map(|run| run.jobs()).flat_map(|job| state.instances_of(job));
                let mut waiting = waiting.filter(|instance| {
                    *instance.phase() == slipway_scheduler::state::Phase::Waiting { backoff: None }
                });
                let instance = waiting.next()?.id();
                (Command::Grant(Grant { agent, instance }), |it| matches!(it, Rejection::DoesNotFit { .. }))
            }
            10 => {
                let instance = state.leases().next()?.0.instance;
                let labels = LabelSet::new(["linux", "x64", "arm64", "gpu"]);
                let grant = Grant { agent: view(AgentId::from_u128(1), labels), instance };
                (Command::Grant(grant), |it| matches!(it, Rejection::NotWaiting { .. }))
            }
            11 => {
                let lease = state.leases().next()?.0;
                let extend = ExtendLease { lease, lease_ms: LEASE_MS_MAX + 1 };
                (Command::ExtendLease(extend), |it| matches!(it, Rejection::LeaseTime { .. }))
            }
            12 => {
                let lease = LeaseRef { instance: nobody, attempt: 1, token };
                let outcome = Outcome::Success { outputs: None };
                let digest = Some(Digest::of(b""));
                let report = Report { lease, outcome, records: 1, records_digest: digest };
                (Command::Report(report), |it| matches!(it, Rejection::UnknownInstance { .. }))
            }
            _ => {
                (Command::TakeOver { epoch: state.epoch() }, |it| matches!(it, Rejection::StaleEpoch { .. }))
            }
        })
    }
}
