//! Workflow files of a commit.

use std::path::Path;

use super::{MirrorError, Mirrors, git, have};
use crate::submit::MAX_WORKFLOW_BYTES;

/// The most workflow files that are read of one commit.
const MAX_FILES: usize = 256;

/// Where workflow files are.
pub(crate) const FOLDER: &str = ".github/workflows/";

/// A workflow file at a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct WorkflowFile {
    pub(crate) path: String,
    /// `Err`: why it cannot be read.
    pub(crate) text: Result<String, String>,
}

impl Mirrors {
    /// The workflow files of a commit.
    pub(crate) async fn workflows(
        &self,
        clone_url: &str,
        sha: &str,
    ) -> Result<Vec<WorkflowFile>, MirrorError> {
        let turn = self.turn(clone_url).await?;
        have(&turn.mirror, clone_url, sha).await?;
        let mut files = list(&turn.mirror, sha, FOLDER).await?;
        files.retain(|file| is_workflow(&file.path));
        Ok(files)
    }

    /// One file of a commit; `None` when it has none of that path.
    pub(crate) async fn file(
        &self,
        clone_url: &str,
        sha: &str,
        path: &str,
    ) -> Result<Option<WorkflowFile>, MirrorError> {
        let turn = self.turn(clone_url).await?;
        have(&turn.mirror, clone_url, sha).await?;
        Ok(list(&turn.mirror, sha, path).await?.into_iter().find(|file| file.path == path))
    }
}

fn is_workflow(path: &str) -> bool {
    path.ends_with(".yml") || path.ends_with(".yaml")
}

/// The files right below a folder (with its slash), or the file of that path.
async fn list(mirror: &Path, sha: &str, path: &str) -> Result<Vec<WorkflowFile>, MirrorError> {
    // Without it git would read `:(glob)` and the like in the path.
    let listing =
        git(mirror, &["--literal-pathspecs", "ls-tree", "-z", "-l", "--end-of-options", sha, "--", path])
            .await?;
    let mut files = Vec::new();
    for entry in listing.split(|byte| *byte == 0).filter(|entry| !entry.is_empty()).take(MAX_FILES) {
        let Some((object, path, size_bytes)) = parse_entry(entry) else { continue };
        let text = if size_bytes > MAX_WORKFLOW_BYTES {
            Err(format!("{path} is longer than {MAX_WORKFLOW_BYTES} bytes"))
        } else {
            let bytes = git(mirror, &["cat-file", "blob", &object]).await?;
            String::from_utf8(bytes).map_err(|_| format!("{path} is not UTF-8"))
        };
        files.push(WorkflowFile { path, text });
    }
    Ok(files)
}

/// `<mode> <type> <object> <size>\t<path>`: object, path and size of a file.
fn parse_entry(entry: &[u8]) -> Option<(String, String, usize)> {
    let entry = std::str::from_utf8(entry).ok()?;
    let (head, path) = entry.split_once('\t')?;
    let mut words = head.split_ascii_whitespace().skip(1);
    let kind = words.next()?;
    let object = words.next()?;
    let size_bytes = words.next()?.parse().ok()?;
    (kind == "blob").then(|| (object.to_owned(), path.to_owned(), size_bytes))
}
