//! Names of a run's files.

use std::fmt;

/// Where workflows are, and only there (GitHub docs, "Reuse workflows").
const FOLDER: &str = ".github/workflows/";

/// The longest name, in bytes.
const KEY_MAX_BYTES: usize = 1_024;

/// A file of the run's own repository at its commit, or of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    Local { path: String },
    Remote { owner: String, name: String, path: String, git_ref: String },
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { path } => f.write_str(path),
            Self::Remote { owner, name, path, git_ref } => write!(f, "{owner}/{name}/{path}@{git_ref}"),
        }
    }
}

/// A plain name: no step up, no option, nothing of a URL.
fn is_segment(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !text.is_empty() && !text.starts_with('.') && !text.starts_with('-') && text.chars().all(plain)
}

fn is_workflow(path: &str) -> bool {
    let Some(file) = path.strip_prefix(FOLDER) else { return false };
    !file.is_empty()
        && !file.contains('/')
        && !file.starts_with('.')
        && (file.ends_with(".yml") || file.ends_with(".yaml"))
}

impl Key {
    /// What a `uses` in this file names; `None`: no workflow at all.
    pub(super) fn called(&self, uses: &str) -> Option<Self> {
        if uses.len() > KEY_MAX_BYTES {
            return None;
        }
        if let Some(path) = uses.strip_prefix("./") {
            let path = is_workflow(path).then(|| path.to_owned())?;
            return Some(match self {
                Self::Local { .. } => Self::Local { path },
                // Its own repository, at the same ref.
                Self::Remote { owner, name, git_ref, .. } => {
                    Self::Remote { owner: owner.clone(), name: name.clone(), path, git_ref: git_ref.clone() }
                }
            });
        }
        let (place, git_ref) = uses.split_once('@')?;
        let (owner, rest) = place.split_once('/')?;
        let (name, path) = rest.split_once('/')?;
        let valid =
            is_segment(owner) && is_segment(name) && is_workflow(path) && crate::mirror::is_ref(git_ref);
        valid.then(|| Self::Remote {
            owner: owner.to_owned(),
            name: name.to_owned(),
            path: path.to_owned(),
            git_ref: git_ref.to_owned(),
        })
    }
}
