//! Why something waits, for people: `show`, the pages, and the private fleet of `slipway run`, which ends at once when no
//! agent will ever fit.

mod words;

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::command::{Concurrency, Trust};
use crate::fleet::{AgentProfile, Fleet, Resources};
use crate::ids::{InstanceId, JobId, RunId};
use crate::label::LabelSet;
use crate::outcome::{FleetCause, Outcome};
use crate::state::{CallPhase, Instance, Job, Phase, Run, Stage, State, is_over};
use crate::time::Timestamp;

use words::{Argument, Clock, Gibibytes, Moment, Processors, Span, kind};
pub use words::{GaveUp, gate_refusal, gave_up};

/// Why a job or an instance is not running.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum WaitReason {
    /// Jobs that it needs are not done.
    Needs {
        /// Which.
        jobs: Vec<JobId>,
    },
    /// Its run waits for its concurrency group.
    ConcurrencyGroup {
        /// The group.
        group: String,
        /// The run that holds it.
        holder: Option<RunId>,
        /// How many runs wait before it.
        ahead: usize,
    },
    /// It waits for its own concurrency group, or the call that it belongs to waits for one.
    JobGroup {
        /// The group.
        group: String,
        /// The run that holds it, itself or by a job.
        holder: Option<RunId>,
        /// How many wait before it.
        ahead: usize,
    },
    /// Its environment lets one deployment at a time in, and it is another one's turn.
    Turn {
        /// The environment.
        environment: String,
        /// The run whose turn it is.
        holder: Option<RunId>,
        /// How many wait before it.
        ahead: usize,
    },
    /// Its environment asks for somebody's approval.
    Approval {
        /// The environment.
        environment: String,
        /// Who may approve; empty: everybody.
        #[serde(default)]
        reviewers: Vec<String>,
        /// The run, which the approval names.
        run: RunId,
        /// When it fails if nobody does.
        until: Timestamp,
    },
    /// Its environment has a wait timer.
    WaitTimer {
        /// The environment.
        environment: String,
        /// When the timer ends.
        until: Timestamp,
    },
    /// It is being planned.
    Planning,
    /// As many of its matrix as `max-parallel` allows run or wait before it.
    MaxParallel {
        /// The limit.
        limit: u32,
    },
    /// The fleet failed; the next attempt waits.
    Backoff {
        /// Until when.
        until: Timestamp,
        /// What failed.
        cause: Option<FleetCause>,
    },
    /// No agent has a session at all.
    NoAgents,
    /// No agent has all its labels.
    NoAgentWithLabels {
        /// What the agent that comes closest lacks.
        missing: Vec<String>,
    },
    /// Agents with its labels are there, but none accepts a run from outside.
    NoAgentForUntrusted,
    /// Every agent that fits takes no new jobs.
    AgentsDraining,
    /// Every agent that fits, and does not drain, takes no new jobs for now.
    AgentsPaused {
        /// One of them.
        agent: String,
        /// Why it does not.
        why: String,
    },
    /// Every agent that fits is busy.
    AgentsBusy {
        /// How many of those agents there are.
        agents: usize,
        /// How many slots they have.
        #[serde(default)]
        slots: u32,
        /// The labels that it asks for.
        #[serde(default)]
        labels: LabelSet,
        /// Its place among all that wait for such agents, in the order in which they get them, from 1; counting stops at
        /// [`crate::limits::POSITION_MAX`].
        position: usize,
        /// In how many seconds it is expected to begin, from how long such jobs took lately; `None`: nothing is known.
        #[serde(default)]
        expected_s: Option<u64>,
    },
    /// Agents that fit have slots free, but none as many processors and as much memory as it takes.
    NoRoom {
        /// Processors that it takes, in thousandths of one.
        cpu_millis: u64,
        /// Memory that it takes, in bytes.
        memory_bytes: u64,
        /// Its place among all that wait for such agents, as above.
        position: usize,
        /// In how many seconds it is expected to begin, as above.
        #[serde(default)]
        expected_s: Option<u64>,
    },
    /// An agent is free and gets it next.
    Imminent,
}

impl WaitReason {
    /// Whether no agent that is there now could ever take it: a private fleet gives up then.
    #[must_use]
    pub const fn is_hopeless(&self) -> bool {
        matches!(self, Self::NoAgentWithLabels { .. } | Self::NoAgentForUntrusted)
    }
}

