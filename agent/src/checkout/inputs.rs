//! The inputs of `actions/checkout` (its `action.yml`, versions 4 to 7): read and checked. What only the original can do
//! is told apart by [`needs_original`].

use std::path::{Component, PathBuf};

use crate::steps::values::Values;

/// Inputs that change nothing here: files belong to whom they are for, progress is not shown, the run knows its server.
const WITHOUT_EFFECT: [&str; 6] = [
    "set-safe-directory",
    "show-progress",
    "github-server-url",
    "ssh-strict",
    "ssh-user",
    "allow-unsafe-pr-checkout",
];

/// Most patterns of `sparse-checkout`.
const SPARSE_MAX: usize = 1_000;

/// Whether these inputs ask for what only the original does: Git LFS, or access by a key.
pub fn needs_original(with: &Values) -> bool {
    let given = |name: &str| with.get(name).map(str::trim).filter(|value| !value.is_empty());
    given("ssh-key").is_some()
        || given("ssh-known-hosts").is_some()
        || given("lfs").is_some_and(|value| !value.eq_ignore_ascii_case("false"))
}

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
    token: Option<String>,
    persist: bool,
    sparse: Vec<String>,
    cone: bool,
    filter: Option<String>,
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
    /// The forge's token, for a server that asks for one.
    pub token: Option<String>,
    /// Whether later steps' git finds the token.
    pub persist: bool,
    /// Patterns of `git sparse-checkout`; empty: everything.
    pub sparse: Vec<String>,
    /// Whether those are folders.
    pub cone: bool,
    /// What git need not fetch yet (`git fetch --filter`).
    pub filter: Option<String>,
}

impl Fetch {
    /// The same without the token.
    pub(super) fn without_token(&self) -> Self {
        Self { token: None, ..self.clone() }
    }
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
            token: None,
            persist: true,
            sparse: Vec::new(),
            cone: true,
            filter: None,
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
                "filter" => inputs.filter = Some(filter(value)?),
                "token" => inputs.token = Some(value.to_owned()),
                "persist-credentials" => inputs.persist = boolean("persist-credentials", value)?,
                "sparse-checkout" => inputs.sparse = patterns(value)?,
                "sparse-checkout-cone-mode" => inputs.cone = boolean("sparse-checkout-cone-mode", value)?,
                known if WITHOUT_EFFECT.contains(&known) => {}
                "lfs" | "ssh-key" | "ssh-known-hosts" => {
                    return Err(format!("input `{name}`: only the original of actions/checkout can do that"));
                }
                // GitHub only warns about inputs that an action does not know.
                _ => {}
            }
        }
        Ok(inputs)
    }

    /// Whether only a part of the code is wanted.
    pub(super) fn is_sparse(&self) -> bool {
        !self.sparse.is_empty()
    }

    /// The run's own token, where the step names none.
    #[must_use]
    pub fn or_token(mut self, token: Option<&str>) -> Self {
        self.token = self.token.or_else(|| token.filter(|token| !token.is_empty()).map(str::to_owned));
        self
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
        // As the original has it: what is left out of the tree need not come.
        let sparse_filter = (!self.sparse.is_empty()).then(|| "blob:none".to_owned());
        Ok(Fetch {
            url,
            wanted,
            branch,
            depth,
            submodules: self.submodules,
            recursive: self.recursive,
            tags,
            token: self.token.clone(),
            persist: self.persist,
            sparse: self.sparse.clone(),
            cone: self.cone,
            filter: self.filter.clone().or(sparse_filter),
        })
    }
}

/// The lines of `sparse-checkout`.
fn patterns(value: &str) -> Result<Vec<String>, String> {
    let lines = value.lines().map(str::trim).filter(|line| !line.is_empty());
    let patterns: Vec<String> = lines.map(str::to_owned).collect();
    if patterns.len() > SPARSE_MAX {
        return Err(format!("input `sparse-checkout` has more than {SPARSE_MAX} lines"));
    }
    match patterns.iter().find(|pattern| pattern.starts_with('-')) {
        Some(wrong) => Err(format!("input `sparse-checkout` has `{wrong}`, which is no pattern")),
        None => Ok(patterns),
    }
}

/// `blob:none`, `tree:0` and the like.
fn filter(value: &str) -> Result<String, String> {
    let plain = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b":=+%,._-/".contains(&byte));
    if plain {
        Ok(value.to_owned())
    } else {
        Err(format!("input `filter` is `{value}`, which git does not know"))
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
            ("sparse-checkout", "--src"),
            ("filter", "a b"),
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
