//! `volumes` of a workflow's containers: what of the machine they may name, and the volumes that are a job's own.
//!
//! On a machine that many jobs share, a folder of the machine gives a job the machine, and a volume that outlives its job is a way
//! from one job to another. So by default a workflow has: anonymous volumes; named ones, which all containers of the job share
//! and which end with it; and paths below the job's own folder. Anything else an admin allows (`--allow-volume`).

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use bollard::models::VolumeCreateRequest;
use bollard::query_parameters::{ListVolumesOptionsBuilder, RemoveVolumeOptionsBuilder};
use thiserror::Error;

use super::{Engine, LABEL_AGENT, LABEL_JOB, is_missing};
use crate::failure::{Cause, Failure};
use crate::init::limits::MOUNT_PATH;

/// Longest name of a volume.
const MAX_NAME_BYTES: usize = 100;

/// Modes that mount no more than the folder itself. Propagation (`shared`, `rslave`) reaches further.
const MODES: [&str; 7] = ["ro", "rw", "z", "Z", "nocopy", "cached", "delegated"];

/// One of `volumes`, as far as it is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// What is mounted.
    pub source: Source,
    /// Where: an absolute path of the container.
    pub target: String,
    /// `ro` and the like.
    pub mode: Option<String>,
}

/// What is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A new volume that nobody else has.
    Anonymous,
    /// A volume of the job, by this name.
    Job(String),
    /// A path below the job's work folder.
    Work(PathBuf),
    /// A folder of the machine or a volume of the engine, which an admin has allowed.
    Machine(String),
}

/// What an admin allows.
#[derive(Debug, Clone, Copy)]
pub struct Allowed<'a> {
    /// Everything (`--allow-privileged`).
    pub everything: bool,
    /// These (`--allow-volume`).
    pub volumes: &'a [String],
    /// Where jobs without `container:` see their work folder: such paths are the job's own.
    pub work: &'a str,
}

/// A volume that can't be used; the text is for the workflow's author.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VolumeError {
    /// It is no volume.
    #[error("volume `{0}` is not PATH, NAME:PATH or NAME:PATH:MODE, with whole paths")]
    Malformed(String),
    /// It reaches further than the folder.
    #[error("volume `{0}` has the mode `{1}`, which is not supported")]
    Mode(String, String),
    /// It is the machine's.
    #[error(
        "volume `{0}` names a folder of the machine, which is not allowed on this agent: use a named volume, or have its \
         administrator start it with `--allow-volume {1}`"
    )]
    Machine(String, String),
}

impl Volume {
    /// Reads one of `volumes`.
    ///
    /// # Errors
    /// See [`VolumeError`].
    pub fn parse(text: &str, allowed: Allowed<'_>) -> Result<Self, VolumeError> {
        let malformed = || VolumeError::Malformed(text.to_owned());
        let parts: Vec<&str> = text.trim().split(':').collect();
        let (source, target, mode) = match parts.as_slice() {
            [target] => (None, *target, None),
            // `/data:ro`: an anonymous one.
            [target, mode] if !mode.starts_with('/') => (None, *target, Some(*mode)),
            [source, target] => (Some(*source), *target, None),
            [source, target, mode] => (Some(*source), *target, Some(*mode)),
            _ => return Err(malformed()),
        };
        let climbs = |path: &str| Path::new(path).components().any(|part| part == Component::ParentDir);
        if !is_place(target) || climbs(target) {
            return Err(malformed());
        }
        if let Some(wrong) =
            mode.into_iter().flat_map(|mode| mode.split(',')).find(|mode| !MODES.contains(mode))
            && !allowed.everything
        {
            return Err(VolumeError::Mode(text.to_owned(), wrong.to_owned()));
        }
        let source = match source {
            None => Source::Anonymous,
            Some(source) if allowed.volumes.iter().any(|known| known == source) => {
                Source::Machine(source.to_owned())
            }
            Some(source) => match below(source, allowed.work).filter(|_| !climbs(source)) {
                Some(inside) => Source::Work(inside),
                None if allowed.everything => Source::Machine(source.to_owned()),
                None if is_name(source) => Source::Job(source.to_owned()),
                None if source.starts_with('/') => {
                    return Err(VolumeError::Machine(text.to_owned(), source.to_owned()));
                }
                None => return Err(malformed()),
            },
        };
        Ok(Self { source, target: target.to_owned(), mode: mode.map(str::to_owned) })
    }

    /// For the engine: with this source, none for an anonymous volume.
    #[must_use]
    pub fn bind(&self, source: Option<&str>) -> String {
        let parts = source.into_iter().chain([self.target.as_str()]).chain(self.mode.as_deref());
        parts.collect::<Vec<_>>().join(":")
    }

    /// Whether it is only read.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.mode.iter().flat_map(|mode| mode.split(',')).any(|mode| mode == "ro")
    }

    /// Whether it is below the job's work folder.
    #[must_use]
    pub fn is_of_work(&self) -> bool {
        matches!(self.source, Source::Work(_))
    }
}

/// A path below the work folder, relative to it.
fn below(path: &str, work: &str) -> Option<PathBuf> {
    Path::new(path).strip_prefix(work).ok().map(Path::to_path_buf)
}

