//! Which files an upload has, and which folder is its root.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::environment::Environment;
use crate::failure::Failure;
use crate::files::{Search, find};
use crate::say;

/// What an upload has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Absolute, in the order of the walk.
    pub files: Vec<PathBuf>,
    /// What is cut off their front.
    pub root: PathBuf,
}

/// Finds the files of these patterns. Folders alone are not uploaded.
///
/// # Errors
/// A pattern that can't be used, or a folder that can't be read.
pub fn files(environment: &Environment, patterns: &str, hidden: bool) -> Result<Files, Failure> {
    let found = find(environment, Search { patterns, descendants: true, hidden, folders: false })?;
    let mut names = HashSet::new();
    for path in &found.paths {
        if !names.insert(path.to_string_lossy().to_lowercase()) {
            say::info(&format!(
                "Uploads are case insensitive: {} was detected that it will be overwritten by another file with the same path",
                path.display()
            ));
        }
    }
    let root = match found.starts.as_slice() {
        // A file that is named without a pattern stands alone.
        [start] if found.paths.as_slice() == [start.clone()] => {
            start.parent().unwrap_or(Path::new("/")).to_owned()
        }
        [start] => start.clone(),
        starts => {
            let root = common_ancestor(starts);
            if !starts.is_empty() {
                say::info(
                    "Multiple search paths detected. Calculating the least common ancestor of all paths",
                );
                say::info(&format!(
                    "The least common ancestor is {}. This will be the root directory of the artifact",
                    root.display()
                ));
            }
            root
        }
    };
    Ok(Files { files: found.paths, root })
}

/// The deepest folder above all of these absolute paths.
fn common_ancestor(paths: &[PathBuf]) -> PathBuf {
    let mut paths = paths.iter();
    let Some(mut common) = paths.next().cloned() else { return PathBuf::from("/") };
    for path in paths {
        common = common
            .iter()
            .zip(path.iter())
            .take_while(|(one, other)| one == other)
            .map(|(one, _)| one)
            .collect();
    }
    common
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_root_is_what_paths_share() {
        for (paths, expected) in [
            (&["/foo", "/bar"][..], "/"),
            (&["/h/foo/bar", "/h/foo/voo/two", "/h/foo/mo"], "/h/foo"),
            (&["/a/b"], "/a/b"),
            (&["/a/bc", "/a/b"], "/a"),
        ] {
            let paths: Vec<PathBuf> = paths.iter().map(PathBuf::from).collect();
            assert_eq!(common_ancestor(&paths), Path::new(expected), "{paths:?}");
        }
    }

    #[test]
    fn roots_and_files_are_the_original_s() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for file in ["dist/a.txt", "dist/sub/b.txt", "dist/.env", "dist/.git/x", "docs/c.md", "d.txt"] {
            std::fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            std::fs::write(root.join(file), file).unwrap();
        }
        let environment = Environment::new([], &root);
        for (patterns, hidden, expected, expected_root) in [
            ("dist", false, &["dist/a.txt", "dist/sub/b.txt"][..], "dist"),
            ("dist/", true, &["dist/.env", "dist/.git/x", "dist/a.txt", "dist/sub/b.txt"], "dist"),
            ("dist/a.txt", false, &["dist/a.txt"], "dist"),
            ("dist/*.txt", false, &["dist/a.txt"], "dist"),
            ("dist/**/*.txt\ndocs", false, &["dist/a.txt", "dist/sub/b.txt", "docs/c.md"], ""),
            ("dist\n!dist/sub/**", false, &["dist/a.txt"], "dist"),
            ("d.txt\ndist/a.txt", false, &["d.txt", "dist/a.txt"], ""),
            ("none", false, &[], "none"),
        ] {
            let found = files(&environment, patterns, hidden).unwrap();
            let expected: Vec<PathBuf> = expected.iter().map(|file| root.join(file)).collect();
            assert_eq!(found.files, expected, "{patterns}");
            assert_eq!(found.root, root.join(expected_root), "{patterns}");
        }
        let refused = files(&environment, "dist/../x", false).unwrap_err().to_string();
        assert!(refused.contains("Relative pathing"), "{refused}");
    }
}
