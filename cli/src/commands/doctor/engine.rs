//! The container engine and the images that jobs run in.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use slipway_agent::configured_images::{Presence, configured_for, presence};
use slipway_agent::disk::images::brought_by;
use slipway_agent::disk::space::shown;
use slipway_agent::docker::network::AddressRange;
use slipway_agent::docker::{About, Engine};
use slipway_agent::failure::Failure;
use slipway_agent::options::RUNNER_IMAGE;
use slipway_agent::options::job_engine::ENGINE_IMAGE;

use super::{Finding, Status};

/// Who asks the engine.
const ASKER: &str = "slipway-doctor";

/// What is found, and the folder of the engine's images if it is on this machine. `images` are those of a configuration file, by label.
pub(super) async fn look(
    host: &str,
    data_dir: &Path,
    images: &BTreeMap<String, String>,
) -> (Vec<Finding>, Option<PathBuf>) {
    let about = match Engine::connect(host, ASKER).await {
        Ok(engine) => engine.about().await.map(|about| (engine, about)),
        Err(failure) => Err(failure),
    };
    let (engine, about) = match about {
        Ok(found) => found,
        Err(failure) => {
            let (what, hint) = split(&failure.to_string());
            return (vec![Finding::new("engine", Status::Failed, what, hint)], None);
        }
    };
    let mut findings = vec![engine_itself(&about), runtimes(&about), metadata(&about)];
    findings.push(job_engine(&engine).await);
    for name in configured(data_dir, images) {
        findings.push(runner_image(&name, presence(&engine, &name).await));
    }
    findings.extend(brought(&engine, data_dir).await);
    (findings, Some(PathBuf::from(&about.root)))
}

/// The images of jobs without `container:`: as the agent with this data directory has them; without one, as an agent of this
/// configuration would.
fn configured(data_dir: &Path, images: &BTreeMap<String, String>) -> BTreeSet<String> {
    let noted = configured_for(data_dir).ok().flatten();
    noted.unwrap_or_else(|| images.values().cloned().chain([RUNNER_IMAGE.to_owned()]).collect())
}

fn runner_image(name: &str, presence: Result<Presence, Failure>) -> Finding {
    const CHECK: &str = "runner image";
    match presence {
        Ok(Presence::Here) => Finding::ok(CHECK, format!("{name} is here")),
        Ok(Presence::Pulled) => {
            let message = format!("{name} is not here: it is pulled when a job first needs it");
            Finding::new(CHECK, Status::Note, message, "")
        }
        Ok(Presence::Missing(_)) => Finding::new(
            CHECK,
            Status::Warning,
            format!("{name} is not here: jobs without `container:` that it is for cannot start"),
            "make it with scripts/runner-image.sh, or name another with the agent's --default-image or --image",
        ),
        Err(failure) => Finding::new(CHECK, Status::Failed, failure.to_string(), ""),
    }
}

/// What the agent with this data directory brought here for jobs; none where no agent has it.
async fn brought(engine: &Engine, data_dir: &Path) -> Option<Finding> {
    let names = brought_by(data_dir).ok().filter(|names| !names.is_empty())?;
    let mut sizes = BTreeMap::new();
    for name in &names {
        sizes.extend(engine.image_size(name).await.ok().flatten());
    }
    let (count, bytes) = (sizes.len(), sizes.values().sum());
    Some(Finding::ok("images", format!("{count} that jobs brought, {} (--keep-images)", shown(bytes))))
}

