//! Files of problem matchers: where the job's steps see them, and where they are.

use std::path::{Path, PathBuf};

use super::folder::JobFolder;
use super::inside::Inside;
use crate::steps::output::MatcherFiles;

/// Largest file that is read; one byte more shows the excess.
const MAX_BYTES: usize = 256 * 1024;

/// Reads files of a job whose repository has this name.
pub(super) fn of(folder: &JobFolder, workspace: PathBuf) -> MatcherFiles {
    let work = folder.work();
    MatcherFiles::new(move |path| {
        let below = below_work(path, &work, &workspace)
            .ok_or_else(|| "it lies neither in the workspace nor beside it".to_owned())?;
        let (folder, name) = (below.parent().unwrap_or(Path::new("")), below.file_name().unwrap_or_default());
        let read =
            Inside::open(&work, folder).and_then(|inside| inside.read(&name.to_string_lossy(), MAX_BYTES));
        read.map_err(|error| error.to_string())?.ok_or_else(|| "there is no such file".to_owned())
    })
}

/// The path below the job's work folder of a path as steps write it.
fn below_work(path: &str, work: &Path, workspace: &Path) -> Option<PathBuf> {
    let workspace = workspace.strip_prefix(work).ok()?;
    let mounts = [
        ("/home/runner/work/", Path::new("")),
        ("/__w/", Path::new("")),
        ("/github/workspace/", workspace),
        ("/github/runner_temp/", Path::new("_temp")),
    ];
    for (seen, at) in mounts {
        if let Some(rest) = path.strip_prefix(seen) {
            return Some(at.join(rest));
        }
    }
    (!path.starts_with('/')).then(|| workspace.join(path.trim_start_matches("./")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn files_are_found_where_steps_see_them() {
        let (work, workspace) = (Path::new("/j/work"), Path::new("/j/work/r/r"));
        let below = |path: &str| below_work(path, work, workspace);
        assert_eq!(below(".github/m.json").unwrap(), Path::new("r/r/.github/m.json"));
        assert_eq!(below("/__w/_actions/a/b/v1/m.json").unwrap(), Path::new("_actions/a/b/v1/m.json"));
        assert_eq!(below("/home/runner/work/_temp/m.json").unwrap(), Path::new("_temp/m.json"));
        assert_eq!(below("/github/workspace/m.json").unwrap(), Path::new("r/r/m.json"));
        assert_eq!(below("/etc/passwd"), None);
    }
}
