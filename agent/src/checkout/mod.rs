//! `actions/checkout`, built in: the run's code into the workspace, without Node and without asking GitHub.
//!
//! The tree is made in a folder of the agent's own, given to the container's user and then moved into the workspace in
//! one rename. So nothing that an earlier step left there (a link, a git configuration, a hook) can make the agent run
//! or overwrite anything on the host.
//!
//! Deliberately absent: Git LFS and access by SSH keys. A step that asks for them gets the original action.

mod git;
mod inputs;
pub mod kept;
mod tree;

use std::path::{Path, PathBuf};

use slipway_workflow::job_spec::Source;

use crate::coordinator::Coordinator;
use crate::docker::passwd::ContainerUser;
use crate::failure::{Cause, Failure};
pub(crate) use crate::removal::remove;
use crate::runner::inside::Inside;
use crate::steps::values::Values;
pub use inputs::{Fetch, Inputs, needs_original};
use kept::Kept;

/// Why there is no code.
#[derive(Debug)]
pub enum CheckoutError {
    /// The workflow asks for what can't be; the step fails.
    Step(String),
    /// The fleet could not get it.
    Fleet(Failure),
}

impl From<Failure> for CheckoutError {
    fn from(failure: Failure) -> Self {
        Self::Fleet(failure)
    }
}

/// Where a checkout goes.
#[derive(Debug)]
pub struct Target<'a> {
    /// A folder of the agent's own on the same file system.
    pub staging: PathBuf,
    /// The job's `work` folder, below which the container's processes may change anything.
    pub work: &'a Path,
    /// The workspace below `work`.
    pub workspace: PathBuf,
    /// Whom the files belong to.
    pub user: &'a ContainerUser,
    /// What the agent keeps of repositories.
    pub kept: &'a Kept,
}

/// Checks the run's code out; `token` is the run's own, where the step names none; `say` gets lines for the step's log. Gives the commit, where there is one.
///
/// # Errors
/// See [`CheckoutError`].
pub async fn checkout(
    coordinator: &Coordinator,
    source: &Source,
    with: &Values,
    token: Option<&str>,
    target: &Target<'_>,
    say: &mut (dyn FnMut(String) + Send),
) -> Result<Option<String>, CheckoutError> {
    let inputs = Inputs::read(with).map_err(CheckoutError::Step)?.or_token(token);
    let io = |error: std::io::Error| Failure::io("cannot prepare the checkout", &error);
    remove(&target.staging).map_err(io)?;
    std::fs::create_dir_all(&target.staging).map_err(io)?;
    let commit = match source {
        Source::None => {
            return Err(CheckoutError::Step(
                "there is nothing to check out: the run was started without a repository or working tree"
                    .to_owned(),
            ));
        }
        Source::Tree { digest, size_bytes } => {
            inputs.refuse_other_code().map_err(CheckoutError::Step)?;
            let sparse =
                if inputs.is_sparse() { ", whole: `sparse-checkout` is for repositories" } else { "" };
            say(format!("Unpacking the uploaded working tree{sparse}"));
            tree::unpack(coordinator, digest, *size_bytes, &target.staging).await?;
            None
        }
        Source::Git { clone_url, repository, git_ref, sha } => {
            let fetch = inputs.fetch(clone_url, repository, git_ref, sha).map_err(CheckoutError::Step)?;
            say(format!("Fetching {} at {}", fetch.url, fetch.wanted));
            Some(git::fetch(&fetch, &target.staging, target.user, target.kept, say).await?)
        }
    };
    let (staging, user) = (target.staging.clone(), target.user.clone());
    // A ready tree is the user's already, but for what git wrote just now.
    let to_give = match &commit {
        Some(done) if done.given => staging.join(".git"),
        _ => staging,
    };
    let given = tokio::task::spawn_blocking(move || give_all(&to_give, &user)).await;
    given
        .map_err(|error| Failure::new(Cause::Internal, error.to_string()))?
        .map_err(|error| Failure::io("cannot give the code to the container's user", &error))?;
    place(target, &inputs)?;
    Ok(commit.map(|done| done.commit))
}

/// Moves the staged tree to where the step wants it, in place of what is there.
fn place(target: &Target<'_>, inputs: &Inputs) -> Result<(), CheckoutError> {
    let destination = match &inputs.path {
        Some(path) => target.workspace.join(path),
        None => target.workspace.clone(),
    };
    let (Some(parent), Some(name)) = (destination.parent(), destination.file_name()) else {
        return Err(CheckoutError::Step("`path` must name a folder in the workspace".to_owned()));
    };
    let unusable = |error: std::io::Error| {
        CheckoutError::Step(format!("cannot check out into {}: {error}", destination.display()))
    };
    let parent = Inside::make(target.work, parent, target.user).map_err(unusable)?;
    let there = parent.path().join(name);
    if !inputs.clean
        && let Ok(old) = parent.child(std::path::Path::new(name))
    {
        let new = Inside::open(&target.staging, Path::new("")).map_err(unusable)?;
        old.keep_in(&new).map_err(unusable)?;
    }
    remove(&there).map_err(unusable)?;
    std::fs::rename(&target.staging, &there).map_err(unusable)
}

/// Gives a tree to the container's user. An agent that is not root may not; then the tree stays its own, and is
/// writable for others. However deep the tree is, one folder is open at a time.
pub(crate) fn give_all(path: &Path, user: &ContainerUser) -> std::io::Result<()> {
    let mut waiting = vec![path.to_owned()];
    while let Some(path) = waiting.pop() {
        let found = std::fs::symlink_metadata(&path)?;
        if found.is_dir() {
            for entry in std::fs::read_dir(&path)? {
                waiting.push(entry?.path());
            }
        }
        give(&path, &found, user)?;
    }
    Ok(())
}

fn give(path: &Path, found: &std::fs::Metadata, user: &ContainerUser) -> std::io::Result<()> {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    if (found.uid(), found.gid()) == (user.uid, user.gid) {
        return Ok(());
    }
    match std::os::unix::fs::lchown(path, Some(user.uid), Some(user.gid)) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            if found.is_symlink() || found.uid() == user.uid {
                return Ok(());
            }
            let mode = found.permissions().mode();
            std::fs::set_permissions(
                path,
                std::fs::Permissions::from_mode(mode | (mode & 0o700) >> 3 | (mode & 0o700) >> 6),
            )
        }
        other => other,
    }
}
