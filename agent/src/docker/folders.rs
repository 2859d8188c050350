//! Folders of a job in its containers.
//!
//! The engine mounts by path, as root, and follows links; what lies below a job's work folder the job may replace at any time. So
//! the agent opens each folder without following a link and notes where it is, and compares that with what the kernel says was mounted
//! once the container runs. Nothing of image or job runs before that: the container's first program is init, which waits for orders.
//!
//! An image may have links, too, at the places where something is mounted. That init is the agent's own, and listens to the agent
//! alone, does not depend on any of them: it is mounted at a place that no image can know.

use std::path::{Path, PathBuf};

use bollard::models::{Mount, MountType};

use super::mounts::{MountKey, Mounts};
use crate::failure::{Cause, Failure};
use crate::runner::inside::Inside;

/// What a person reads when something else was mounted than the agent meant.
pub const WRONG_FOLDER_MESSAGE: &str = "a process of the job put something else in the place of one of its folders (the workspace, \
                                        the temporary folder) while a container with them was started";

/// A folder of the agent's disk in a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    host: PathBuf,
    at: String,
    read_only: bool,
    /// Where it really is, for one that a job may have replaced.
    real: Option<PathBuf>,
}

impl Folder {
    /// One that no job can replace.
    #[must_use]
    pub fn fixed(host: PathBuf, at: &str) -> Self {
        Self { host, at: at.to_owned(), read_only: false, real: None }
    }

    /// `relative` below `work`, which the job may change.
    ///
    /// # Errors
    /// `internal`, when there is a link or no folder.
    pub fn of_job(work: &Path, relative: &Path, at: &str) -> Result<Self, Failure> {
        let host = work.join(relative);
        let opened = Inside::open(work, relative);
        let real =
            opened.and_then(|inside| std::fs::read_link(format!("/proc/self/fd/{}", inside.as_raw_fd())));
        let real = real.map_err(|error| {
            Failure::new(
                Cause::Internal,
                format!("cannot mount {}, no folder of the job: {error}", host.display()),
            )
        })?;
        Ok(Self { host, at: at.to_owned(), read_only: false, real: Some(real) })
    }

    /// The same, not to be written.
    #[must_use]
    pub fn read_only(self) -> Self {
        Self { read_only: true, ..self }
    }

    /// Whether it is mounted there.
    #[must_use]
    pub fn is_at(&self, at: &str) -> bool {
        self.at == at
    }

    /// Whether the engine speaks of it, and the job may have replaced it: then that is why it could not be mounted.
    #[must_use]
    pub fn is_blamed(&self, failure: &Failure) -> bool {
        self.real.is_some() && failure.message.contains(&self.host.display().to_string())
    }

    /// For the engine. Unlike a bind by its short form it makes no folder that is missing.
    pub(super) fn mount(&self) -> Mount {
        Mount {
            typ: Some(MountType::BIND),
            source: Some(self.host.display().to_string()),
            target: Some(self.at.clone()),
            read_only: Some(self.read_only),
            ..Mount::default()
        }
    }
}

/// Whether all folders are mounted in the container whose first process this is, as this process sees it: each that a job could
/// have replaced as often as it was asked for, so that none stands for another.
///
/// # Errors
/// When the kernel does not tell.
pub fn are_mounted(folders: &[Folder], pid: u32) -> std::io::Result<bool> {
    let wanted: Vec<&PathBuf> = folders.iter().filter_map(|folder| folder.real.as_ref()).collect();
    if wanted.is_empty() {
        return Ok(true);
    }
    let (own, theirs) = (Mounts::of("self")?, Mounts::of(&pid.to_string())?);
    let wanted: Option<Vec<MountKey>> = wanted.into_iter().map(|real| own.key(real)).collect();
    let Some(wanted) = wanted else { return Ok(false) };
    let times = |key: &MountKey| wanted.iter().filter(|other| *other == key).count();
    Ok(wanted.iter().all(|key| theirs.times(key) >= times(key)))
}