impl fmt::Display for WaitReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Needs { jobs } => {
                let jobs: Vec<_> = jobs.iter().map(JobId::as_str).collect();
                write!(f, "waits for {}", jobs.join(", "))
            }
            Self::ConcurrencyGroup { group, holder, ahead } => {
                write!(f, "its run waits for the concurrency group `{group}`")?;
                if let Some(holder) = holder {
                    write!(f, ", which run {holder} holds")?;
                }
                if *ahead > 0 { write!(f, "; {ahead} before it") } else { Ok(()) }
            }
            Self::JobGroup { group, holder, ahead } => {
                write!(f, "waits for the concurrency group `{group}`")?;
                if let Some(holder) = holder {
                    write!(f, ", which run {holder} holds")?;
                }
                if *ahead > 0 { write!(f, "; {ahead} before it") } else { Ok(()) }
            }
            Self::Turn { environment, holder, ahead } => {
                write!(f, "waits for its turn at `{environment}`, which lets one deployment at a time in")?;
                if let Some(holder) = holder {
                    write!(f, ": run {holder} has it")?;
                }
                if *ahead > 0 { write!(f, "; {ahead} before it") } else { Ok(()) }
            }
            Self::Approval { environment, reviewers, run, .. } => {
                write!(f, "waits for approval of `{environment}`")?;
                if let Some((last, others)) = reviewers.split_last() {
                    let others = others.join(", ");
                    let or = if others.is_empty() { "" } else { " or " };
                    write!(f, " by {others}{or}{last}")?;
                }
                write!(f, ": slipway approve {run} {}", Argument(environment))
            }
            Self::WaitTimer { environment, until } => {
                write!(f, "the wait timer of `{environment}` ends at {}", Moment(*until))
            }
            Self::Planning => f.write_str("is being planned"),
            Self::MaxParallel { limit } => write!(f, "held back: `max-parallel` is {limit}"),
            Self::Backoff { until, cause } => {
                f.write_str("waits for a new attempt")?;
                if let Some(cause) = cause {
                    write!(f, " after {cause}")?;
                }
                write!(f, ", not before {}", Clock(*until))
            }
            Self::NoAgents => f.write_str("no agent is connected"),
            Self::NoAgentWithLabels { missing } => {
                write!(f, "no agent has all its labels; missing: {}", missing.join(", "))
            }
            Self::NoAgentForUntrusted => f.write_str("no agent with its labels accepts untrusted runs"),
            Self::AgentsDraining => f.write_str("every agent with its labels is draining"),
            Self::AgentsPaused { agent, why } => {
                write!(f, "no agent with its labels takes new jobs now; {agent}: {why}")
            }
            Self::AgentsBusy { slots, labels, position, expected_s, .. } => {
                let (all, noun) = if *slots == 1 { ("the only", "slot") } else { ("all", "slots") };
                let count = if *slots == 1 { String::new() } else { format!("{slots} ") };
                write!(f, "{all} {count}{} {noun} busy, position {position}", kind(labels))?;
                expected_s.map_or(Ok(()), |seconds| write!(f, ", expected in about {}", Span(seconds)))
            }
            Self::NoRoom { cpu_millis, memory_bytes, position, expected_s } => {
                let (cpus, memory) = (Processors(*cpu_millis), Gibibytes(*memory_bytes));
                write!(f, "no agent with its labels has {cpus} and {memory} free, position {position}")?;
                expected_s.map_or(Ok(()), |seconds| write!(f, ", expected in about {}", Span(seconds)))
            }
            Self::Imminent => f.write_str("about to start"),
        }
    }
}

/// Why this instance is not running; `None` when it runs, is finished or does not exist.
#[must_use]
pub fn explain_wait(state: &State, fleet: &Fleet, id: InstanceId, now: Timestamp) -> Option<WaitReason> {
    let instance = state.instance(id)?;
    match instance.phase() {
        Phase::Leased { .. } | Phase::Settling | Phase::Finished { .. } => None,
        Phase::Held => {
            let limit = state.job_of(instance).and_then(|job| job.max_parallel).unwrap_or_default();
            Some(WaitReason::MaxParallel { limit })
        }
        Phase::Gated { since } => {
            let (gate, run) = (instance.gate()?, instance.run());
            let environment = gate.environment.clone();
            Some(if instance.is_approved() {
                WaitReason::WaitTimer { environment, until: since.after(gate.wait_ms) }
            } else {
                let (reviewers, until) = (gate.reviewers.clone(), since.after(gate.expires_ms));
                WaitReason::Approval { environment, reviewers, run, until }
            })
        }
        Phase::Blocked { order } => {
            let run = state.run(instance.run())?;
            job_group(state, run, instance.definition().concurrency.as_ref()?, *order)
        }
        Phase::Turn { order } => {
            let run = state.run(instance.run())?;
            let environment = instance.definition().turn.as_ref()?;
            let place = order.and_then(|order| state.ahead(&run.turn_key(environment), order));
            let (holder, ahead) = place.unwrap_or_default();
            Some(WaitReason::Turn { environment: environment.to_string(), holder, ahead })
        }
        Phase::Waiting { backoff: Some(backoff) } if !is_over(backoff.not_before, now) => {
            let end = instance.attempts().last().and_then(|attempt| attempt.end);
            let cause = end.and_then(|end| match end.outcome {
                Outcome::Fleet { cause } => Some(cause),
                _ => None,
            });
            Some(WaitReason::Backoff { until: backoff.not_before, cause })
        }
        Phase::Waiting { .. } => Some(explain_queue(state, fleet, instance, now)),
    }
}

