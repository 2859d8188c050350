//! `--actions-source`: where actions and reusable workflows of other repositories come from. Agents fetch the ones, the
//! coordinator the others, and both must look in the same places.

use std::path::{Path, PathBuf};

/// A forge, a mirror of it, or a folder.
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
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

    /// Where the repository `owner/name` is; in a folder the case of names does not matter. Both must be plain names.
    ///
    /// # Errors
    /// It is not in the folder.
    pub fn place(&self, owner: &str, name: &str) -> Result<Place, String> {
        let folder = match self {
            Self::Url(base) => return Ok(Place::Git(format!("{base}/{owner}/{name}"))),
            Self::Folder(folder) => folder,
        };
        let bare = format!("{name}.git");
        let found = entries(folder, owner).iter().find_map(|owner| {
            [name, bare.as_str()].into_iter().find_map(|name| entries(owner, name).into_iter().next())
        });
        match found {
            Some(place) if place.join("HEAD").is_file() || place.join(".git").exists() => {
                Ok(Place::Git(format!("file://{}", place.display())))
            }
            Some(place) => Ok(Place::Plain(place)),
            None => Err(format!("the actions source {} has no folder `{owner}/{name}`", folder.display())),
        }
    }
}

/// Folders of this name in a folder, whatever their case; the exact one first.
fn entries(folder: &Path, name: &str) -> Vec<PathBuf> {
    let exact = folder.join(name);
    let there = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let same = there.filter(|found| found.file_name().eq_ignore_ascii_case(name)).map(|found| found.path());
    let mut found: Vec<PathBuf> = same.filter(|path| path.is_dir()).collect();
    found.sort_by_key(|path| (*path != exact, path.clone()));
    found
}
