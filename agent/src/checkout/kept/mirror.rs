//! A repository as the agent knows it: bare, with what its jobs have fetched so far.
//!
//! A checkout takes packs and refs by copying them: no file of the mirror is ever a job's, and none of a job's is ever read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::OwnedMutexGuard;

use crate::checkout::CheckoutError;
use crate::checkout::git::{WANTED, fetch_arguments, git, git_as};
use crate::checkout::inputs::Fetch;
use crate::failure::Failure;
use crate::git::{self as machine_git, Authorization};
use crate::limits::{MIRROR_BYTES_MAX, MIRROR_PACKS_MAX};
use crate::removal::remove;

/// Files that a git which was killed leaves in the way of the next one. Nobody else is at work while the mirror is held.
const LOCKS: [&str; 6] = [
    "HEAD.lock",
    "config.lock",
    "packed-refs.lock",
    "shallow.lock",
    "index.lock",
    "refs/slipway/wanted.lock",
];

/// Where the mirror has the commits that were checked out.
const KEPT: &str = "refs/kept/";

/// What was wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::checkout) struct Found {
    /// A commit, or a tag of one.
    pub(in crate::checkout) object: String,
    /// The commit.
    pub(in crate::checkout) commit: String,
}

/// A mirror, held by one at a time.
#[derive(Debug)]
pub(in crate::checkout) struct Mirror {
    folder: PathBuf,
    _held: OwnedMutexGuard<()>,
}

/// An error of the agent's own disk.
fn failed(error: &io::Error) -> CheckoutError {
    Failure::io("cannot use what is kept of a repository", error).into()
}

impl Mirror {
    pub(super) fn new(folder: PathBuf, held: OwnedMutexGuard<()>) -> Self {
        Self { folder, _held: held }
    }

    /// Fetches what is wanted, as far as it is not here. The server is asked in any case.
    pub(in crate::checkout) async fn fetch(
        &self,
        wanted: &Fetch,
        authorization: Option<&Authorization>,
        say: &mut (dyn FnMut(String) + Send),
    ) -> Result<Found, CheckoutError> {
        if self.folder.join("HEAD").is_file() {
            for lock in LOCKS {
                let _ = fs::remove_file(self.folder.join(lock));
            }
        } else {
            remove(&self.folder).map_err(|error| failed(&error))?;
            fs::create_dir_all(&self.folder).map_err(|error| failed(&error))?;
            git(&self.folder, &["init", "--quiet", "--bare", "."], &mut |_| {}).await?;
        }
        // Of the one before, so that nobody takes it for this one's.
        git(&self.folder, &["update-ref", "-d", WANTED], &mut |_| {}).await?;
        // Packs are what is copied; and a branch or tag that is gone is gone here, too.
        let mut arguments = vec!["-c", "fetch.unpackLimit=1"];
        let (options, refs) = fetch_arguments(wanted);
        arguments.extend(options.iter().map(String::as_str));
        arguments.extend(["--prune", wanted.url.as_str()]);
        arguments.extend(refs.iter().map(String::as_str));
        git_as(authorization, &self.folder, &arguments, say).await?;
        // When it was used last.
        let now =
            fs::File::open(&self.folder).and_then(|folder| folder.set_modified(std::time::SystemTime::now()));
        now.map_err(|error| failed(&error))?;
        let commit = format!("{WANTED}^{{commit}}");
        let found = machine_git::output(&self.folder, &["rev-parse", WANTED, &commit]).await;
        let found = found.map_err(crate::checkout::git::explain)?;
        let found = String::from_utf8_lossy(&found);
        let mut found = found.lines().map(str::to_owned);
        let found =
            Found { object: found.next().unwrap_or_default(), commit: found.next().unwrap_or_default() };
        // What the server is told that is here.
        let kept = format!("{KEPT}{}", found.commit);
        git(&self.folder, &["update-ref", &kept, &found.commit], &mut |_| {}).await?;
        Ok(found)
    }

