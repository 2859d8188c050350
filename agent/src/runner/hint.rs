//! What a person should know about a step that failed here and would not on a machine of its own.

use slipway_workflow::job_spec::StepAction;

use crate::options::job_engine::Kind;

/// Said after a step failed that calls Docker, where jobs have no engine.
const DOCKER: &str = "This step calls docker. Jobs on this agent have no Docker engine; its administrator can give each one of its own \
                      (--job-engine private, docs/ISOLATION.md). Images can also be built with buildah (docs/IMAGES.md); `container:`, \
                      `services:` and Docker actions give containers.";

/// What to say after a step's process failed, if anything.
pub(super) fn after_failure(action: &StepAction, engine: Kind) -> Option<&'static str> {
    match action {
        StepAction::Run { script, .. } if engine == Kind::None && calls_docker(&script.text) => Some(DOCKER),
        _ => None,
    }
}

/// Whether a script calls `docker` or `docker-compose`, as far as one sees without a shell. A script that names another engine knows
/// better.
fn calls_docker(script: &str) -> bool {
    let words = |line: &str| {
        let ends = |c: char| c.is_whitespace() || ";|&()`".contains(c);
        line.split(ends).any(|word| matches!(word.rsplit('/').next(), Some("docker" | "docker-compose")))
    };
    let lines = script.lines().filter(|line| !line.trim_start().starts_with('#'));
    !script.contains("DOCKER_HOST") && lines.into_iter().any(words)
}

#[cfg(test)]
mod tests {
    use super::calls_docker;

    #[test]
    fn a_call_of_docker_is_seen() {
        for script in [
            "docker build .",
            "set -e\nsudo /usr/bin/docker run x",
            "x=$(docker ps)",
            "true && docker-compose up",
        ] {
            assert!(calls_docker(script), "{script}");
        }
        for script in
            ["echo dockerfile", "# docker build", "cat docker.txt", "DOCKER_HOST=tcp://dind docker ps"]
        {
            assert!(!calls_docker(script), "{script}");
        }
    }
}
