//! Agents as template units of systemd: an instance is started or stopped by `systemctl`.
//!
//! The agent is called as its unit is, without `.service` (`%N` in a unit's file). Starting an instance that runs and stopping one that
//! does not are successes, which is all that a call which is made again asks. Nobody waits for the unit (`--no-block`): whether
//! the agent comes shows by itself.

use std::time::Duration;

use super::call::{Call, Verb};
use super::command;

/// How a unit's name ends.
const SERVICE: &str = ".service";

/// What the agent of this unit calls itself.
pub(super) fn agent_of(unit: &str) -> String {
    unit.strip_suffix(SERVICE).unwrap_or(unit).to_owned()
}

/// Starts or stops the agent's unit.
///
/// # Errors
/// What `systemctl` says.
pub(super) async fn call(systemctl: &[String], call: &Call, timeout: Duration) -> Result<(), String> {
    command::run(&arguments(systemctl, call), &[], timeout).await
}

fn arguments(systemctl: &[String], call: &Call) -> Vec<String> {
    let verb = match call.action {
        Verb::Up => "start",
        Verb::Down => "stop",
    };
    let unit = format!("{}{SERVICE}", call.agent);
    let more = ["--no-block", "--no-ask-password", verb, "--", &unit].map(str::to_owned);
    systemctl.iter().cloned().chain(more).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_started_and_stopped_by_the_agents_name() {
        assert_eq!(agent_of("slipway-agent@3.service"), "slipway-agent@3");
        let call = |action| Call {
            action,
            pool: "here".into(),
            arch: "X64".into(),
            labels: Vec::new(),
            agent: "slipway-agent@3".into(),
            count: 1,
        };
        let systemctl = ["ssh", "build7", "systemctl"].map(str::to_owned);
        let words = |verb| {
            format!("ssh build7 systemctl --no-block --no-ask-password {verb} -- slipway-agent@3.service")
        };
        assert_eq!(arguments(&systemctl, &call(Verb::Up)).join(" "), words("start"));
        assert_eq!(arguments(&systemctl, &call(Verb::Down)).join(" "), words("stop"));
    }
}
