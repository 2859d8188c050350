//! Composite actions: their steps run inside of the step that uses them.

use slipway_workflow::action::MAX_COMPOSITE_DEPTH;

use super::{Use, header};
use crate::records::log::{JobLog, Usage};
use crate::runner::attempt::{Attempt, End};
use crate::runner::course::{Activity, Frame};
use crate::runner::exec::Ran;
use crate::runner::step::blocking;
use crate::runner::unix_ms;
use crate::runner::vessel::Vessel;
use crate::steps::annotations::Level;
use crate::steps::commands::Effect;
use crate::steps::contexts::Contexts;
use crate::steps::outcome::{Ended, JobStatus};

impl Attempt {
    /// Opens a composite action: its steps come next.
    pub(super) async fn enter_action(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        activity: &Activity,
        using: &Use<'_>,
    ) -> Result<Option<Ran>, End> {
        if self.saved.course.frames.len() >= MAX_COMPOSITE_DEPTH {
            let message = format!("composite actions use one another more than {MAX_COMPOSITE_DEPTH} deep");
            return Ok(Some(Ran::told(log, message)));
        }
        let Some(caller) = self.saved.running.take() else { return Ok(None) };
        for line in header::lines(&activity.step, &using.inputs, using.scope.env()) {
            log.say(&line);
        }
        let course = &mut self.saved.course;
        course.files += 1;
        course.frames.push(Frame {
            action: using.action,
            next: 0,
            caller,
            inputs: using.inputs.clone(),
            env: using.env.clone(),
        });
        self.saved.state.enter();
        self.commit(log, Some(vessel)).await?;
        Ok(None)
    }

    /// The innermost action's steps are through: its outputs, and the end of the step that uses it.
    pub(in crate::runner) async fn leave_action(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        contexts: &Contexts,
    ) -> Result<(), End> {
        let Some(frame) = self.saved.course.frames.last() else { return Ok(()) };
        let Some(manifest) = self.common.manifest(frame.action) else {
            return Err(End::Work("an action's file is gone from the job's folder".to_owned()));
        };
        let depth = self.saved.course.frames.len();
        let Some(caller) = self.caller(depth - 1) else {
            return Err(End::Work("the step of an action is gone".to_owned()));
        };
        log.select(self.record(), Default::default());
        let outputs = blocking(|| self.scope_at(contexts, depth, &caller).action_outputs(&manifest.outputs));
        let Some(frame) = self.saved.course.frames.pop() else { return Ok(()) };
        let status = self.saved.state.leave();
        let over = frame.caller.deadline_ms.is_some_and(|deadline_ms| unix_ms() >= deadline_ms);
        self.saved.running = Some(frame.caller);
        let mut ran = match status {
            JobStatus::Success => Ran { ended: Ended::Exited(0), usage: Usage::default(), message: None },
            JobStatus::Failure if !over => {
                Ran { message: Some("a step of its action failed".to_owned()), ..Ran::failed() }
            }
            JobStatus::Cancelled if !over || self.saved.cancelled_ms.is_some() => {
                Ran { ended: Ended::Cancelled, ..Ran::failed() }
            }
            _ => self.timed_out(log),
        };
        match outputs {
            Ok(outputs) => {
                for (name, value) in outputs.iter() {
                    let effect = Effect::SetOutput { name: name.to_owned(), value: value.to_owned() };
                    if let Err(full) = self.saved.state.apply(&effect) {
                        log.remark(Level::Error, &full.to_string());
                    }
                }
            }
            Err(error) => ran = Ran::told(log, error.to_string()),
        }
        match self.current() {
            Some(activity) => self.finish_step(log, vessel, contexts, &activity, ran).await,
            None => Err(End::Work("the step of an action is gone".to_owned())),
        }
    }
}