    /// Gives a repository (its `.git`) what it lacks of the objects, the refs, and the place where its history ends.
    pub(in crate::checkout) async fn give(
        &self,
        wanted: &Fetch,
        found: &Found,
        repository: &Path,
    ) -> Result<(), CheckoutError> {
        let shallow = self.shallow(&found.commit).await?;
        let all_refs = wanted.depth == 0 || wanted.tags;
        if all_refs {
            git(&self.folder, &["pack-refs", "--all"], &mut |_| {}).await?;
        }
        let (from, to, object) = (self.folder.clone(), repository.to_owned(), found.object.clone());
        let copying = move || -> io::Result<()> {
            copy_packs(&from.join("objects/pack"), &to.join("objects/pack"))?;
            if all_refs {
                fs::write(
                    to.join("packed-refs"),
                    servers_refs(&fs::read_to_string(from.join("packed-refs"))?),
                )?;
            }
            match shallow.is_empty() {
                true => remove(&to.join("shallow"))?,
                false => fs::write(to.join("shallow"), shallow)?,
            }
            let wanted = to.join(WANTED);
            fs::create_dir_all(wanted.parent().unwrap_or(&to))?;
            fs::write(wanted, format!("{object}\n"))
        };
        let copied = tokio::task::spawn_blocking(copying).await;
        let copied = copied.unwrap_or_else(|error| Err(io::Error::other(error)));
        copied.map_err(|error| failed(&error))
    }

    /// The commits at which the history of this one ends, as `.git/shallow` has them. The mirror's own has those of other commits, too.
    async fn shallow(&self, commit: &str) -> Result<String, CheckoutError> {
        let all = match fs::read_to_string(self.folder.join("shallow")) {
            Ok(all) => all,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(failed(&error)),
        };
        let history = machine_git::output(&self.folder, &["rev-list", commit]).await;
        let history = history.map_err(crate::checkout::git::explain)?;
        let history = String::from_utf8_lossy(&history);
        let history: std::collections::HashSet<&str> = history.lines().collect();
        let ends = all.lines().filter(|end| history.contains(end));
        Ok(ends.map(|end| format!("{end}\n")).collect())
    }

    /// Whether it has grown beyond what is kept; then the next checkout begins a new one.
    pub(in crate::checkout) fn remove_if_grown(&self) {
        let packs = fs::read_dir(self.folder.join("objects/pack")).into_iter().flatten().flatten();
        let (mut count, mut bytes) = (0, 0);
        for pack in packs {
            count += usize::from(pack.path().extension().is_some_and(|extension| extension == "pack"));
            bytes += pack.metadata().map_or(0, |found| found.len());
        }
        if count > MIRROR_PACKS_MAX || bytes > MIRROR_BYTES_MAX {
            self.remove();
        }
    }

    /// Removes it: it is of no use.
    pub(in crate::checkout) fn remove(&self) {
        if let Err(error) = remove(&self.folder) {
            tracing::warn!(folder = %self.folder.display(), %error, "a mirror of a repository stays behind");
        }
    }
}

/// The server's refs of a `packed-refs`; the mirror has some of its own. A line that begins with `^` belongs to the one before.
fn servers_refs(packed: &str) -> String {
    let (mut refs, mut is_servers) = (String::with_capacity(packed.len()), true);
    for line in packed.split_inclusive('\n') {
        if !line.starts_with('^') {
            is_servers = !line.contains(KEPT) && !line.contains(WANTED);
        }
        if is_servers {
            refs.push_str(line);
        }
    }
    refs
}

/// Copies packs that are not there. The index comes last: without it a pack is not one.
fn copy_packs(from: &Path, to: &Path) -> io::Result<()> {
    let mut names: Vec<_> =
        fs::read_dir(from)?.map(|entry| entry.map(|entry| entry.file_name())).collect::<Result<_, _>>()?;
    names.retain(|name| {
        let name = name.to_string_lossy();
        name.starts_with("pack-") && [".pack", ".rev", ".idx"].iter().any(|ending| name.ends_with(ending))
    });
    names.sort_by_key(|name| name.to_string_lossy().ends_with(".idx"));
    for name in names {
        let (from, to) = (from.join(&name), to.join(&name));
        if !to.exists() {
            fs::copy(from, to)?;
        }
    }
    Ok(())
}