fn engine_itself(about: &About) -> Finding {
    let mut found = format!("Docker {}", about.version);
    if about.rootless {
        found.push_str(", rootless");
    }
    let unbounded: Vec<&str> = [(about.memory_limit, "memory"), (about.pids_limit, "processes")]
        .into_iter()
        .filter_map(|(bounded, what)| (!bounded).then_some(what))
        .collect();
    if !unbounded.is_empty() {
        let message = format!("{found}; it cannot bound a job's {}", unbounded.join(" and "));
        let hint = "one job can take the whole machine: mount the cgroup controllers `memory` and `pids`";
        return Finding::new("engine", Status::Warning, message, hint);
    }
    if about.live_restore {
        return Finding::ok("engine", format!("{found}, containers outlive its restart"));
    }
    Finding::new(
        "engine",
        Status::Note,
        format!("{found}; its restart ends the jobs that run"),
        "set \"live-restore\": true in /etc/docker/daemon.json, and jobs go on while it is upgraded",
    )
}

/// What containers of jobs are made of, and whether the engine keeps them from dangerous system calls.
fn runtimes(about: &About) -> Finding {
    let found = format!("{} of {}", about.default_runtime, about.runtimes.join(", "));
    if about.seccomp {
        return Finding::ok("runtime", found);
    }
    Finding::new(
        "runtime",
        Status::Warning,
        format!("{found}; the engine has no seccomp profile: jobs may make any system call"),
        "start dockerd without --seccomp-profile=unconfined, on a kernel with seccomp",
    )
}

/// Whether jobs of the usual range of addresses are kept from the cloud's metadata addresses.
fn metadata(about: &About) -> Finding {
    let range = AddressRange::DEFAULT;
    if about.rootless {
        let message =
            "an engine without root's rights: jobs are not kept from the cloud's metadata addresses";
        return Finding::new("metadata", Status::Warning, message, "see docs/ISOLATION.md");
    }
    match slipway_agent::metadata::stands(range) {
        Ok(()) => {
            Finding::ok("metadata", format!("jobs of {range} do not reach the cloud's metadata addresses"))
        }
        Err(why) => Finding::new(
            "metadata",
            Status::Note,
            why,
            "an agent adds them before its first job; see docs/ISOLATION.md",
        ),
    }
}

/// Whether jobs can have private engines here (`--job-engine private`): tried, where there is the image for it.
async fn job_engine(engine: &Engine) -> Finding {
    const CHECK: &str = "private engine";
    match presence(engine, ENGINE_IMAGE).await {
        Ok(Presence::Here) => match engine.probe_job_engine(ENGINE_IMAGE, None).await {
            Ok(()) => Finding::ok(CHECK, "jobs can have a Docker engine of their own (--job-engine private)"),
            Err(failure) => {
                let (what, hint) = split(&failure.to_string());
                Finding::new(CHECK, Status::Note, what, hint)
            }
        },
        Ok(_) => Finding::new(
            CHECK,
            Status::Note,
            format!("{ENGINE_IMAGE} is not here: no job can have a Docker engine of its own"),
            "make it with scripts/engine-image.sh, if an agent is to be started with --job-engine private",
        ),
        Err(failure) => Finding::new(CHECK, Status::Failed, failure.to_string(), ""),
    }
}

/// What is wrong, and what follows the colon: what to do.
fn split(message: &str) -> (String, String) {
    match message.rsplit_once("): ") {
        Some((what, hint)) => (format!("{what})"), hint.to_owned()),
        None => (message.to_owned(), String::new()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use slipway_agent::configured_images::FILE;

    use super::*;

    #[test]
    fn the_agents_own_images_go_before_those_of_the_configuration() {
        let folder = tempfile::tempdir().unwrap();
        let file = BTreeMap::from([("label".to_owned(), "team/image:1".to_owned())]);
        let names = |file: &BTreeMap<_, _>| configured(folder.path(), file).into_iter().collect::<Vec<_>>();
        assert_eq!(names(&BTreeMap::new()), [RUNNER_IMAGE]);
        assert_eq!(names(&file), [RUNNER_IMAGE, "team/image:1"]);
        std::fs::write(folder.path().join(FILE), r#"["agents/own:1"]"#).unwrap();
        assert_eq!(names(&file), ["agents/own:1"]);
    }
}
