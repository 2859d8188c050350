//! What environments ask of jobs: people's decisions about it, and what time does.

use slipway_scheduler::command::DecideGates;
use slipway_scheduler::{Command, InstanceId};
use tokio::sync::oneshot;

use super::DriverError;
use super::core::Core;
use crate::audit::Origin;

/// How many gates one batch looks after at most, because their time has come.
const BATCH_GATES: usize = 256;

impl Core {
    /// Somebody decides about all that waits for an environment, or, without one, whether the run begins; the answer is what was decided.
    pub(super) fn review(
        &mut self,
        decision: DecideGates,
        origin: Origin,
        answer: oneshot::Sender<Result<Vec<InstanceId>, DriverError>>,
    ) {
        let action = if decision.approve { "run.approve" } else { "run.reject" };
        let target = format!("{} {}", decision.run, decision.environment).trim_end().to_owned();
        let waiting = self.state.awaiting_review(decision.run);
        let waiting = waiting.filter(|(_, gate)| gate.is_for(&decision.environment));
        let decided: Vec<InstanceId> = waiting.map(|(instance, _)| instance.id()).collect();
        let result = if decision.environment.is_empty() {
            self.decide_hold(decision)
        } else {
            self.decide(Command::DecideGates(decision)).map(|()| decided).map_err(DriverError::from)
        };
        self.audit(origin, action, &result, |_| target);
        self.answer(answer, result);
    }

    /// Wait timers that are over let their jobs go on; what nobody approved in time ends.
    pub(super) fn pass_gates(&mut self) {
        let due: Vec<InstanceId> = self.state.due_gates(self.now).take(BATCH_GATES).collect();
        for instance in due {
            if let Err(rejection) = self.decide(Command::PassGate { instance }) {
                tracing::warn!(%instance, %rejection, "a gate cannot be passed");
            }
        }
    }
}
