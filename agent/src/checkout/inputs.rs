//! The inputs of `actions/checkout` (its `action.yml`, version 5): read, checked, or refused by name.

use std::path::{Component, PathBuf};

use crate::steps::values::Values;

/// Inputs that change nothing here: there is no token to keep, no proxy of git's own to ask, progress is not shown.
const WITHOUT_EFFECT: [&str; 6] = [
    "token",
    "persist-credentials",
    "set-safe-directory",
    "show-progress",
    "github-server-url",
    "ssh-strict",
];

/// What a step asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    repository: Option<String>,
    git_ref: Option<String>,
    depth: u32,
    submodules: bool,
    recursive: bool,
    tags: bool,
    /// Folder below the workspace.
    pub path: Option<PathBuf>,
    /// Whether what is there goes.
    pub clean: bool,
}

/// What to fetch from where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetch {
    /// Where from.
    pub url: String,
    /// A commit or a ref.
    pub wanted: String,
    /// Name of the branch to leave checked out; empty: none.
    pub branch: String,
    /// Commits of history; 0: all.
    pub depth: u32,
    /// Whether submodules come too.
    pub submodules: bool,
    /// And theirs.
    pub recursive: bool,
    /// Whether tags come too.
    pub tags: bool,
}

impl Inputs {
    /// Reads `with`.
    ///
    /// # Errors
    /// A sentence that names the input.
    pub fn read(with: &Values) -> Result<Self, String> {
        let mut inputs = Self {
            repository: None,
            git_ref: None,
            depth: 1,
            submodules: false,
            recursive: false,
            tags: false,
            path: None,
            clean: true,
        };
        for (name, value) in with.iter() {
            let value = value.trim();
            let lower = name.to_ascii_lowercase();
            match lower.as_str() {
                _ if value.is_empty() => {}
                "repository" => inputs.repository = Some(value.to_owned()),
                "ref" => inputs.git_ref = Some(value.to_owned()),
                "fetch-depth" => {
                    inputs.depth = value
                        .parse()
                        .map_err(|_| format!("input `fetch-depth` is `{value}`, not a number"))?;
                }
                "path" => inputs.path = Some(below_workspace(value)?),
                "clean" => inputs.clean = boolean("clean", value)?,
                "fetch-tags" => inputs.tags = boolean("fetch-tags", value)?,
                "submodules" => {
                    inputs.recursive = value.eq_ignore_ascii_case("recursive");
                    inputs.submodules = inputs.recursive || boolean("submodules", value)?;
                }
                "lfs" if !boolean("lfs", value)? => {}
                // Only what is taken differs, not what is in it.
                "filter" => {}
                known if WITHOUT_EFFECT.contains(&known) => {}
                "lfs"
                | "ssh-key"
                | "ssh-known-hosts"
                | "ssh-user"
                | "sparse-checkout"
                | "sparse-checkout-cone-mode" => {
                    return Err(format!("input `{name}` of actions/checkout is not supported"));
                }
                // GitHub only warns about inputs that an action does not know.
                _ => {}
            }
        }
        Ok(inputs)
    }

    /// An uploaded tree is one state of one repository.
    pub(super) fn refuse_other_code(&self) -> Result<(), String> {
        for (name, given) in [("repository", &self.repository), ("ref", &self.git_ref)] {
            if let Some(value) = given {
                return Err(format!(
                    "input `{name}: {value}` is not supported in a run of a local working tree, which has no other code"
                ));
            }
        }
        Ok(())
    }

