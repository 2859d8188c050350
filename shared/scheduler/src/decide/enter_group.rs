//! An instance, a call or a run that was held enters its concurrency group: it holds it, or waits for it in the place of older ones. An
//! instance asks for its turn at its environment: it has it, or waits for it behind older ones.
//!
//! A decision of its own, after the one that made it enter: so it sees the whole state, and one matrix may have many
//! instances in one group.

use crate::command::Entrant;
use crate::decide::cascade::Cascade;
use crate::event::Event;
use crate::rejection::Rejection;
use crate::state::group::Member;
use crate::state::{CallPhase, Parent, Phase, State};
use crate::time::Timestamp;

pub(super) fn decide(state: &State, entrant: &Entrant, now: Timestamp) -> Result<Vec<Event>, Rejection> {
    let found = match entrant {
        Entrant::Run(id) => {
            let run = state.run(*id).ok_or(Rejection::UnknownRun { run: *id })?;
            let enters = run.held && run.end.is_none() && run.cancelled.is_none();
            let mut cascade = Cascade::new(state, now);
            if let (true, Some(concurrency)) = (enters, &run.concurrency) {
                cascade.release_run(run, concurrency);
            }
            return Ok(cascade.events);
        }
        Entrant::Instance(id) => {
            let instance = state.instance(*id).ok_or(Rejection::UnknownInstance { instance: *id })?;
            let run = state.run(instance.run).ok_or(Rejection::UnknownRun { run: instance.run })?;
            if let (Phase::Turn { order: None }, Some(environment)) =
                (&instance.phase, &instance.definition.turn)
            {
                let mut cascade = Cascade::new(state, now);
                cascade.ask_turn(run.turn_key(environment), *id);
                return Ok(cascade.events);
            }
            let enters = instance.phase == Phase::Blocked { order: None };
            Some((run, Member::Instance(*id), instance.definition.concurrency.as_ref())).filter(|_| enters)
        }
        Entrant::Call { run, job, call } => {
            let found = state.run(*run).ok_or(Rejection::UnknownRun { run: *run })?;
            let unknown = || Rejection::UnknownJob { run: *run, job: job.clone() };
            let position = *found.positions.get(job).ok_or_else(unknown)?;
            let caller = found.jobs.get(position as usize).ok_or_else(unknown)?;
            let known = caller.calls.get(*call as usize);
            let known = known.filter(|call| call.phase == CallPhase::Blocked { order: None });
            let member = Member::Call(*run, Parent { job: position, call: *call });
            known.map(|known| (found, member, known.concurrency.as_ref()))
        }
    };
    // Done before, or ended meanwhile.
    let Some((run, member, Some(concurrency))) = found else { return Ok(Vec::new()) };
    let mut cascade = Cascade::new(state, now);
    cascade.enter(&run.key_of(concurrency), member, concurrency);
    Ok(cascade.events)
}
