//! What an event changed, for path filters (GitHub docs, "Workflow syntax", "Git diff comparisons").

use super::{MirrorError, Mirrors, fetch, git, have, line};

/// How deep the history is fetched in which the place is looked for where a branch left its base. A topic of more commits
/// than the last is not looked into, and its path filters pass: GitHub's limit is 1,000.
const DEPTHS: [u32; 2] = [50, 1_001];

/// Files that are read of one comparison; filters look at GitHub's first 300.
const MAX_FILES: usize = 1_000;

/// The tree without files.
const EMPTY_TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";

/// What is compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// Two dots: a push to a branch that was there.
    Between { before: String, after: String },
    /// Two dots from before this commit on: a push to a new branch, whose oldest new commit it is.
    Since { first: String, after: String },
    /// Three dots: a pull request, from where its branch left the base.
    Topic { base: String, head: String },
}

impl Mirrors {
    /// The files that changed; a renamed one counts with both names. `None`: nobody can tell, and path filters pass.
    pub(crate) async fn changed(
        &self,
        clone_url: &str,
        change: &Change,
    ) -> Result<Option<Vec<String>>, MirrorError> {
        let turn = self.turn(clone_url).await?;
        let mirror = turn.mirror.as_path();
        let (from, to) = match change {
            Change::Between { before, after } => {
                for sha in [before, after] {
                    match have(mirror, clone_url, sha).await {
                        Ok(()) => {}
                        // What was there before may be gone after a forced push.
                        Err(MirrorError::Missing(_)) => return Ok(None),
                        Err(error) => return Err(error),
                    }
                }
                (before.clone(), after)
            }
            Change::Since { first, after } => {
                have(mirror, clone_url, after).await?;
                fetch(mirror, clone_url, &[first], 2).await?;
                let parent = line(mirror, &["rev-parse", "--verify", "--quiet", &format!("{first}^")]).await;
                (parent.unwrap_or_else(|_| EMPTY_TREE.to_owned()), after)
            }
            Change::Topic { base, head } => {
                let mut fork = None;
                for depth in DEPTHS {
                    fetch(mirror, clone_url, &[base, head], depth).await?;
                    fork = line(mirror, &["merge-base", "--end-of-options", base, head]).await.ok();
                    if fork.is_some() {
                        break;
                    }
                }
                match fork {
                    Some(fork) => (fork, head),
                    None => return Ok(None),
                }
            }
        };
        let arguments =
            ["diff-tree", "-r", "-z", "--no-renames", "--name-only", "--end-of-options", &from, to, "--"];
        let names = git(mirror, &arguments).await?;
        let names = names.split(|byte| *byte == 0).filter(|name| !name.is_empty());
        Ok(Some(names.take(MAX_FILES).map(|name| String::from_utf8_lossy(name).into_owned()).collect()))
    }
}
