//! Names of workflow files, and what a `uses` in one of them names.

use std::fmt;

/// Where workflows are, and only there (GitHub docs, "Reuse workflows").
const FOLDER: &str = ".github/workflows/";

/// The longest name, in bytes.
const NAME_MAX_BYTES: usize = 1_024;

/// The longest name of a ref, in bytes.
const REF_MAX_BYTES: usize = 1_024;

/// A workflow file: of the run's own repository at its commit, or of another one.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum FileName {
    /// Of the run's own repository.
    Local {
        /// Its path.
        path: String,
    },
    /// Of another one.
    Remote {
        /// Its owner.
        owner: String,
        /// Its name.
        name: String,
        /// The file's path.
        path: String,
        /// A branch, a tag or a commit.
        git_ref: String,
    },
}

impl fmt::Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local { path } => f.write_str(path),
            Self::Remote { owner, name, path, git_ref } => write!(f, "{owner}/{name}/{path}@{git_ref}"),
        }
    }
}

/// Whether a text may name a ref, for git too (`git check-ref-format`), and can't be taken for an option.
#[must_use]
pub fn is_ref(text: &str) -> bool {
    let banned = |c: char| c.is_control() || " ~^:?*[\\".contains(c);
    (1..=REF_MAX_BYTES).contains(&text.len())
        && !text.starts_with(['-', '/', '+'])
        && !text.ends_with(['/', '.'])
        && !text.contains("..")
        && !text.contains("@{")
        && !text.contains("//")
        && !text.chars().any(banned)
}

/// A plain name: no step up, no option, nothing of a URL.
fn is_segment(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    !text.is_empty() && !text.starts_with('.') && !text.starts_with('-') && text.chars().all(plain)
}

fn check_path(path: &str) -> Result<(), &'static str> {
    let Some(file) = path.strip_prefix(FOLDER) else {
        return Err("a reusable workflow is a file in .github/workflows");
    };
    if file.is_empty() || file.contains('/') || file.starts_with('.') {
        return Err("a reusable workflow is a file right in .github/workflows, in no folder below it");
    }
    if file.ends_with(".yml") || file.ends_with(".yaml") {
        Ok(())
    } else {
        Err("a workflow file ends in .yml or .yaml")
    }
}

impl FileName {
    /// The file of the run's own repository at this path.
    #[must_use]
    pub fn local(path: &str) -> Self {
        Self::Local { path: path.to_owned() }
    }

    /// What [`fmt::Display`] wrote.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match Self::local("").called(text) {
            Ok(remote @ Self::Remote { .. }) => remote,
            _ => Self::local(text),
        }
    }

    /// What a `uses` in this file names. Local names (`./…`, and `$/…` which means the same here) in a file of another
    /// repository are of that repository, at the same ref.
    ///
    /// # Errors
    /// Why it names no workflow.
    pub fn called(&self, uses: &str) -> Result<Self, &'static str> {
        if uses.len() > NAME_MAX_BYTES {
            return Err("it is too long");
        }
        if let Some(path) = uses.strip_prefix("./").or_else(|| uses.strip_prefix("$/")) {
            if path.contains('@') {
                return Err("a workflow of the same repository takes no version: it is of the same commit");
            }
            check_path(path)?;
            let path = path.to_owned();
            return Ok(match self {
                Self::Local { .. } => Self::Local { path },
                Self::Remote { owner, name, git_ref, .. } => {
                    Self::Remote { owner: owner.clone(), name: name.clone(), path, git_ref: git_ref.clone() }
                }
            });
        }
        const FORM: &str =
            "write ./.github/workflows/FILE.yml, or OWNER/REPOSITORY/.github/workflows/FILE.yml@REF";
        let (place, git_ref) = match uses.split_once('@') {
            Some(parts) => parts,
            None if uses.contains(FOLDER) => {
                return Err("no version is specified: add @ and a branch, tag or commit");
            }
            None => return Err(FORM),
        };
        let (owner, rest) = place.split_once('/').ok_or(FORM)?;
        let (name, path) = rest.split_once('/').ok_or(FORM)?;
        if !is_segment(owner) || !is_segment(name) {
            return Err(FORM);
        }
        check_path(path)?;
        if !is_ref(git_ref) {
            return Err("its version can't be a branch, tag or commit");
        }
        Ok(Self::Remote {
            owner: owner.to_owned(),
            name: name.to_owned(),
            path: path.to_owned(),
            git_ref: git_ref.to_owned(),
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::FileName;

    #[test]
    fn names_are_read_from_where_they_stand() {
        let main = FileName::local(".github/workflows/ci.yml");
        let called = |from: &FileName, uses: &str| from.called(uses).unwrap().to_string();
        let remote = main.called("o/r/.github/workflows/y.yml@v1").unwrap();
        assert_eq!(called(&main, "./.github/workflows/x.yaml"), ".github/workflows/x.yaml");
        assert_eq!(called(&main, "$/.github/workflows/x.yaml"), ".github/workflows/x.yaml");
        assert_eq!(called(&remote, "./.github/workflows/z.yml"), "o/r/.github/workflows/z.yml@v1");
        assert_eq!(called(&remote, "p/q/.github/workflows/z.yml@main"), "p/q/.github/workflows/z.yml@main");
        for name in [main, remote] {
            assert_eq!(FileName::from_text(&name.to_string()), name);
        }
    }

    #[test]
    fn what_names_no_workflow_is_told() {
        let main = FileName::local(".github/workflows/ci.yml");
        for (uses, part) in [
            ("./.github/workflows/../x.yml", "in no folder below it"),
            ("./x.yml", "a file in .github/workflows"),
            ("./.github/workflows/x.yml@v1", "no version"),
            ("./.github/workflows/x.json", ".yml or .yaml"),
            ("../o/r/.github/workflows/y.yml@v1", "OWNER/REPOSITORY"),
            ("o/../.github/workflows/y.yml@v1", "OWNER/REPOSITORY"),
            ("o/r/.github/workflows/y.yml", "no version is specified"),
            ("o/r/.github/workflows/deep/y.yml@v1", "in no folder below it"),
            ("o/r/.github/workflows/y.yml@a..b", "its version"),
            ("-o/r/.github/workflows/y.yml@v1", "OWNER/REPOSITORY"),
            ("o/r/.github/workflows/y.yml@--upload-pack=x", "its version"),
            ("docker://x", "OWNER/REPOSITORY"),
            ("o/r@v1", "OWNER/REPOSITORY"),
        ] {
            let problem = main.called(uses).unwrap_err();
            assert!(problem.contains(part), "{uses}: {problem}");
        }
    }
}
