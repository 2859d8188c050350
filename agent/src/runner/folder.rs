//! A job's folder on the agent's disk, and where its parts are inside the container.
//!
//! ```text
//! <data-dir>/jobs/<instance>-<attempt>/
//!   spec.json   the specification
//!   journal/    see crate::journal
//!   spool       init's output, mode 0600, never mounted
//!   run/        init, its sockets and the program of built-in actions, mounted read-only
//!   work/       workspace and temporary files, mounted
//!   tools/      the tool cache of a container job, mounted
//!   engine/     of the job's private Docker engine: as `spool` and `run/`, and its socket and its storage, mounted
//!   actions/    what was read of actions
//!   action/     as `spool` and `run/`, of a Docker action under way; `action-3/` that of lane 3 (a step of the background)
//! ```

use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use super::inside::{Inside, give};
use crate::docker::folders::Folder;
use crate::docker::passwd::ContainerUser;
use crate::failure::Failure;
use crate::removal;
use crate::steps::shell::Semantics;

/// Where a job's files are on the host.
#[derive(Debug, Clone)]
pub struct JobFolder {
    root: PathBuf,
}

impl JobFolder {
    /// The folder of this path; see [`JobFolder::create`].
    #[must_use]
    pub fn new(root: PathBuf) -> Self {
        Self { root }
    }

    /// Makes it, empty: what is there belongs to an attempt that came to nothing.
    ///
    /// # Errors
    /// `disk_full` or `internal`.
    pub fn create(&self) -> Result<(), Failure> {
        let io = |error| Failure::io(format!("cannot make the job folder {}", self.root.display()), &error);
        self.remove().map_err(io)?;
        std::fs::DirBuilder::new().recursive(true).mode(0o711).create(&self.root).map_err(io)
    }

    /// Removes it with everything in it.
    ///
    /// # Errors
    /// When something in it can't be removed.
    pub fn remove(&self) -> std::io::Result<()> {
        removal::remove(&self.root)
    }

    /// Removes what an earlier process made for a container that came to nothing; the journal stays.
    ///
    /// # Errors
    /// `internal`, when something can't be removed.
    pub fn start_over(&self) -> Result<(), Failure> {
        [self.spool(), self.run(), self.work(), self.tools(), self.engine()]
            .iter()
            .try_for_each(|path| removal::remove(path))
            .map_err(|error| Failure::io(format!("cannot clear {}", self.root.display()), &error))
    }

    /// Takes what a sandbox's folder has, by renaming; of its own it must have none of that. The sandbox's folder is gone then.
    ///
    /// # Errors
    /// When something can't be moved: some of it may have been.
    pub fn take_over(&self, sandbox: &Self) -> std::io::Result<()> {
        let moves = [
            (sandbox.spool(), self.spool()),
            (sandbox.run(), self.run()),
            (sandbox.work(), self.work()),
            (sandbox.tools(), self.tools()),
        ];
        moves.iter().try_for_each(|(from, to)| std::fs::rename(from, to))?;
        match std::fs::rename(sandbox.engine(), self.engine()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        removal::remove(&sandbox.root)
    }

    /// Removes what the job's processes wrote and what they work with; journal and spool stay.
    ///
    /// # Errors
    /// When something can't be removed; the rest is gone.
    pub fn clear_work(&self) -> std::io::Result<()> {
        let mut result = Ok(());
        for folder in [self.work(), self.tools(), self.engine()] {
            match std::fs::remove_dir_all(folder) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => result = Err(error),
                _ => {}
            }
        }
        result
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `spec.json`
    #[must_use]
    pub fn spec(&self) -> PathBuf {
        self.root.join("spec.json")
    }

    /// `journal/`
    #[must_use]
    pub fn journal(&self) -> PathBuf {
        self.root.join("journal")
    }

    /// `spool`
    #[must_use]
    pub fn spool(&self) -> PathBuf {
        self.root.join("spool")
    }

    /// `run/`
    #[must_use]
    pub fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    /// `work/`
    #[must_use]
    pub fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// `engine/`
    #[must_use]
    pub fn engine(&self) -> PathBuf {
        self.root.join("engine")
    }

    /// `actions/`
    #[must_use]
    pub fn actions(&self) -> PathBuf {
        self.root.join("actions")
    }

    /// `tools/`
    #[must_use]
    pub fn tools(&self) -> PathBuf {
        self.root.join("tools")
    }
}

/// Where a job without `container:` has its work folder. What stands in `volumes:` is evaluated as such a job sees it.
pub const HOST_WORK: &str = "/home/runner/work";

/// Where things are inside the container (GitHub's paths; see the runner's `ContainerInfo` and hosted images).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    /// Whether the job has `container:`.
    pub semantics: Semantics,
    /// Last part of the repository's name.
    repository: String,
}

