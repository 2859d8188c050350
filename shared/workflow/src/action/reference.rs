//! `uses` of a step, taken apart (GitHub docs, "Workflow syntax", `jobs.<job_id>.steps[*].uses`).

use serde::{Deserialize, Serialize};

/// What a step's `uses` names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum ActionReference {
    /// `./path`: a folder of the workspace when the step is reached.
    Local {
        /// As written, `./` included.
        path: String,
    },
    /// `$/path`: a folder of the repository that has the file in which this stands, at the commit that runs; nothing needs
    /// to be checked out (GitHub docs, "Workflow syntax", "self repository reference").
    Own {
        /// Without `$/`; empty: the repository's root.
        path: String,
    },
    /// `docker://image`
    Docker {
        /// The image, without `docker://`.
        image: String,
    },
    /// `owner/name[/path]@ref`
    Repository {
        /// `owner/name`
        repository: String,
        /// The action's folder in it; empty: its root.
        path: String,
        /// A branch, a tag or a commit.
        git_ref: String,
    },
}

/// Why a `uses` names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// No `@ref`.
    #[error("it lacks a version: write `owner/name@ref`")]
    NoVersion,
    /// Neither a path, an image, nor a repository.
    #[error("write `owner/name@ref`, `$/path`, `./path` or `docker://image`")]
    Malformed,
    /// `$/path@ref`
    #[error("an action of the same repository takes no version: it is of the same commit")]
    OwnVersion,
}

/// Actions that agents bring themselves, in any version: nothing is fetched for them unless the original is asked for.
pub const BUILT_IN: [&str; 6] = [
    "actions/checkout",
    "actions/cache",
    "actions/cache/restore",
    "actions/cache/save",
    "actions/upload-artifact",
    "actions/download-artifact",
];

impl ActionReference {
    /// Reads a `uses`.
    ///
    /// # Errors
    /// [`ReferenceError`].
    pub fn parse(uses: &str) -> Result<Self, ReferenceError> {
        if let Some(image) = uses.strip_prefix("docker://") {
            let image = image.to_owned();
            return if image.is_empty() {
                Err(ReferenceError::Malformed)
            } else {
                Ok(Self::Docker { image })
            };
        }
        if uses.starts_with("./") || uses.starts_with(".\\") || uses == "." {
            return Ok(Self::Local { path: uses.to_owned() });
        }
        if let Some(path) = uses.strip_prefix("$/") {
            let path: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
            let path = path.join("/");
            return match path.contains('@') {
                true => Err(ReferenceError::OwnVersion),
                false => Ok(Self::Own { path }),
            };
        }
        let (name, git_ref) = uses.split_once('@').ok_or(ReferenceError::NoVersion)?;
        let mut parts = name.split(['/', '\\']);
        let owner = parts.next().unwrap_or_default();
        let repository = parts.next().unwrap_or_default();
        if owner.is_empty() || repository.is_empty() {
            return Err(ReferenceError::Malformed);
        }
        if git_ref.is_empty() {
            return Err(ReferenceError::NoVersion);
        }
        let path = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
        Ok(Self::Repository {
            repository: format!("{owner}/{repository}"),
            path,
            git_ref: git_ref.to_owned(),
        })
    }

    /// Whether it names this repository's root (`actions/checkout`), in any version; case does not matter.
    pub fn is(&self, repository: &str) -> bool {
        self.is_at(repository, "")
    }

    /// As [`Self::is`], for an action in a folder (`actions/cache`, `restore`).
    pub fn is_at(&self, wanted: &str, folder: &str) -> bool {
        matches!(self, Self::Repository { repository, path, .. }
            if repository.eq_ignore_ascii_case(wanted) && path.eq_ignore_ascii_case(folder))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn uses_is_taken_apart() {
        let repository = |repository: &str, path: &str, git_ref: &str| ActionReference::Repository {
            repository: repository.into(),
            path: path.into(),
            git_ref: git_ref.into(),
        };
        for (uses, wanted) in [
            ("actions/checkout@v4", repository("actions/checkout", "", "v4")),
            ("actions/cache/restore@v4", repository("actions/cache", "restore", "v4")),
            ("o/r/a/b/@feature/x@1", repository("o/r", "a/b", "feature/x@1")),
            ("./.github/actions/x", ActionReference::Local { path: "./.github/actions/x".into() }),
            ("$/.github/actions/x", ActionReference::Own { path: ".github/actions/x".into() }),
            ("$/", ActionReference::Own { path: String::new() }),
            ("docker://alpine:3", ActionReference::Docker { image: "alpine:3".into() }),
        ] {
            assert_eq!(ActionReference::parse(uses).unwrap(), wanted, "{uses}");
        }
        for uses in
            ["actions/checkout", "actions/checkout@", "checkout@v4", "/x@v1", "docker://", "$/x@v1", ""]
        {
            assert!(ActionReference::parse(uses).is_err(), "{uses}");
        }
    }
}
