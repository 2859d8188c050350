//! The activities of a job, one after the other: its steps, those of composite actions, and what actions do around them.

use slipway_workflow::job_spec::{StepAction, StepSpec};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::action::BuiltIn;
use super::attempt::{Attempt, End};
use super::course::{Activity, Stage};
use super::exec::Ran;
use super::saved::Running;
use super::unix_ms;
use super::vessel::Vessel;
use crate::records::ledger::MAIN;
use crate::records::log::{JobLog, Usage};
use crate::session::JobEvent;
use crate::steps::annotations::Level;
use crate::steps::commands::CommandOptions;
use crate::steps::contexts::{Contexts, EvaluationError, Scope};
use crate::steps::outcome::{Ended, JobStatus, StepEnd, StepResult};
use crate::steps::values::Values;

impl Attempt {
    /// Runs the steps from where the job stands.
    pub(super) async fn run_steps(&mut self, log: &mut JobLog, vessel: &mut Vessel) -> Result<(), End> {
        // The supervisor takes events as long as it lives; when it does not, another process goes on.
        let _ = self.link.events.send(JobEvent::StepBegan(self.saved.lease)).await;
        let first = self.saved.course.is_fresh() && self.saved.running.is_none();
        if self.saved.strict && first {
            let mut orders = self.link.orders.clone();
            // No supervisor, no answer: another process asks again.
            if orders.wait_for(|orders| orders.begin).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        let contexts = self.contexts(self.in_container());
        self.resume_lanes(log, vessel)?;
        loop {
            self.check_disk()?;
            match self.current() {
                Some(activity) if activity.in_background() => {
                    self.begin_lane(log, vessel, &contexts, &activity).await?
                }
                Some(activity) => {
                    let step = &activity.step;
                    let span = tracing::info_span!("step", step = step.id, name = Empty, result = Empty);
                    self.activity(log, vessel, &contexts, &activity).instrument(span).await?;
                }
                None if !self.saved.course.frames.is_empty() => {
                    self.leave_action(log, vessel, &contexts).await?;
                }
                None => {
                    if self.saved.course.stage == Stage::Main {
                        self.end_lanes(log, vessel).await?;
                    }
                    if !self.saved.course.next_stage() {
                        return Ok(());
                    }
                }
            }
        }
    }

    pub(super) async fn activity(
        &mut self,
        log: &mut JobLog,
        vessel: &mut Vessel,
        contexts: &Contexts,
        activity: &Activity,
    ) -> Result<(), End> {
        if self.saved.running.is_none() && !self.reach(log, vessel, contexts, activity).await? {
            return Ok(());
        }
        log.select(self.record(), self.command_options(contexts, activity));
        let ran = match &activity.step.action {
            StepAction::Run { .. } => Some(self.run_script(log, vessel, contexts, activity).await?),
            StepAction::Uses { with, .. } => match self.built_in(contexts, activity) {
                Some(BuiltIn::Checkout) => Some(self.run_checkout(log, contexts, activity, with).await?),
                _ => self.run_action(log, vessel, contexts, activity).await?,
            },
            StepAction::Wait { steps, .. } => {
                Some(self.run_wait(log, vessel, contexts, activity, steps.as_deref()).await?)
            }
            StepAction::Cancel { steps, .. } => {
                Some(self.run_cancel(log, vessel, contexts, activity, steps).await?)
            }
        };
        match ran {
            Some(ran) => self.finish_step(log, vessel, contexts, activity, ran).await,
            // The action's own steps come first.
            None => Ok(()),
        }
    }

    /// Reaches the next activity: it is skipped, fails before it began, or begins. True when it began.
    async fn reach(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        contexts: &Contexts,
        activity: &Activity,
    ) -> Result<bool, End> {
        let step = &activity.step;
        self.notice_cancel();
        self.notice_timeout(log);
        // What goes on around the steps is none of them.
        self.saved.state.begin_step(if activity.around.is_some() { "__around" } else { &step.id });
        let wanted = blocking(|| {
            let scope = self.activity_scope(contexts, activity)?;
            let env = self.own_env(&scope, activity)?;
            let scope = scope.with_env(&env);
            let possible = !self.out_of_time() && !self.action_out_of_time();
            // What steers steps of the background has no condition of its own.
            let wanted = possible && (step.steers() || scope.condition(step.condition.as_ref())?);
            let limit = scope.timeout_ms(step.timeout_minutes.as_ref());
            Ok::<_, EvaluationError>((wanted, self.display_name(&scope, activity, log), limit))
        });
        let (name, limit, failed) = match wanted {
            Ok((true, name, limit)) => (name, limit, None),
            Ok((false, name, _)) => {
                log.select(self.record(), CommandOptions::default());
                let end = StepEnd::new(Ended::Skipped, false, false);
                self.end_step(log, vessel, activity, &name, end, Usage::default()).await?;
                return Ok(false);
            }
            Err(error) => {
                let name = match self.activity_scope(contexts, activity) {
                    Ok(scope) => self.display_name(&scope, activity, log),
                    Err(_) => step.id.clone(),
                };
                (name, Ok(None), Some(error))
            }
        };
        let options = self.command_options(contexts, activity);
        if activity.nested {
            log.nested_step_started(self.record(), options);
        } else {
            log.step_started(self.record(), options, step, &name);
        }
        let limit_ms = match limit {
            Ok(limit_ms) => limit_ms,
            Err(error) => {
                log.remark(Level::Error, &error.to_string());
                None
            }
        };
        let outer_ms = self.saved.course.frames.last().and_then(|frame| frame.caller.deadline_ms);
        self.saved.running = Some(Running::begun(&name, limit_ms, unix_ms(), outer_ms));
        if let Some(error) = failed {
            log.remark(Level::Error, &error.to_string());
            let ran = Ran::failed();
            self.finish_step(log, vessel, contexts, activity, ran).await?;
            return Ok(false);
        }
        // A `run` step commits together with its process's number.
        if !matches!(step.action, StepAction::Run { .. }) {
            self.commit(log, Some(vessel)).await?;
        }
        Ok(true)
    }

    pub(super) fn display_name(&self, scope: &Scope<'_>, activity: &Activity, log: &JobLog) -> String {
        match &activity.around {
            Some(around) => log.masks().mask_str(&around.name),
            None => scope.display_name(&activity.step, &log.masks()),
        }
    }

    /// A step's own `env`: evaluated, or as it was when the step ran.
    pub(super) fn own_env(&self, scope: &Scope<'_>, activity: &Activity) -> Result<Values, EvaluationError> {
        match activity.around.as_ref().and_then(|around| around.fixed.as_ref()) {
            Some(fixed) => Ok(fixed.env.clone()),
            None => scope.step_env(&activity.step.env),
        }
    }

    /// Ends the running activity.
    pub(super) async fn finish_step(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        contexts: &Contexts,
        activity: &Activity,
        ran: Ran,
    ) -> Result<(), End> {
        let step = &activity.step;
        let files = self.saved.course.files;
        let Some(running) = self.saved.running.take() else { return Ok(()) };
        if running.process > 0 {
            self.collect_files(log, files);
        }
        self.note_checkout(activity, running.started_ms);
        if let Some(saved) = self.saved.state.saved().filter(|saved| !saved.is_empty()).cloned() {
            let states = self.saved.course.states.entry(activity.key.clone()).or_default();
            for (name, value) in saved.iter() {
                states.set(name, value);
            }
        }
        let failed_by_command = self.saved.state.failed_by_command();
        let mut end = StepEnd::new(ran.ended, failed_by_command, false);
        if end.outcome == StepResult::Failure {
            let goes_on = blocking(|| {
                let scope = self.activity_scope(contexts, activity)?;
                let env = self.own_env(&scope, activity)?;
                scope.with_env(&env).continue_on_error(step.continue_on_error.as_ref())
            });
            match goes_on {
                Ok(goes_on) => end = StepEnd::new(ran.ended, failed_by_command, goes_on),
                Err(error) => {
                    log.remark(
                        Level::Error,
                        "The step failed and an error occurred when attempting to determine whether to continue on error.",
                    );
                    log.remark(Level::Error, &error.to_string());
                }
            }
            if end.conclusion == StepResult::Failure && !activity.nested {
                let why = ran.message.unwrap_or_else(|| "failed".to_owned());
                self.note_message(&format!("step `{}`: {why}", running.name));
            }
        }
        self.end_step(log, vessel, activity, &running.name, end, ran.usage).await?;
        // Not before its end is kept: another process would look for them.
        if running.process > 0 {
            self.remove_files(files);
        }
        if let Some(own) = &running.container {
            self.remove_own(own).await;
        }
        Ok(())
    }

    async fn end_step(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        activity: &Activity,
        name: &str,
        end: StepEnd,
        usage: Usage,
    ) -> Result<(), End> {
        self.saved.state.end_step(end);
        if activity.around.is_some() {
            self.saved.state.forget_step();
        }
        let span = tracing::Span::current();
        span.record("name", name);
        span.record("result", end.conclusion.name());
        if !activity.nested {
            log.step_finished(&activity.step, name, end, usage);
        }
        if self.lane != MAIN && !activity.nested {
            name.clone_into(&mut self.saved.left.name);
        }
        self.saved.running = None;
        self.saved.course.advance();
        self.commit(log, Some(vessel)).await?;
        vessel.claim.let_go();
        Ok(())
    }

    /// Ends the running step of a job that can't go on, and the actions around it.
    pub(super) fn abandon_step(&mut self, log: &mut JobLog) {
        let outermost = match self.saved.course.frames.first() {
            Some(frame) => frame.caller.clone(),
            None => match &self.saved.running {
                Some(running) => running.clone(),
                None => return,
            },
        };
        self.saved.running = None;
        self.saved.course.frames.clear();
        self.saved.state.leave_all();
        let end = StepEnd::new(Ended::Failed, false, false);
        if let Some(activity) = self.current() {
            log.select(self.record(), CommandOptions::default());
            log.step_finished(&activity.step, &outermost.name, end, Usage::default());
        }
        self.saved.state.end_step(end);
        self.saved.course.advance();
        log.select(self.setup_index(), CommandOptions::default());
    }

    /// Applies what output and files asked for.
    pub(super) fn apply_effects(&mut self, log: &mut JobLog) -> bool {
        let effects = log.take_effects();
        for effect in &effects {
            if let Err(full) = self.saved.state.apply(effect) {
                log.remark(Level::Error, &full.to_string());
            } else if self.lane != MAIN {
                self.saved.left.note(effect);
            }
        }
        !effects.is_empty()
    }

    pub(super) fn command_options(&self, contexts: &Contexts, activity: &Activity) -> CommandOptions {
        let workspace = self.layout(self.in_container()).workspace();
        let Ok(scope) = self.activity_scope(contexts, activity) else { return CommandOptions::default() };
        let scope = match self.own_env(&scope, activity) {
            Ok(env) => scope.with_env(&env),
            Err(_) => scope,
        };
        CommandOptions::new(self.debug(), &workspace, scope.env().iter())
    }

    /// Takes over a cancel order. True when it is new.
    pub(super) fn notice_cancel(&mut self) -> bool {
        let ordered = self.link.orders.borrow().cancel.is_some();
        if !ordered || self.saved.cancelled_ms.is_some() {
            return false;
        }
        self.cancel();
        true
    }

    fn cancel(&mut self) {
        self.saved.cancelled_ms = Some(unix_ms());
        self.saved.state.cancel();
    }

    /// Ends the job when its time is over. True when that is new.
    pub(super) fn notice_timeout(&mut self, log: &mut JobLog) -> bool {
        let over = self.job_deadline_ms().is_some_and(|deadline_ms| unix_ms() >= deadline_ms);
        if !over || self.saved.timed_out || self.saved.cancelled_ms.is_some() {
            return false;
        }
        let minutes = self.spec.timeout_ms as f64 / 60_000.0;
        let message = format!("The job has exceeded the maximum execution time of {minutes} minutes");
        log.remark(Level::Error, &message);
        self.note_message(&message);
        self.saved.timed_out = true;
        self.cancel();
        true
    }

    /// When the job's own time limit ends it, Unix milliseconds.
    pub(super) fn job_deadline_ms(&self) -> Option<u64> {
        self.saved.started_ms.map(|started_ms| started_ms.saturating_add(self.spec.timeout_ms))
    }

    /// When even `always()` steps have had their time after a cancel, Unix milliseconds.
    pub(super) fn cancel_deadline_ms(&self) -> Option<u64> {
        self.saved.cancelled_ms.map(|cancelled_ms| cancelled_ms.saturating_add(self.spec.cancel_timeout_ms))
    }

    pub(super) fn out_of_time(&self) -> bool {
        self.cancel_deadline_ms().is_some_and(|deadline_ms| unix_ms() >= deadline_ms)
    }

    /// Whether the time of a step that uses the action under way is over.
    fn action_out_of_time(&self) -> bool {
        let deadline_ms = self.saved.course.frames.last().and_then(|frame| frame.caller.deadline_ms);
        deadline_ms.is_some_and(|deadline_ms| unix_ms() >= deadline_ms)
    }

    /// Whether a running activity goes on in a job that was just cancelled: its condition still holds, and so do those of
    /// the steps whose actions it is in.
    pub(super) fn survives_cancel(&self, contexts: &Contexts, activity: &Activity) -> bool {
        // As on GitHub: steps of the background are cancelled with the job whatever their condition, and who waits for
        // them goes on waiting.
        if self.lane != MAIN || activity.step.steers() {
            return activity.step.steers();
        }
        let holds = |step: &StepSpec, scope: Scope<'_>, env: &Values| {
            scope.with_env(env).with_status(JobStatus::Cancelled).condition(step.condition.as_ref())
        };
        let survives = blocking(|| {
            let scope = self.activity_scope(contexts, activity)?;
            let env = self.own_env(&scope, activity)?;
            let mut survives = holds(&activity.step, scope, &env)?;
            for (depth, frame) in self.saved.course.frames.iter().enumerate() {
                if let Some(caller) = self.caller(depth) {
                    survives &= holds(&caller, self.scope_at(contexts, depth, &caller), &frame.env)?;
                }
            }
            Ok::<_, EvaluationError>(survives)
        });
        // A condition that fails now can't ask to go on.
        survives.unwrap_or(false)
    }
}

/// Runs what may read many files (`hashFiles`), without holding up other jobs where the runtime has other threads.
pub(super) fn blocking<T>(what: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(what),
        _ => what(),
    }
}
