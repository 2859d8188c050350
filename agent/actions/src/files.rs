//! Finding files by patterns, as `@actions/glob` walks them: links to folders are followed, circles of links and links
//! that lead nowhere are left out.

use std::collections::HashMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use slipway_glob::{Options, judge, names, parse, search_paths};

use crate::environment::Environment;
use crate::failure::Failure;
use crate::limits::{SEARCH_MAX_DEPTH, SEARCH_MAX_ENTRIES};

/// What to look for.
#[derive(Debug, Clone, Copy)]
pub struct Search<'a> {
    /// Patterns, one a line.
    pub patterns: &'a str,
    /// Whether a pattern also means everything below what it matches.
    pub descendants: bool,
    /// Whether names that begin with a dot count.
    pub hidden: bool,
    /// Whether folders are found too.
    pub folders: bool,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Found {
    /// In the order of the walk.
    pub paths: Vec<PathBuf>,
    /// Where the walk began.
    pub starts: Vec<PathBuf>,
}

/// A place to look at, with the real folders that lead to it (device and number).
struct Place {
    path: PathBuf,
    chain: Vec<(u64, u64)>,
}

/// Finds what the patterns match.
///
/// # Errors
/// A pattern that can't be used, a folder that can't be read, or too much to look at.
pub fn find(environment: &Environment, search: Search<'_>) -> Result<Found, Failure> {
    let folder = names(&environment.folder().to_string_lossy());
    let home = names(environment.variable("HOME"));
    let options = Options {
        folder: &folder,
        home: (!environment.variable("HOME").is_empty()).then_some(home.as_slice()),
        descendants: search.descendants,
    };
    let patterns = parse([search.patterns], options).map_err(|error| Failure::new(error.to_string()))?;
    let absolute = |names: &Vec<String>| Path::new("/").join(names.join("/"));
    let starts: Vec<PathBuf> = search_paths(&patterns).iter().map(absolute).collect();
    let mut found = Found { paths: Vec::new(), starts: starts.clone() };
    let mut stack: Vec<Place> =
        starts.into_iter().rev().map(|path| Place { path, chain: Vec::new() }).collect();
    let mut looked = 0;
    while let Some(Place { path, mut chain }) = stack.pop() {
        looked += 1;
        if looked > SEARCH_MAX_ENTRIES || chain.len() > SEARCH_MAX_DEPTH {
            return Err(Failure::new(format!(
                "the patterns cover more than {SEARCH_MAX_ENTRIES} entries or {SEARCH_MAX_DEPTH} levels"
            )));
        }
        let verdict = judge(&patterns, &names(&path.to_string_lossy()));
        if !verdict.descend {
            continue;
        }
        let status = match fs::metadata(&path) {
            Ok(status) => status,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => continue,
            Err(error) => return Err(Failure::at(&path, error)),
        };
        if !search.hidden && path.file_name().is_some_and(|name| name.as_bytes().starts_with(b".")) {
            continue;
        }
        if !status.is_dir() {
            if verdict.file {
                found.paths.push(path);
            }
            continue;
        }
        let identity = (status.dev(), status.ino());
        if chain.contains(&identity) {
            continue;
        }
        if verdict.directory && search.folders {
            found.paths.push(path.clone());
        }
        chain.push(identity);
        for name in children(&path)?.into_iter().rev() {
            stack.push(Place { path: path.join(name), chain: chain.clone() });
        }
    }
    Ok(found)
}

/// Names in a folder, in byte order.
///
/// # Errors
/// When it can't be read.
pub fn children(folder: &Path) -> Result<Vec<std::ffi::OsString>, Failure> {
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| Failure::at(folder, error))? {
        names.push(entry.map_err(|error| Failure::at(folder, error))?.file_name());
    }
    names.sort_unstable();
    Ok(names)
}

/// `path` as seen from `base`, both absolute, without asking the disk: Node's `path.relative`.
#[must_use]
pub fn relative(base: &Path, path: &Path) -> PathBuf {
    let (base, path) = (normal(base), normal(path));
    let shared = base.iter().zip(path.iter()).take_while(|(one, other)| one == other).count();
    let up = base.iter().skip(shared).map(|_| std::ffi::OsString::from(".."));
    let down = path.iter().skip(shared).map(std::ffi::OsStr::to_owned);
    up.chain(down).collect()
}

/// An absolute path without `.`, `..` and doubled slashes: Node's `path.resolve`.
#[must_use]
pub fn normal(path: &Path) -> PathBuf {
    let mut kept = PathBuf::from("/");
    for part in path.components() {
        match part {
            std::path::Component::Normal(name) => kept.push(name),
            std::path::Component::ParentDir => {
                kept.pop();
            }
            _ => {}
        }
    }
    kept
}

/// Names of files by their identity: which file has been seen before.
#[derive(Debug, Default)]
pub struct Seen(HashMap<(u64, u64), PathBuf>);

impl Seen {
    /// The name under which a file with several names came first; none: this is the first.
    pub fn before(&mut self, status: &fs::Metadata, name: &Path) -> Option<PathBuf> {
        if status.nlink() < 2 || !status.is_file() {
            return None;
        }
        match self.0.entry((status.dev(), status.ino())) {
            std::collections::hash_map::Entry::Occupied(first) => Some(first.get().clone()),
            std::collections::hash_map::Entry::Vacant(room) => {
                room.insert(name.to_owned());
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn paths_are_seen_from_the_workspace() {
        for (base, path, expected) in [
            ("/w/r/r", "/w/r/r/target", "target"),
            ("/w/r/r", "/w/r/r", ""),
            ("/w/r/r", "/root/.cargo", "../../../root/.cargo"),
            ("/w/r/r/", "/w/r/x/../y", "../y"),
            ("/", "/a", "a"),
        ] {
            assert_eq!(relative(Path::new(base), Path::new(path)), Path::new(expected), "{base} {path}");
        }
    }

    #[test]
    fn links_are_followed_but_not_in_circles() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/.git")).unwrap();
        for file in ["a/1", "a/.git/x", "a/.env"] {
            fs::write(root.join(file), file).unwrap();
        }
        symlink("a", root.join("b")).unwrap();
        symlink("..", root.join("a/up")).unwrap();
        symlink("nowhere", root.join("a/gone")).unwrap();
        let home = root.to_str().unwrap();
        let environment = Environment::new([("HOME", home)], &root);
        let search = |patterns, descendants, hidden, folders| {
            let found = find(&environment, Search { patterns, descendants, hidden, folders }).unwrap();
            let relative: Vec<String> =
                found.paths.iter().map(|path| relative(&root, path).display().to_string()).collect();
            relative
        };
        assert_eq!(search("~/a", true, false, false), ["a/1"]);
        assert_eq!(search("a\n!a/up", true, true, false), ["a/.env", "a/.git/x", "a/1"]);
        assert_eq!(search("b", true, false, false), ["b/1"]);
        assert_eq!(search("a/gone\na/none\n*", false, true, true), ["a", "b"]);
        assert_eq!(search("./a/1", false, true, true), ["a/1"]);
    }
}
