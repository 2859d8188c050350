//! What only the originals do. Of `actions/checkout`: [`crate::checkout::needs_original`].

use uuid::Uuid;

use crate::steps::values::Values;

/// Whether these inputs of `actions/download-artifact` ask for what only the original does: artifacts of another repository than `own`, or
/// of a run that is GitHub's own, which are its REST API's; and the rarer parts of its pattern language.
pub(super) fn download_needs_original(with: &Values, own: &str) -> bool {
    let given = |name: &str| with.get(name).map(str::trim).filter(|value| !value.is_empty());
    // A run of ours has a UUID, one of GitHub's a number.
    let foreign = |run: &str| Uuid::try_parse(run).is_err();
    let elsewhere = given("repository").is_some_and(|repository| !repository.eq_ignore_ascii_case(own))
        || given("run-id").is_some_and(foreign);
    let rare = |pattern: &str| {
        let extended = ["?(", "*(", "+(", "@(", "!("].iter().any(|start| pattern.contains(start));
        extended || pattern.contains("[:") || (pattern.contains('{') && pattern.contains(".."))
    };
    (given("github-token").is_some() && elsewhere) || given("pattern").is_some_and(rare)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_repositories_and_githubs_runs_are_for_the_original() {
        for (with, expected) in [
            (&[("name", "a"), ("path", "b")][..], false),
            (&[("github-token", "t")], false),
            (&[("github-token", "t"), ("run-id", "7")], true),
            (&[("github-token", "t"), ("run-id", "7b0e0d3c-5f1e-4f0e-9d5c-3a1b2c3d4e5f")], false),
            (&[("github-token", "t"), ("repository", "o/r")], true),
            (&[("github-token", "t"), ("repository", "Own/r")], false),
            (&[("run-id", "7")], false),
            (&[("pattern", "logs-{a,b}-*")], false),
            (&[("pattern", "logs-{1..3}")], true),
            (&[("pattern", "+(a|b)")], true),
        ] {
            assert_eq!(
                download_needs_original(&with.iter().copied().collect(), "own/r"),
                expected,
                "{with:?}"
            );
        }
    }
}
