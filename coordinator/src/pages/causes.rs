//! What docs/FAILURES.md says of each cause of a fleet failure, in a sentence each; a test compares.

use maud::{Markup, html};
use slipway_scheduler::FleetCause;

/// What happened, and what to do.
fn told(cause: FleetCause) -> (&'static str, &'static str) {
    match cause {
        FleetCause::AgentLost => (
            "the agent was out of reach until its lease ended",
            "Look at the machine and at the agent's log; a job that kills its own host shows up here.",
        ),
        FleetCause::LeaseExpired => (
            "the agent was in reach but did not renew the job's lease",
            "The machine is overloaded or its clock was stopped; give it fewer slots.",
        ),
        FleetCause::ImagePull => (
            "the registry could not be reached, or refused",
            "Check network, name and credentials of the registry with docker pull on the agent's machine.",
        ),
        FleetCause::ImageNotFound => (
            "the registry, or without one this machine, has no such image",
            "Correct the name in container:, or the agent's --image.",
        ),
        FleetCause::EngineUnavailable => (
            "the container engine does not answer",
            "Try docker info on the machine; is the agent allowed to use its socket?",
        ),
        FleetCause::DiskFull => (
            "no space left on the agent's disk",
            "Free space below Docker's folder and the agent's data directory.",
        ),
        FleetCause::ContainerStart => (
            "the container could not be created or started",
            "The message has the engine's words; container.options is a usual reason.",
        ),
        FleetCause::OutOfMemory => ("the machine itself ran out of memory", "Fewer slots, or --job-memory."),
        FleetCause::InitLost => (
            "the container's PID 1 ended or never connected",
            "Something outside removed the container, or the image cannot run a static Linux program.",
        ),
        FleetCause::CheckoutUnavailable => (
            "the repository could not be fetched",
            "Is the forge in reach from the agent's machine, does the commit still exist?",
        ),
        FleetCause::ActionUnavailable => {
            ("could not be fetched", "Is the agent's --actions-source in reach from its machine?")
        }
        FleetCause::Internal => (
            "the agent itself failed, or reported a log that is not the one that is kept",
            "The agent's log says more; please report it.",
        ),
    }
}

/// The cause with its words.
pub(super) fn explained(cause: FleetCause) -> Markup {
    let (happened, todo) = told(cause);
    let what = if cause == FleetCause::ActionUnavailable { "an action " } else { "" };
    html! { strong { "Fleet failure: " (what) (happened) "." } " " (todo) " " code { (cause) } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_is_told_as_the_documentation_has_it() {
        let documentation = include_str!("../../../docs/FAILURES.md");
        for cause in FleetCause::ALL {
            let row = documentation.lines().find(|line| line.starts_with(&format!("| `{cause}`")));
            let row = row.unwrap_or_default();
            assert!(row.contains(told(cause).0), "{cause}: {row}");
            assert!(explained(cause).0.contains(cause.as_str()));
        }
    }
}
