//! JavaScript actions: Node from the agent's own machine, mounted into the job's container.

use slipway_workflow::action::Runs;

use super::{Use, header, of_stage};
use crate::records::log::JobLog;
use crate::runner::attempt::{Attempt, End};
use crate::runner::course::Activity;
use crate::runner::exec::Ran;
use crate::runner::program::Program;
use crate::runner::vessel::Vessel;
use crate::steps::annotations::Level;
use crate::steps::contexts::Contexts;

impl Attempt {
    pub(super) async fn run_node(
        &mut self,
        log: &mut JobLog,
        vessel: &mut Vessel,
        contexts: &Contexts,
        activity: &Activity,
        using: &Use<'_>,
    ) -> Result<Ran, End> {
        let Runs::Node { version, main, around } = &using.manifest.runs else {
            return Ok(Ran::told(log, "this action has no JavaScript".to_owned()));
        };
        let script = of_stage(activity.stage, main, around);
        let (Some(script), Some(loaded)) = (script, self.common.action(using.action)) else {
            return Ok(Ran::told(log, "this action has no program for this stage".to_owned()));
        };
        let prepared = self.prepared()?;
        let node = match self.machine.externals.node(*version, prepared.libc) {
            Ok(node) => node,
            Err(message) => return Ok(Ran::told(log, message)),
        };
        let program = Program {
            argv: vec![node.path.clone(), format!("{}/{script}", self.seen(&loaded.folder))],
            fallback: None,
            script: None,
            env: self.process_env(
                &using.scope,
                contexts,
                &self.action_env(activity, &using.inputs, self.access.as_ref()),
            )?,
            cwd: self.working_directory(None),
            header: header::lines(&activity.step, &using.inputs, using.scope.env()),
            user: prepared.user.clone(),
        };
        let fresh = self.saved.running.as_ref().is_some_and(|running| running.process == 0);
        if let Some(warning) = node.warning(&loaded.key).filter(|_| fresh) {
            log.remark(Level::Warning, &warning);
        }
        self.run_program(log, vessel, contexts, activity, Ok(program)).await
    }
}