/// Whether something may be mounted there: an absolute path, neither the container's root nor where init is.
pub(crate) fn is_place(target: &str) -> bool {
    let mut parts = target.split('/').filter(|part| !part.is_empty() && *part != ".");
    target.starts_with('/')
        && parts.next().is_some_and(|first| !first.starts_with(MOUNT_PATH.trim_start_matches('/')))
}

/// Whether the engine takes this for the name of a volume.
pub(crate) fn is_name(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (2..=MAX_NAME_BYTES).contains(&text.len())
        && text.bytes().all(plain)
        && text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
}

impl Engine {
    /// The engine's name for a volume of the job whose folder has this name; it is made unless it is there.
    ///
    /// # Errors
    /// `container_start`.
    pub async fn job_volume(&self, job: &str, name: &str) -> Result<String, Failure> {
        let whole = format!("slipway-{job}-{name}");
        let labels = [(LABEL_AGENT, self.agent.as_str()), (LABEL_JOB, job)];
        let request = VolumeCreateRequest {
            name: Some(whole.clone()),
            labels: Some(labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into()),
            ..VolumeCreateRequest::default()
        };
        match self.docker.create_volume(request).await {
            Ok(_) => Ok(whole),
            Err(error) => Err(self.failure(Cause::ContainerStart, "cannot create a volume", &error)),
        }
    }

    /// Removes the volumes of the job whose folder has this name, once its containers are gone; with none, those of all jobs but
    /// `except`.
    ///
    /// # Errors
    /// When the engine can't be asked, or does not want to.
    pub async fn remove_job_volumes(&self, job: Option<&str>, except: &[String]) -> Result<(), Failure> {
        let label = match job {
            Some(job) => format!("{LABEL_JOB}={job}"),
            None => LABEL_JOB.to_owned(),
        };
        let filters = HashMap::from([("label", vec![format!("{LABEL_AGENT}={}", self.agent), label])]);
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        let found = self.docker.list_volumes(Some(options)).await;
        let found =
            found.map_err(|error| self.failure(Cause::EngineUnavailable, "cannot list volumes", &error))?;
        for volume in found.volumes.unwrap_or_default() {
            if volume.labels.get(LABEL_JOB).is_some_and(|job| except.contains(job)) {
                continue;
            }
            let options = RemoveVolumeOptionsBuilder::default().force(true).build();
            match self.docker.remove_volume(&volume.name, Some(options)).await {
                Ok(()) => {}
                Err(error) if is_missing(&error) => {}
                Err(error) => {
                    return Err(self.failure(Cause::EngineUnavailable, "cannot remove a volume", &error));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const WORK: &str = "/home/runner/work";

    fn parse(text: &str) -> Result<Volume, VolumeError> {
        Volume::parse(text, Allowed { everything: false, volumes: &["/srv/data".to_owned()], work: WORK })
    }

    #[test]
    fn a_job_has_volumes_of_its_own_and_paths_of_its_own_folder() {
        for (text, source) in [
            ("/data", Source::Anonymous),
            ("/data:ro", Source::Anonymous),
            ("cache:/data", Source::Job("cache".to_owned())),
            ("my.cache-1:/data:ro,z", Source::Job("my.cache-1".to_owned())),
            ("/home/runner/work/r/r:/src", Source::Work("r/r".into())),
            ("/home/runner/work:/src:ro", Source::Work("".into())),
            ("/srv/data:/data", Source::Machine("/srv/data".to_owned())),
        ] {
            assert_eq!(parse(text).unwrap().source, source, "{text}");
        }
        assert_eq!(parse("cache:/data:ro").unwrap().bind(Some("x")), "x:/data:ro");
        assert_eq!(parse("/data:ro").unwrap().bind(None), "/data:ro");
    }

    #[test]
    fn a_folder_of_the_machine_is_refused_with_the_flag_that_allows_it() {
        for text in [
            "/:/host",
            "/var/run/docker.sock:/var/run/docker.sock",
            "/srv/data/below:/data",
            "/srv/data/..:/data",
            "/home/runner/work/../../../etc:/data",
            "/home/runner/worker:/data",
        ] {
            let message = parse(text).unwrap_err().to_string();
            assert!(message.contains("--allow-volume") && message.contains(text), "{message}");
        }
        for text in [
            "",
            "x",
            "./a:/data",
            "../a:/data",
            "a:b:c:d",
            "ab:/",
            "ab:/x/../y",
            "-a:/x",
            "ab:c",
            "a b:/x",
            "ab:/.slipway",
            "ab://.slipway/x",
        ] {
            assert!(matches!(parse(text), Err(VolumeError::Malformed(_))), "{text}");
        }
        for text in ["ab:/data:shared", "/srv/data:/data:rslave", "ab:/data:rw,rshared"] {
            assert!(matches!(parse(text), Err(VolumeError::Mode(..))), "{text}");
        }
        let everything = Allowed { everything: true, volumes: &[], work: WORK };
        let whole = Volume::parse("/:/host:rslave", everything).unwrap();
        assert_eq!(whole.source, Source::Machine("/".to_owned()));
    }
}
