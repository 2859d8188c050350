//! Where actions come from: a forge, a mirror of it, or a folder.

use std::path::{Path, PathBuf};

use super::name::RepositoryName;

/// Where actions of other repositories come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ActionsSource {
    /// `URL/owner/name` is what `git clone` takes; without a slash at its end.
    Url(String),
    /// `FOLDER/owner/name`: a git repository (also `name.git`), or plain files of the only version.
    Folder(PathBuf),
}

impl Default for ActionsSource {
    fn default() -> Self {
        Self::Url("https://github.com".to_owned())
    }
}

/// Where one repository is.
pub(super) enum Place {
    /// What git takes.
    Git(String),
    /// A folder that is no repository.
    Plain(PathBuf),
}

impl ActionsSource {
    /// Reads `https://…`, `http://…` or `file:///FOLDER`.
    ///
    /// # Errors
    /// A sentence about what would do.
    pub fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("file://") {
            return match path {
                path if path.starts_with('/') => Ok(Self::Folder(PathBuf::from(path))),
                _ => Err("write file:///ABSOLUTE/FOLDER".to_owned()),
            };
        }
        if text.starts_with("https://") || text.starts_with("http://") {
            return Ok(Self::Url(text.trim_end_matches('/').to_owned()));
        }
        Err(format!("`{text}` is neither https://…, http://… nor file:///FOLDER"))
    }

    /// Where a repository is.
    ///
    /// # Errors
    /// It is not in the folder.
    pub(super) fn place(&self, name: &RepositoryName) -> Result<Place, String> {
        let folder = match self {
            Self::Url(base) => return Ok(Place::Git(format!("{base}/{name}"))),
            Self::Folder(folder) => folder,
        };
        let found = entry(folder, &name.owner).and_then(|owner| {
            entry(&owner, &name.name).or_else(|| entry(&owner, &format!("{}.git", name.name)))
        });
        match found {
            Some(place) if place.join("HEAD").is_file() || place.join(".git").exists() => {
                Ok(Place::Git(format!("file://{}", place.display())))
            }
            Some(place) => Ok(Place::Plain(place)),
            None => Err(format!("the actions source {} has no folder `{name}`", folder.display())),
        }
    }
}

/// A folder's entry of this name; names differ by more than case.
fn entry(folder: &Path, name: &str) -> Option<PathBuf> {
    let exact = folder.join(name);
    if exact.is_dir() {
        return Some(exact);
    }
    let mut entries = std::fs::read_dir(folder).ok()?.flatten();
    let same =
        |found: &std::fs::DirEntry| found.file_name().eq_ignore_ascii_case(name) && found.path().is_dir();
    entries.find(same).map(|found| found.path())
}