/// Why this job has no instances yet; `None` when it has, is finished or does not exist.
#[must_use]
pub fn explain_job(state: &State, run: RunId, job: &str) -> Option<WaitReason> {
    let run: &Run = state.run(run)?;
    let job: &Job = run.job(job)?;
    match job.stage() {
        Stage::Waiting if run.waits_for_group() => {
            let (holder, ahead) = state.ahead_in_group(run)?;
            let group = run.concurrency()?.group.clone();
            Some(WaitReason::ConcurrencyGroup { group, holder, ahead })
        }
        Stage::Waiting if run.calls_above(job).any(|call| !call.begun) => held_call(state, run, job),
        Stage::Waiting => {
            let open = run.needs(job).filter(|need| !need.is_finished());
            Some(WaitReason::Needs { jobs: open.map(|need| need.id().clone()).collect() })
        }
        Stage::Ready => Some(WaitReason::Planning),
        Stage::Expanded | Stage::Finished { .. } => None,
    }
}

fn job_group(state: &State, run: &Run, concurrency: &Concurrency, order: Option<u64>) -> Option<WaitReason> {
    let place = order.and_then(|order| state.ahead(&run.key_of(concurrency), order));
    let (holder, ahead) = place.unwrap_or_default();
    Some(WaitReason::JobGroup { group: concurrency.group.clone(), holder, ahead })
}

/// Why the call that a job belongs to has not begun.
fn held_call(state: &State, run: &Run, job: &Job) -> Option<WaitReason> {
    let call = run.call_of(job)?;
    match call.phase {
        CallPhase::Blocked { order } => job_group(state, run, call.concurrency.as_ref()?, order),
        _ => Some(WaitReason::MaxParallel { limit: run.caller_of(job)?.max_parallel.unwrap_or_default() }),
    }
}

fn explain_queue(state: &State, fleet: &Fleet, instance: &Instance, now: Timestamp) -> WaitReason {
    let (mut fitting, mut slots, mut draining, mut free, mut trusted_only) = (0, 0, 0, 0, 0);
    // The kind that offers least: it is the one that would take it.
    let mut plainest: Option<&AgentProfile> = None;
    let mut connected = false;
    let mut paused: Option<(&str, &str)> = None;
    // The least that it takes of an agent that has a slot for it.
    let mut short: Option<Resources> = None;
    let mut missing: Option<Vec<String>> = None;
    for agent in fleet.agents().filter(|agent| agent.connected) {
        connected = true;
        let lacks: Vec<_> =
            instance.labels().missing_from(&agent.profile.labels).map(str::to_owned).collect();
        if !lacks.is_empty() {
            if missing.as_ref().is_none_or(|fewest| lacks.len() < fewest.len()) {
                missing = Some(lacks);
            }
        } else if instance.trust() == Trust::Untrusted && !agent.profile.accepts_untrusted {
            trusted_only += 1;
        } else if agent.draining {
            draining += 1;
        } else if let Some(why) = agent.paused {
            paused.get_or_insert((&agent.profile.name, why));
        } else {
            fitting += 1;
            slots += agent.profile.slots;
            free += usize::from(agent.would_take(instance.labels()));
            if let Some(sizing) = agent.profile.sizing.as_ref().filter(|_| agent.has_slot()) {
                let size = sizing.request(instance.labels());
                short = Some(short.map_or(size, |least: Resources| least.min(size)));
            }
            if plainest.is_none_or(|other| agent.profile.labels.len() < other.labels.len()) {
                plainest = Some(agent.profile);
            }
        }
    }
    match (plainest, missing) {
        _ if free > 0 => WaitReason::Imminent,
        (Some(agent), _) => {
            let position = fleet.position(state, agent, instance, now);
            let labels = instance.labels().clone();
            // Each slot is free again once in such a time.
            let expected_s = fleet.usual_duration_ms(&labels).map(|usual_ms| {
                usual_ms.saturating_mul(position as u64).div_ceil(1_000 * u64::from(slots.max(1)))
            });
            match short {
                Some(Resources { cpu_millis, memory_bytes }) => {
                    WaitReason::NoRoom { cpu_millis, memory_bytes, position, expected_s }
                }
                None => WaitReason::AgentsBusy { agents: fitting, slots, labels, position, expected_s },
            }
        }
        _ if paused.is_some() => {
            let (agent, why) = paused.unwrap_or_default();
            WaitReason::AgentsPaused { agent: agent.to_owned(), why: why.to_owned() }
        }
        _ if draining > 0 => WaitReason::AgentsDraining,
        _ if trusted_only > 0 => WaitReason::NoAgentForUntrusted,
        (None, Some(missing)) if connected => WaitReason::NoAgentWithLabels { missing },
        _ => WaitReason::NoAgents,
    }
}
