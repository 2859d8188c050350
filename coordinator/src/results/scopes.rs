//! Which cache entries a job may read and write (GitHub docs, "Restrictions for accessing a cache").
//!
//! A run reads and writes the entries of its own ref; it reads those of its pull request's base branch and of the default
//! branch, and looks them up in this order. What comes from outside writes nothing but its own merge ref, so that no fork
//! can lay an entry where the repository's own runs would find it.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use slipway_scheduler::command::{RunMeta, Trust};

/// May read.
const READ: u8 = 1;

/// May write.
const WRITE: u8 = 2;

/// A ref, and what may be done with its entries. In GitHub's form, as BuildKit reads it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Scope {
    /// The full ref.
    pub(super) scope: String,
    /// 1 to read, 2 to write, 3 both.
    pub(super) permission: u8,
}

impl Scope {
    /// Whether its entries may be read.
    #[must_use]
    pub(super) const fn is_readable(&self) -> bool {
        self.permission & READ != 0
    }

    /// Whether entries may be made in it.
    #[must_use]
    pub(super) const fn is_writable(&self) -> bool {
        self.permission & WRITE != 0
    }
}

/// The scopes of a run, in the order in which they are looked through.
#[must_use]
pub(super) fn of_run(meta: &RunMeta, event: &Json, default_branch: &str) -> Vec<Scope> {
    let merge_ref = meta.git_ref.starts_with("refs/pull/") && meta.git_ref.ends_with("/merge");
    let writes = match meta.trust {
        Trust::Trusted => !meta.git_ref.is_empty(),
        Trust::Untrusted => merge_ref,
    };
    let mut scopes =
        vec![Scope { scope: meta.git_ref.clone(), permission: if writes { READ | WRITE } else { READ } }];
    let text = |pointer: &str| event.pointer(pointer).and_then(Json::as_str).unwrap_or_default();
    let told = text("/repository/default_branch");
    let default_branch = if told.is_empty() { default_branch } else { told };
    for branch in [text("/pull_request/base/ref"), text("/merge_group/base_ref"), default_branch] {
        if branch.is_empty() {
            continue;
        }
        let scope =
            if branch.starts_with("refs/") { branch.to_owned() } else { format!("refs/heads/{branch}") };
        if scopes.iter().all(|known| known.scope != scope) {
            scopes.push(Scope { scope, permission: READ });
        }
    }
    scopes
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn scopes(git_ref: &str, trust: Trust, event: &Json, default_branch: &str) -> Vec<(String, u8)> {
        let meta = RunMeta {
            repository: "o/n".to_owned(),
            forge: "github.com".to_owned(),
            workflow_file: "ci.yml".to_owned(),
            workflow_name: "ci".to_owned(),
            event_name: "push".to_owned(),
            git_ref: git_ref.to_owned(),
            sha: String::new(),
            actor: String::new(),
            trust,
            traceparent: None,
            run_number: 1,
            run_attempt: 1,
        };
        let scopes = of_run(&meta, event, default_branch);
        scopes.into_iter().map(|scope| (scope.scope, scope.permission)).collect()
    }

    #[test]
    fn scopes_are_githubs() {
        let pull = json!({
            "pull_request": {"base": {"ref": "release"}}, "repository": {"default_branch": "main"},
        });
        let (main, release) = (("refs/heads/main".to_owned(), 1), ("refs/heads/release".to_owned(), 1));
        let merge = "refs/pull/7/merge";
        for trust in [Trust::Trusted, Trust::Untrusted] {
            let expected = vec![(merge.to_owned(), 3), release.clone(), main.clone()];
            assert_eq!(scopes(merge, trust, &pull, ""), expected);
        }
        // Code from outside on any other ref writes nowhere.
        assert_eq!(
            scopes("refs/heads/release", Trust::Untrusted, &pull, ""),
            vec![release.clone(), main.clone()]
        );
        assert_eq!(scopes("refs/heads/main", Trust::Trusted, &json!({}), "main"), vec![(main.0.clone(), 3)]);
        assert_eq!(
            scopes("refs/tags/v1", Trust::Trusted, &json!({}), "main"),
            vec![("refs/tags/v1".to_owned(), 3), main.clone()]
        );
        let group = json!({"merge_group": {"base_ref": "refs/heads/main"}});
        let queued = "refs/heads/gh-readonly-queue/main/pr-1";
        assert_eq!(scopes(queued, Trust::Trusted, &group, ""), vec![(queued.to_owned(), 3), main]);
        assert_eq!(scopes("", Trust::Trusted, &json!({}), ""), vec![(String::new(), 1)]);
    }
}
