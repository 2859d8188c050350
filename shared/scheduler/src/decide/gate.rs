//! What an environment asks of a job: somebody's approval, a time, or both. It stands before the concurrency group, so that
//! what nobody has approved yet holds nothing that others wait for.

use crate::command::{DecideGates, Gate};
use crate::decide::cascade::Cascade;
use crate::decide::cut;
use crate::event::Event;
use crate::ids::InstanceId;
use crate::outcome::{GateVerdict, JobResult};
use crate::rejection::Rejection;
use crate::state::{Instance, Phase, Run, State};
use crate::time::Timestamp;

/// Somebody approves or rejects all that waits for an environment.
pub(super) fn decide(state: &State, decision: DecideGates, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let DecideGates { run, environment, approve, actor, comment } = decision;
    let found = state.run(run).ok_or(Rejection::UnknownRun { run })?;
    let (waiting, others): (Vec<_>, Vec<_>) =
        state.awaiting_review(run).partition(|(_, gate)| gate.is_for(&environment));
    if waiting.is_empty() {
        let others = others.into_iter().map(|(_, gate)| gate.environment.clone());
        return Err(nothing_waits(state, found, environment, others.collect()));
    }
    for (_, gate) in &waiting {
        may_review(found, gate, &actor)?;
    }
    let (actor, comment) = (cut(actor), cut(comment));
    let verdict = if approve { GateVerdict::Approved } else { GateVerdict::Rejected };
    let mut cascade = Cascade::new(state, now);
    for (instance, _) in &waiting {
        let (actor, comment) = (actor.clone(), comment.clone());
        cascade.events.push(Event::GateDecided { instance: instance.id(), verdict, actor, comment, at: now });
    }
    if approve {
        for (instance, gate) in waiting {
            if timer_is_over(instance, gate, now) {
                cascade.events.push(Event::GateOpened { instance: instance.id(), at: now });
            }
        }
    } else {
        let rejected: Vec<&Instance> = waiting.into_iter().map(|(instance, _)| instance).collect();
        fail(&mut cascade, &rejected);
    }
    Ok(cascade.events)
}

/// A gate's time may have come.
pub(super) fn pass(state: &State, id: InstanceId, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let instance = state.instance(id).ok_or(Rejection::UnknownInstance { instance: id })?;
    if instance.gate_due().is_none_or(|due| due > now) {
        // It was decided meanwhile, or it is too early.
        return Ok(Vec::new());
    }
    let mut cascade = Cascade::new(state, now);
    if instance.is_approved() {
        cascade.events.push(Event::GateOpened { instance: id, at: now });
    } else {
        cascade.events.push(Event::GateDecided {
            instance: id,
            verdict: GateVerdict::Expired,
            actor: String::new(),
            comment: String::new(),
            at: now,
        });
        fail(&mut cascade, &[instance]);
    }
    Ok(cascade.events)
}

/// All of them fail before `fail-fast` looks at any: one that was rejected too is not cancelled by another.
fn fail(cascade: &mut Cascade<'_>, instances: &[&Instance]) {
    for instance in instances {
        cascade.end_instance(instance, JobResult::Failure, None, None);
    }
    for instance in instances {
        cascade.follow_end(instance, JobResult::Failure);
    }
}

fn timer_is_over(instance: &Instance, gate: &Gate, now: Timestamp) -> bool {
    matches!(instance.phase, Phase::Gated { since } if since.after(gate.wait_ms) <= now)
}

fn may_review(run: &Run, gate: &Gate, actor: &str) -> Result<(), Rejection> {
    let names = |list: &[String]| list.iter().any(|name| name.to_lowercase() == actor.to_lowercase());
    let (actor, environment) = (actor.to_owned(), gate.environment.clone());
    if !gate.reviewers.is_empty() && !names(&gate.reviewers) {
        return Err(Rejection::NotReviewer { actor, environment, reviewers: gate.reviewers.clone() });
    }
    if names(&gate.barred) {
        return Err(Rejection::SelfReview { actor, run: run.id, environment });
    }
    Ok(())
}

/// Why there is nothing to decide about: it was decided, waits only for a time, or never was.
fn nothing_waits(state: &State, run: &Run, environment: String, waiting: Vec<String>) -> Rejection {
    let instances = run.jobs().iter().flat_map(|job| state.instances_of(job));
    let same = |instance: &&Instance| instance.gate().is_some_and(|gate| gate.is_for(&environment));
    // What was decided last says most.
    let known = instances.filter(same).max_by_key(|instance| instance.review().map(|review| review.at));
    let Some(known) = known else {
        let mut waiting = waiting;
        waiting.sort_unstable();
        waiting.dedup();
        return Rejection::NoGate { run: run.id, environment, waiting };
    };
    let how = match (known.review(), known.phase()) {
        (Some(review), _) if review.verdict == GateVerdict::Expired => "nobody decided in time".to_owned(),
        (Some(review), _) => format!("{} {} it", review.actor, review.verdict.as_str()),
        (None, Phase::Gated { .. }) => "its wait timer ends by itself".to_owned(),
        (None, Phase::Held) => "`max-parallel` holds it back, so it does not wait yet".to_owned(),
        (None, Phase::Finished { .. }) => "it was over before anybody decided".to_owned(),
        (None, _) => "it needs none".to_owned(),
    };
    Rejection::GateDecided { run: run.id, environment, how }
}

impl Gate {
    /// Whether it is of this environment.
    #[must_use]
    pub fn is_for(&self, environment: &str) -> bool {
        self.environment.to_lowercase() == environment.to_lowercase()
    }
}
