//! A copy of a fetched tree in a job's work folder.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Component, Path};

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;

use super::Fetched;
use super::digest::walk;
use crate::beneath::{LINKS_BELOW, open_beneath};
use crate::checkout::{give_all, remove};
use crate::docker::passwd::ContainerUser;
use crate::runner::inside::Inside;

/// Copies a fetched tree to `relative` below a job's work folder, in place of what is there, and gives it to the
/// container's user. No link is followed out of the root.
///
/// The copy is made beside the work folder, where the job's processes cannot meddle, and moved there in one rename.
///
/// # Errors
/// When it can't be copied, or a step has put something in the way.
pub async fn place(fetched: &Fetched, work: &Path, relative: &Path, user: &ContainerUser) -> io::Result<()> {
    // It stays in use until the copy is made, even when nobody waits for it any more.
    let (fetched, work, relative, user) =
        (fetched.clone(), work.to_owned(), relative.to_owned(), user.clone());
    let placing = tokio::task::spawn_blocking(move || {
        let beside =
            work.parent().ok_or_else(|| io::Error::other("the work folder has no folder around it"))?;
        let staging = beside.join(format!(".action-{}", uuid::Uuid::new_v4().simple()));
        let placed =
            stage(&fetched.folder, &staging, &user).and_then(|()| put(&staging, &work, &relative, &user));
        if placed.is_err() {
            let _ = remove(&staging);
        }
        placed
    });
    placing.await.map_err(io::Error::other)?
}

/// Copies a tree to a new folder and gives it away.
fn stage(tree: &Path, staging: &Path, user: &ContainerUser) -> io::Result<()> {
    std::fs::DirBuilder::new().mode(0o755).create(staging)?;
    walk(tree, &mut |path, found| {
        let to = staging.join(path.strip_prefix(tree).map_err(io::Error::other)?);
        if found.is_dir() {
            std::fs::DirBuilder::new().mode(0o755).create(&to)
        } else if found.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(path)?, &to)
        } else if found.is_file() {
            std::fs::copy(path, &to).map(drop)
        } else {
            Err(io::Error::other(format!("{} is no file, folder or link", path.display())))
        }
    })?;
    give_all(staging, user)
}

fn put(staging: &Path, work: &Path, relative: &Path, user: &ContainerUser) -> io::Result<()> {
    let below = relative.components().all(|part| matches!(part, Component::Normal(_)));
    let (Some(parent), Some(name), true) = (relative.parent(), relative.file_name(), below) else {
        return Err(io::Error::other(format!("{} is no path below the work folder", relative.display())));
    };
    let parent = Inside::make(work, parent, user)?;
    let there = parent.path().join(name);
    remove(&there)?;
    std::fs::rename(staging, &there)
}

/// See [`Fetched::read`].
pub(super) fn read_inside(root: &Path, relative: &Path, max: usize) -> io::Result<Option<Vec<u8>>> {
    let root = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match open_beneath(&root, relative, flags, LINKS_BELOW) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    if !file.metadata()?.is_file() {
        return Ok(None);
    }
    let mut bytes = Vec::new();
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(Some(bytes))
}