impl Layout {
    /// The layout of a job of this repository (`owner/name`).
    #[must_use]
    pub fn new(semantics: Semantics, repository: &str) -> Self {
        let name = repository.rsplit('/').next().unwrap_or_default();
        let plain = !name.is_empty() && name != "." && name != ".." && !name.contains(['\\', ':', '\0']);
        // A run without a repository still has a workspace.
        Self { semantics, repository: if plain { name.to_owned() } else { "work".to_owned() } }
    }

    /// Mount point of `work/`.
    #[must_use]
    pub fn work(&self) -> &'static str {
        match self.semantics {
            Semantics::Host => HOST_WORK,
            Semantics::Container => "/__w",
        }
    }

    /// `GITHUB_WORKSPACE`
    #[must_use]
    pub fn workspace(&self) -> String {
        format!("{}/{}/{}", self.work(), self.repository, self.repository)
    }

    /// The workspace on the host.
    #[must_use]
    pub fn host_workspace(&self, folder: &JobFolder) -> PathBuf {
        folder.work().join(&self.repository).join(&self.repository)
    }

    /// `RUNNER_TEMP`
    #[must_use]
    pub fn temp(&self) -> String {
        format!("{}/_temp", self.work())
    }

    /// `RUNNER_TOOL_CACHE`
    #[must_use]
    pub fn tool_cache(&self) -> &'static str {
        match self.semantics {
            Semantics::Host => "/opt/hostedtoolcache",
            Semantics::Container => "/__t",
        }
    }

    /// `GITHUB_EVENT_PATH`
    #[must_use]
    pub fn event_path(&self) -> String {
        match self.semantics {
            Semantics::Host => format!("{}/_github_workflow/event.json", self.temp()),
            Semantics::Container => "/github/workflow/event.json".to_owned(),
        }
    }

    /// `HOME` of steps.
    #[must_use]
    pub fn home(&self, user: &ContainerUser) -> String {
        match self.semantics {
            Semantics::Host => user.home.clone(),
            Semantics::Container => "/github/home".to_owned(),
        }
    }

    /// What is mounted where.
    ///
    /// # Errors
    /// `internal`, when something else is in the place of a folder.
    pub fn folders(&self, folder: &JobFolder) -> Result<Vec<Folder>, Failure> {
        let mut folders = vec![
            Folder::fixed(folder.run(), crate::init::limits::MOUNT_PATH).read_only(),
            Folder::fixed(folder.work(), self.work()),
        ];
        if self.semantics == Semantics::Container {
            // A service that has the job's folder runs already.
            let below = |name: &str, at| Folder::of_job(&folder.work(), &Path::new("_temp").join(name), at);
            folders.push(below("_github_home", "/github/home")?);
            folders.push(below("_github_workflow", "/github/workflow")?);
            folders.push(Folder::fixed(folder.tools(), self.tool_cache()));
        }
        Ok(folders)
    }

    /// Makes what is mounted, owned by the container's user. What is there already stays.
    ///
    /// # Errors
    /// `disk_full` or `internal`.
    pub fn create(&self, folder: &JobFolder, user: &ContainerUser) -> Result<(), Failure> {
        self.create_common(folder, user)?;
        make_all([folder.work().join(&self.repository), self.host_workspace(folder)], user)
    }

    /// Makes of that what is the same for all repositories.
    ///
    /// # Errors
    /// `disk_full` or `internal`.
    pub fn create_common(&self, folder: &JobFolder, user: &ContainerUser) -> Result<(), Failure> {
        let temp = folder.work().join("_temp");
        let parts = [
            folder.work(),
            temp.clone(),
            temp.join(crate::steps::env_files::FOLDER),
            temp.join("_github_home"),
            temp.join("_github_workflow"),
            folder.tools(),
        ];
        make_all(parts, user)
    }

    /// The temporary folder, or one below it, on the host.
    ///
    /// # Errors
    /// `internal`, when a step has put something else in its place.
    pub(crate) fn inside_temp(&self, folder: &JobFolder, below: &str) -> Result<Inside, Failure> {
        let relative = Path::new("_temp").join(below);
        Inside::open(&folder.work(), &relative).map_err(|error| {
            Failure::io(format!("cannot use {}", folder.work().join(relative).display()), &error)
        })
    }
}

fn make_all(parts: impl IntoIterator<Item = PathBuf>, user: &ContainerUser) -> Result<(), Failure> {
    parts.into_iter().try_for_each(|part| {
        std::fs::create_dir_all(&part)
            .and_then(|()| give(&part, user))
            .map_err(|error| Failure::io(format!("cannot make {}", part.display()), &error))
    })
}
