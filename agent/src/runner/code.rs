//! A checkout step: the agent's own work, in the middle of a job.

use std::path::PathBuf;

use slipway_workflow::job_spec::Entry;

use super::attempt::{Attempt, End};
use super::course::Activity;
use super::errand;
use super::exec::Ran;
use crate::checkout::{CheckoutError, Target, checkout};
use crate::records::log::{JobLog, Usage};
use crate::steps::annotations::Level;
use crate::steps::commands::Effect;
use crate::steps::contexts::Contexts;
use crate::steps::outcome::Ended;

impl Attempt {
    /// The run's own token, where it has one.
    pub(super) fn run_token(&self) -> Option<String> {
        let token = self.secrets.iter().find(|(name, _)| name.eq_ignore_ascii_case("GITHUB_TOKEN"));
        token.map(|(_, value)| value.clone())
    }

    /// Checks the code out. After a restart of the agent it begins again: what is staged is thrown away, and what is
    /// placed is replaced.
    pub(super) async fn run_checkout(
        &mut self,
        log: &mut JobLog,
        contexts: &Contexts,
        activity: &Activity,
        with: &[Entry],
    ) -> Result<Ran, End> {
        let with = (|| {
            let scope = self.activity_scope(contexts, activity)?;
            let env = self.own_env(&scope, activity)?;
            scope.with_env(&env).inputs(with)
        })();
        let with = match with {
            Ok(with) => with,
            Err(error) => return Ok(Ran::told(log, error.to_string())),
        };
        let prepared = self.prepared()?.clone();
        let workspace = self.host_workspace();
        let work = self.folder.work();
        let machine = std::sync::Arc::clone(&self.machine);
        let target = Target {
            staging: self.lane_place("checkout"),
            work: &work,
            workspace: workspace.strip_prefix(&work).map_or_else(|_| PathBuf::new(), PathBuf::from),
            user: &prepared.user,
            kept: &machine.checkouts,
        };
        let (said, lines) = errand::lines();
        let mut say = move |line| said.line(line);
        let source = self.spec.source.clone();
        let token = self.run_token();
        let working = checkout(&machine.coordinator, &source, &with, token.as_deref(), &target, &mut say);
        match self.errand(log, contexts, activity, lines, working).await? {
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
            Some(Err(CheckoutError::Step(message))) => Ok(Ran::told(log, message)),
            Some(Err(CheckoutError::Fleet(failure))) => Err(failure.into()),
        }
    }
}