    /// What to fetch for a run of this commit.
    ///
    /// # Errors
    /// A sentence that names the input.
    pub fn fetch(
        &self,
        clone_url: &str,
        repository: &str,
        git_ref: &str,
        sha: &str,
    ) -> Result<Fetch, String> {
        let own = self.repository.as_ref().is_none_or(|asked| asked.eq_ignore_ascii_case(repository));
        let url = match &self.repository {
            Some(asked) if !own => sibling(clone_url, repository, asked)?,
            _ => clone_url.to_owned(),
        };
        let (wanted, of) = match &self.git_ref {
            Some(asked) if asked.starts_with('-') => {
                return Err(format!("input `ref` is `{asked}`, not a ref"));
            }
            Some(asked) if !own || asked != git_ref => (asked.clone(), asked.as_str()),
            None if !own => ("HEAD".to_owned(), ""),
            _ => (sha.to_owned(), git_ref),
        };
        let branch = of.strip_prefix("refs/heads/").unwrap_or_default().to_owned();
        let (depth, tags) = (self.depth, self.tags || self.depth == 0);
        Ok(Fetch { url, wanted, branch, depth, submodules: self.submodules, recursive: self.recursive, tags })
    }
}

/// Another repository of the same server: `…/owner/name(.git)`.
fn sibling(clone_url: &str, repository: &str, asked: &str) -> Result<String, String> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with(['.', '-'])
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    match asked.split_once('/') {
        Some((owner, name)) if plain(owner) && plain(name) => {}
        _ => return Err(format!("input `repository` is `{asked}`, not owner/name")),
    }
    let bare = clone_url.trim_end_matches('/');
    let suffix = if bare.ends_with(".git") { ".git" } else { "" };
    match bare.trim_end_matches(".git").strip_suffix(repository) {
        Some(server) => Ok(format!("{server}{asked}{suffix}")),
        None => {
            Err(format!("input `repository: {asked}`: the server of {clone_url} has no known place for it"))
        }
    }
}

fn below_workspace(value: &str) -> Result<PathBuf, String> {
    let mut path = PathBuf::new();
    for part in std::path::Path::new(value).components() {
        match part {
            Component::Normal(part) => path.push(part),
            Component::CurDir => {}
            _ => return Err(format!("input `path` is `{value}`: it must stay below the workspace")),
        }
    }
    Ok(path)
}

fn boolean(name: &str, value: &str) -> Result<bool, String> {
    match value.to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(format!("input `{name}` is `{value}`, not true or false")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn read(pairs: &[(&str, &str)]) -> Result<Inputs, String> {
        Inputs::read(&pairs.iter().copied().collect())
    }

    #[test]
    fn defaults_fetch_one_commit_of_the_run() {
        let fetch = read(&[("token", "x")]).unwrap();
        let fetch = fetch.fetch("http://h/o/r.git", "o/r", "refs/heads/main", "abc").unwrap();
        assert_eq!((fetch.wanted.as_str(), fetch.branch.as_str(), fetch.depth), ("abc", "main", 1));
        assert!(!fetch.tags && !fetch.submodules);
    }

    #[test]
    fn another_repository_is_found_beside_the_runs() {
        let inputs = read(&[("repository", "x/y"), ("ref", "v1"), ("fetch-depth", "0")]).unwrap();
        let fetch = inputs.fetch("http://h/base/o/r.git", "o/r", "refs/heads/main", "abc").unwrap();
        assert_eq!((fetch.url.as_str(), fetch.wanted.as_str()), ("http://h/base/x/y.git", "v1"));
        assert!(fetch.tags);
        let inputs = read(&[("repository", "x/y")]).unwrap();
        assert_eq!(inputs.fetch("http://h/o/r", "o/r", "", "abc").unwrap().wanted, "HEAD");
    }

    #[test]
    fn what_cannot_be_is_refused_by_name() {
        for (name, value) in [
            ("path", "../x"),
            ("path", "/etc"),
            ("fetch-depth", "deep"),
            ("lfs", "true"),
            ("ssh-key", "k"),
            ("sparse-checkout", "src"),
            ("clean", "maybe"),
            ("submodules", "some"),
        ] {
            let message = read(&[(name, value)]).unwrap_err();
            assert!(message.contains(name), "{message}");
        }
        for (name, value) in [("repository", "../x"), ("repository", "-o/x"), ("ref", "--upload-pack=x")] {
            let inputs = read(&[(name, value)]).unwrap();
            assert!(inputs.fetch("http://h/o/r", "o/r", "", "a").unwrap_err().contains(name));
        }
        assert!(read(&[("ref", "main")]).unwrap().refuse_other_code().is_err());
    }
}
