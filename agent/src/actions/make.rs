//! Makes a tree: fetched by git, which checks each object by its hash, measured before it is written, and compared with
//! the commit afterwards.

use std::path::Path;
use std::sync::Arc;

use super::digest::{Size, digest};
use super::kept::{Kept, Marker};
use super::lock::RepositoryLock;
use super::name::RepositoryName;
use super::{ActionStore, FetchError, Fetched, StoreLimits, git, room, unkept};
use crate::failure::{Cause, Failure};
use crate::git as machine_git;

/// Files are the commit's bytes: no line ends are changed, nothing is filtered or filled in. This file outranks those of
/// the repository.
const ATTRIBUTES: &str = "* -text !eol -ident !filter !working-tree-encoding\n";

/// What is to be made.
pub(super) struct Make<'a> {
    pub(super) store: &'a ActionStore,
    pub(super) name: &'a RepositoryName,
    pub(super) url: &'a str,
    pub(super) commit: &'a str,
    pub(super) lock: Arc<RepositoryLock>,
}

impl Make<'_> {
    pub(super) async fn run(
        &self,
        git_ref: &str,
        say: &mut (dyn FnMut(String) + Send),
    ) -> Result<Fetched, FetchError> {
        let staging = self.lock.staging();
        let made = self.make(&staging, git_ref, say).await;
        if made.is_err() {
            // A failure to remove it is the next one's to meet.
            let _ = crate::checkout::remove(&staging);
        }
        made
    }

    async fn make(
        &self,
        staging: &Path,
        git_ref: &str,
        say: &mut (dyn FnMut(String) + Send),
    ) -> Result<Fetched, FetchError> {
        let (repository, tree) = (staging.join("repository"), staging.join("tree"));
        for folder in [&repository, &tree] {
            std::fs::create_dir_all(folder).map_err(|error| unkept(&error))?;
        }
        let commit = self.commit;
        run(&repository, &["init", "--quiet", "--bare", "."]).await?;
        std::fs::create_dir_all(repository.join("info"))
            .and_then(|()| std::fs::write(repository.join("info/attributes"), ATTRIBUTES))
            .map_err(|error| unkept(&error))?;
        git::fetch_commit(&repository, self.url, self.name, commit, say).await?;
        // A tag of a tag, a tree or a blob is no version of an action.
        if run(&repository, &["cat-file", "-e", &format!("{commit}^{{commit}}")]).await.is_err() {
            return Err(FetchError::Missing(format!("{}@{git_ref} is no commit", self.name)));
        }
        let list = ["ls-tree", "-r", "-t", "-l", "-z", commit];
        let listed = git::bounded(machine_git::output(&repository, &list))
            .await
            .map_err(|error| git::local(&error))?;
        let size = measure(&listed, self.store.limits)
            .map_err(|error| FetchError::Missing(format!("{}@{git_ref}: {error}", self.name)))?;
        let work_tree = format!("--work-tree={}", tree.display());
        let git_dir = format!("--git-dir={}", repository.display());
        let base =
            [git_dir.as_str(), work_tree.as_str(), "-c", "core.bare=false", "-c", "core.symlinks=true"];
        let with = |rest: &[&'static str]| -> Vec<String> {
            base.iter().chain(rest).map(|argument| (*argument).to_owned()).collect()
        };
        let mut place = with(&["checkout", "--quiet", "--force", "--detach"]);
        place.push(commit.to_owned());
        run_all(&tree, &place).await?;
        // An index that knows nothing of the files makes git read and hash all of them.
        std::fs::remove_file(repository.join("index")).map_err(|error| unkept(&error))?;
        let mut read = with(&["read-tree"]);
        read.push(commit.to_owned());
        run_all(&tree, &read).await?;
        run_all(&tree, &with(&["update-index", "--refresh"])).await.map_err(|_| {
            FetchError::Fleet(Failure::new(
                Cause::ActionUnavailable,
                format!(
                    "the files of {} are not those of its commit {commit}: look at this machine's disk",
                    self.name
                ),
            ))
        })?;
        self.keep(staging, size).await
    }

    /// Gives the tree its name and makes room. Goes on to its end even when nobody waits for it any more, with the lock.
    async fn keep(&self, staging: &Path, size: Size) -> Result<Fetched, FetchError> {
        let kept = Kept::new(&self.store.folder, self.name, self.commit);
        let (lock, staging, commit) = (Arc::clone(&self.lock), staging.to_owned(), self.commit.to_owned());
        let (store, limit) = (self.store.folder.clone(), self.store.limits.kept_bytes);
        let keeping = tokio::task::spawn_blocking(move || {
            let tree = staging.join("tree");
            let marker = Marker::new(&commit, digest(&tree)?, size.on_disk());
            let fetched = kept.keep(&tree, &marker, &lock.staging())?;
            if let Err(error) = crate::checkout::remove(&staging) {
                tracing::warn!(staging = %staging.display(), %error, "a staging folder stays until the next start");
            }
            room::make(&store, limit, lock.as_ref());
            Ok::<_, std::io::Error>(fetched)
        });
        let kept = keeping.await.map_err(|error| Failure::new(Cause::Internal, error.to_string()))?;
        kept.map_err(|error| unkept(&error))
    }
}

async fn run(folder: &Path, arguments: &[&str]) -> Result<(), FetchError> {
    let mut ignore = |_: String| {};
    git::bounded(machine_git::run(folder, arguments, &mut ignore)).await.map_err(|error| git::local(&error))
}

async fn run_all(folder: &Path, arguments: &[String]) -> Result<(), FetchError> {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run(folder, &arguments).await
}

/// Adds up what `ls-tree -l -z` lists: `mode type object size<TAB>path`.
fn measure(listed: &[u8], limits: StoreLimits) -> std::io::Result<Size> {
    let mut size = Size::default();
    for line in listed.split(|byte| *byte == 0).filter(|line| !line.is_empty()) {
        let line = String::from_utf8_lossy(line);
        let before = line.split('\t').next().unwrap_or_default();
        // Folders and submodules have `-`.
        size.add(before.split_whitespace().nth(3).and_then(|size| size.parse().ok()).unwrap_or(0), limits)?;
    }
    Ok(size)
}
