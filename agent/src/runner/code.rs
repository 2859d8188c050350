//! A checkout step: the agent's own work, in the middle of a job.

use std::path::PathBuf;

use slipway_workflow::job_spec::{Entry, StepSpec};
use tokio::sync::mpsc;

use super::attempt::{Attempt, End};
use super::exec::Ran;
use crate::checkout::{CheckoutError, Target, checkout};
use crate::records::log::{JobLog, Usage};
use crate::steps::annotations::Level;
use crate::steps::commands::Effect;
use crate::steps::contexts::Contexts;
use crate::steps::outcome::Ended;

/// Lines of a checkout that wait for the log.
const LINES_MAX: usize = 256;

impl Attempt {
    /// Checks the code out. After a restart of the agent it begins again: what is staged is thrown away, and what is
    /// placed is replaced.
    pub(super) async fn run_checkout(
        &mut self,
        log: &mut JobLog,
        contexts: &Contexts,
        step: &StepSpec,
        with: &[Entry],
    ) -> Result<Ran, End> {
        let with = {
            let scope = self.step_scope(contexts, self.saved.next, step);
            scope.step_env(&step.env).and_then(|env| scope.with_env(&env).inputs(with))
        };
        let with = match with {
            Ok(with) => with,
            Err(error) => return Ok(failed(log, error.to_string())),
        };
        let prepared = self.prepared()?.clone();
        let workspace = self.host_workspace();
        let work = self.folder.work();
        let target = Target {
            staging: self.folder.root().join("checkout"),
            work: &work,
            workspace: workspace.strip_prefix(&work).map_or_else(|_| PathBuf::new(), PathBuf::from),
            user: &prepared.user,
        };
        let (lines_in, mut lines) = mpsc::channel::<String>(LINES_MAX);
        let machine = std::sync::Arc::clone(&self.machine);
        // Git's chatter beyond what the log takes in time is not worth waiting for.
        let mut say = move |line| drop(lines_in.try_send(line));
        let source = self.spec.source.clone();
        let result = {
            let working = checkout(&machine.coordinator, &source, &with, &target, &mut say);
            let mut working = std::pin::pin!(working);
            loop {
                let timer = self.next_deadline();
                let mut orders = self.link.orders.clone();
                orders.mark_unchanged();
                if self.must_stop(log, contexts, step) {
                    break None;
                }
                tokio::select! {
                    result = &mut working => break Some(result),
                    Some(line) = lines.recv() => log.say(&line),
                    // Looked at above, at once.
                    _ = orders.changed() => {}
                    () = tokio::time::sleep_until(timer) => {}
                }
                if log.has_records() {
                    log.commit(None, None, false).await?;
                }
            }
        };
        while let Ok(line) = lines.try_recv() {
            log.say(&line);
        }
        match result {
            None => Ok(self.stopped(log)),
            Some(Ok(commit)) => {
                if let Some(commit) = commit {
                    log.say(&format!("HEAD is now at {commit}"));
                    let effect = Effect::SetOutput { name: "commit".to_owned(), value: commit };
                    if let Err(full) = self.saved.state.apply(&effect) {
                        log.remark(Level::Error, &full.to_string());
                    }
                }
                Ok(Ran { ended: Ended::Exited(0), usage: Usage::default(), message: None })
            }
            Some(Err(CheckoutError::Step(message))) => Ok(failed(log, message)),
            Some(Err(CheckoutError::Fleet(failure))) => Err(failure.into()),
        }
    }
}

fn failed(log: &mut JobLog, message: String) -> Ran {
    log.remark(Level::Error, &message);
    Ran { message: Some(message), ..Ran::failed() }
}
