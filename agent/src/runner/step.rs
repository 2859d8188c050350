//! The steps of a job, one after the other.

use slipway_workflow::job_spec::{StepAction, StepSpec};
use tracing::Instrument as _;
use tracing::field::Empty;

use super::attempt::{Attempt, End};
use super::exec::Ran;
use super::saved::Running;
use super::unix_ms;
use super::vessel::Vessel;
use crate::records::log::{JobLog, Usage};
use crate::session::JobEvent;
use crate::steps::annotations::Level;
use crate::steps::commands::CommandOptions;
use crate::steps::contexts::{Contexts, Scope};
use crate::steps::outcome::{Ended, JobStatus, StepEnd};

impl Attempt {
    /// Runs the steps from where the job stands.
    pub(super) async fn run_steps(&mut self, log: &mut JobLog, vessel: &mut Vessel) -> Result<(), End> {
        // The supervisor takes events as long as it lives; when it does not, another process goes on.
        let _ = self.link.events.send(JobEvent::StepBegan(self.saved.lease)).await;
        let first = self.saved.next == 0 && self.saved.running.is_none();
        if self.saved.strict && first {
            let mut orders = self.link.orders.clone();
            // No supervisor, no answer: another process asks again.
            if orders.wait_for(|orders| orders.begin).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
        let contexts = self.contexts(self.in_container());
        while let Some(step) = self.spec.steps.get(self.saved.next).cloned() {
            let span = tracing::info_span!("step", step = step.id, name = Empty, result = Empty);
            self.step(log, vessel, &contexts, &step).instrument(span).await?;
        }
        Ok(())
    }

    async fn step(
        &mut self,
        log: &mut JobLog,
        vessel: &mut Vessel,
        contexts: &Contexts,
        step: &StepSpec,
    ) -> Result<(), End> {
        let index = self.saved.next;
        if self.saved.running.is_none() && !self.reach(log, vessel, contexts, step).await? {
            return Ok(());
        }
        log.select(number(index), self.command_options(contexts, step));
        let ran = match &step.action {
            StepAction::Run { .. } => self.run_script(log, vessel, contexts, step).await?,
            StepAction::Uses { with, .. } => self.run_checkout(log, contexts, step, with).await?,
        };
        self.finish_step(log, vessel, contexts, step, ran).await
    }

    /// Reaches the next step: it is skipped, fails before it began, or begins. True when it began.
    async fn reach(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        contexts: &Contexts,
        step: &StepSpec,
    ) -> Result<bool, End> {
        let index = self.saved.next;
        self.notice_cancel();
        self.notice_timeout(log);
        self.saved.state.begin_step(&step.id);
        let wanted = blocking(|| {
            let scope = self.step_scope(contexts, index, step);
            let env = scope.step_env(&step.env)?;
            let scope = scope.with_env(&env);
            let wanted = !self.out_of_time() && scope.condition(step.condition.as_ref())?;
            let limit = scope.timeout_ms(step.timeout_minutes.as_ref());
            Ok::<_, crate::steps::contexts::EvaluationError>((
                wanted,
                scope.display_name(step, log.masks()),
                limit,
            ))
        });
        let (name, limit, failed) = match wanted {
            Ok((true, name, limit)) => (name, limit, None),
            Ok((false, name, _)) => {
                log.select(number(index), CommandOptions::default());
                let end = StepEnd::new(Ended::Skipped, false, false);
                self.end_step(log, vessel, step, &name, end, Usage::default()).await?;
                return Ok(false);
            }
            Err(error) => (
                self.step_scope(contexts, index, step).display_name(step, log.masks()),
                Ok(None),
                Some(error),
            ),
        };
        log.step_started(number(index), self.command_options(contexts, step), step, &name);
        let limit_ms = match limit {
            Ok(limit_ms) => limit_ms,
            Err(error) => {
                log.remark(Level::Error, &error.to_string());
                None
            }
        };
        let now_ms = unix_ms();
        self.saved.running = Some(Running {
            name,
            process: 0,
            started_ms: now_ms,
            deadline_ms: limit_ms.map(|limit_ms| now_ms.saturating_add(limit_ms)),
            limit_ms,
            stopped_ms: None,
            timed_out: false,
            fell_back: false,
        });
        if let Some(error) = failed {
            log.remark(Level::Error, &error.to_string());
            let ran = Ran::failed();
            self.finish_step(log, vessel, contexts, step, ran).await?;
            return Ok(false);
        }
        // A `run` step commits together with its process's number.
        if matches!(step.action, StepAction::Uses { .. }) {
            self.commit(log, Some(vessel)).await?;
        }
        Ok(true)
    }

    /// Ends the running step.
    async fn finish_step(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        contexts: &Contexts,
        step: &StepSpec,
        ran: Ran,
    ) -> Result<(), End> {
        let index = self.saved.next;
        let Some(running) = self.saved.running.take() else { return Ok(()) };
        if matches!(step.action, StepAction::Run { .. }) && running.process > 0 {
            self.collect_files(log, index);
        }
        let failed_by_command = self.saved.state.failed_by_command();
        let mut end = StepEnd::new(ran.ended, failed_by_command, false);
        if end.outcome == crate::steps::outcome::StepResult::Failure {
            let goes_on = blocking(|| {
                let scope = self.step_scope(contexts, index, step);
                let env = scope.step_env(&step.env)?;
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
            if end.conclusion == crate::steps::outcome::StepResult::Failure {
                let why = ran.message.unwrap_or_else(|| "failed".to_owned());
                self.note_message(&format!("step `{}`: {why}", running.name));
            }
        }
        self.end_step(log, vessel, step, &running.name, end, ran.usage).await?;
        if running.process > 0 {
            self.remove_files(index);
        }
        Ok(())
    }

    async fn end_step(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        step: &StepSpec,
        name: &str,
        end: StepEnd,
        usage: Usage,
    ) -> Result<(), End> {
        self.saved.state.end_step(end);
        let span = tracing::Span::current();
        span.record("name", name);
        span.record("result", end.conclusion.name());
        log.step_finished(step, name, end, usage);
        self.saved.running = None;
        self.saved.next += 1;
        self.commit(log, Some(vessel)).await
    }

    /// Ends the running step of a job that can't go on.
    pub(super) fn abandon_step(&mut self, log: &mut JobLog) {
        let Some(running) = self.saved.running.take() else { return };
        let end = StepEnd::new(Ended::Failed, false, false);
        if let Some(step) = self.spec.steps.get(self.saved.next) {
            log.select(number(self.saved.next), CommandOptions::default());
            log.step_finished(step, &running.name, end, Usage::default());
        }
        self.saved.state.end_step(end);
        self.saved.next += 1;
        log.select(self.setup_index(), CommandOptions::default());
    }

    /// Applies what output and files asked for.
    pub(super) fn apply_effects(&mut self, log: &mut JobLog) -> bool {
        let effects = log.take_effects();
        for effect in &effects {
            if let Err(full) = self.saved.state.apply(effect) {
                log.remark(Level::Error, &full.to_string());
            }
        }
        !effects.is_empty()
    }

    fn command_options(&self, contexts: &Contexts, step: &StepSpec) -> CommandOptions {
        let scope = self.step_scope(contexts, self.saved.next, step);
        let scope = match scope.step_env(&step.env) {
            Ok(env) => scope.with_env(&env),
            Err(_) => scope,
        };
        let workspace = self.layout(self.in_container()).workspace();
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

    /// Whether a running step's condition holds in a cancelled job.
    pub(super) fn survives_cancel(&self, contexts: &Contexts, step: &StepSpec) -> bool {
        blocking(|| {
            let scope = self.step_scope(contexts, self.saved.next, step);
            let env = scope.step_env(&step.env)?;
            let scope: Scope<'_> = scope.with_env(&env).with_status(JobStatus::Cancelled);
            scope.condition(step.condition.as_ref())
        })
        // A condition that fails now can't ask to go on.
        .unwrap_or(false)
    }
}

/// A step's index on the wire.
pub(super) fn number(index: usize) -> u32 {
    u32::try_from(index).unwrap_or(u32::MAX)
}

/// Runs what may read many files (`hashFiles`), without holding up other jobs where the runtime has other threads.
fn blocking<T>(what: impl FnOnce() -> T) -> T {
    match tokio::runtime::Handle::current().runtime_flavor() {
        tokio::runtime::RuntimeFlavor::MultiThread => tokio::task::block_in_place(what),
        _ => what(),
    }
}
