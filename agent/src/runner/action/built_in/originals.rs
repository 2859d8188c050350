//! What only the originals do. Of `actions/checkout`: [`crate::checkout::needs_original`].

use crate::steps::values::Values;

/// Whether these inputs of `actions/download-artifact` ask for what only the original does: artifacts of another run,
/// which are GitHub's REST API's, and the rarer parts of its pattern language.
pub(super) fn download_needs_original(with: &Values) -> bool {
    let given = |name: &str| with.get(name).map(str::trim).filter(|value| !value.is_empty());
    let elsewhere = given("repository").is_some() || given("run-id").is_some();
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
    fn other_runs_are_for_the_original() {
        for (with, expected) in [
            (&[("name", "a"), ("path", "b")][..], false),
            (&[("github-token", "t")], false),
            (&[("github-token", "t"), ("run-id", "7")], true),
            (&[("github-token", "t"), ("repository", "o/r")], true),
            (&[("run-id", "7")], false),
            (&[("pattern", "logs-{a,b}-*")], false),
            (&[("pattern", "logs-{1..3}")], true),
            (&[("pattern", "+(a|b)")], true),
        ] {
            assert_eq!(download_needs_original(&with.iter().copied().collect()), expected, "{with:?}");
        }
    }
}
