//! Scopes of the cache: where a repository's jobs, and people's tools, read and write.
//!
//! Blobs of a repository lie together: their names are their content, so it does not matter who brought one. Entries lie by ref, as
//! the Actions cache has it: a run writes those of its own ref, and reads those of its base and default branch too.
//!
//! A pull request writes blobs into a place of its own as well: one from outside can then neither fill the repository's nor find out
//! what is written there later.
//!
//! The part of a name before its dot says whose quota counts: a repository's, or that of all its pull requests together. So neither
//! another repository nor a pull request can push out what a repository's own refs keep.

use slipway_cache::Scope;
use slipway_cas::Digest;
use slipway_cas::cache::Namespace;

/// How many hexadecimal digits of a hash make a name: 160 bits.
const NAME_DIGITS: usize = 40;

/// The same of a name in two parts, which a namespace has room for: 96 bits and 120.
const OWNER_DIGITS: usize = 24;
const PART_DIGITS: usize = 30;

/// What the names of the places of repositories begin with, and those of their pull requests.
pub(super) const OF_REPOSITORIES: &str = "r-";
pub(super) const OF_PULL_REQUESTS: &str = "p-";

/// What the refs of pull requests begin with.
const PULL_REQUESTS: &str = "refs/pull/";

/// Where somebody reads and writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Places {
    /// Where blobs and entries are read, nearest first.
    pub(super) read: Vec<Scope>,
    /// Where they are written; `None`: nowhere.
    pub(super) write: Option<Scope>,
}

/// Of people and their tools, who name no instance.
pub(super) fn shared() -> Namespace {
    named("shared", &[])
}

/// What whoever has a token for all of the cache may do in this instance of it.
pub(super) fn of_instance(instance: &str) -> Places {
    let place = if instance.is_empty() { shared() } else { named("i", &[instance]) };
    let scope = Scope { blobs: place.clone(), entries: place };
    Places { read: vec![scope.clone()], write: Some(scope) }
}

/// What a job may do in this instance of its repository's cache.
pub(super) fn of_job(repository: &str, refs: &[JobRef], instance: &str) -> Places {
    let (own_refs, pulls) = (owner(OF_REPOSITORIES, repository), owner(OF_PULL_REQUESTS, repository));
    let common = part(&own_refs, "b", &[]);
    let is_pull = |name: &str| name.starts_with(PULL_REQUESTS);
    let blobs = |name: &str| if is_pull(name) { part(&pulls, "b", &[name]) } else { common.clone() };
    let entries = |name: &str| part(if is_pull(name) { &pulls } else { &own_refs }, "e", &[name, instance]);
    let own = refs.iter().find(|it| it.writes);
    let write = own.map(|it| Scope { blobs: blobs(&it.name), entries: entries(&it.name) });
    let others = refs.iter().filter(|it| !it.writes && it.reads);
    let others = others.map(|it| Scope { blobs: common.clone(), entries: entries(&it.name) });
    Places { read: write.iter().cloned().chain(others).collect(), write }
}

/// A ref, and what a job may do with its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct JobRef {
    pub(super) name: String,
    pub(super) reads: bool,
    pub(super) writes: bool,
}

/// Who a repository is to the cache, or all its pull requests together are.
pub(super) fn owner(kind: &str, repository: &str) -> String {
    format!("{kind}{}", hashed(&[&repository.to_lowercase()], OWNER_DIGITS))
}

/// A place of this owner's that no other parts give.
fn part(owner: &str, kind: &str, parts: &[&str]) -> Namespace {
    namespace(&format!("{owner}.{kind}{}", hashed(parts, PART_DIGITS)))
}

/// A name that no other parts give.
fn named(kind: &str, parts: &[&str]) -> Namespace {
    match parts.is_empty() {
        true => namespace(kind),
        false => namespace(&format!("{kind}-{}", hashed(parts, NAME_DIGITS))),
    }
}

/// So many hexadecimal digits that no other parts give.
fn hashed(parts: &[&str], digits: usize) -> String {
    let mut text = String::new();
    for part in parts {
        text.push_str(&format!("{}:{part}", part.len()));
    }
    let mut hash = Digest::of(text.as_bytes()).hash_hex();
    hash.truncate(digits);
    hash
}

fn namespace(name: &str) -> Namespace {
    #[allow(clippy::expect_used)]
    Namespace::new(name).expect("lower-case letters, digits, dashes and a dot, below 64 bytes")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn refs(refs: &[(&str, bool)]) -> Vec<JobRef> {
        refs.iter()
            .map(|(name, writes)| JobRef { name: (*name).to_owned(), reads: true, writes: *writes })
            .collect()
    }

    #[test]
    fn a_pull_request_reads_the_base_and_writes_only_what_is_its_own() {
        let main = of_job("github.com/o/n", &refs(&[("refs/heads/main", true)]), "");
        let pull =
            of_job("github.com/o/n", &refs(&[("refs/pull/7/merge", true), ("refs/heads/main", false)]), "");
        let (ours, theirs) = (pull.write.clone().unwrap(), main.write.clone().unwrap());
        assert_ne!(ours.entries, theirs.entries);
        assert_ne!(ours.blobs, theirs.blobs);
        // Nor does it use up what the base may keep.
        assert_eq!(theirs.blobs.owner(), theirs.entries.owner());
        assert_eq!(theirs.blobs.owner(), owner(OF_REPOSITORIES, "GitHub.com/o/n"));
        assert_eq!(main.write.clone().unwrap().entries.owner(), theirs.entries.owner());
        let pulls = owner(OF_PULL_REQUESTS, "github.com/o/n");
        assert_eq!([ours.blobs.owner(), ours.entries.owner()], [pulls.as_str(); 2]);
        assert_eq!(pull.read, [ours, theirs]);
        // Nothing that a pull request writes is read by the base.
        assert_eq!(main.read, [main.write.clone().unwrap()]);
    }

    #[test]
    fn repositories_refs_and_instances_share_nothing() {
        let of = |repository: &str, name: &str, instance: &str| {
            of_job(repository, &refs(&[(name, true)]), instance).write.unwrap()
        };
        let one = of("f/o/n", "refs/heads/a", "");
        assert_eq!(one, of("F/O/N", "refs/heads/a", ""), "names of repositories have no case");
        assert_ne!(one.blobs, of("f/o/m", "refs/heads/a", "").blobs);
        assert_ne!(one.entries, of("f/o/m", "refs/heads/a", "").entries);
        assert_ne!(one.entries, of("f/o/n", "refs/heads/b", "").entries);
        assert_ne!(one.entries, of("f/o/n", "refs/heads/a", "debug").entries);
        assert_ne!(of_instance("a").write, of_instance("b").write);
        assert_ne!(of_instance("").write, of_instance("shared").write);
        // Where one part ends is part of the name.
        assert_ne!(named("x", &["ab", "c"]), named("x", &["a", "bc"]));
    }

    #[test]
    fn a_job_that_may_write_nowhere_only_reads() {
        let access = of_job("f/o/n", &refs(&[("refs/heads/main", false)]), "");
        assert_eq!(access.write, None);
        assert_eq!(access.read.len(), 1);
    }
}
