//! `uses`: which actions are built in.

use crate::yaml::Key;

use super::reader::Reader;

/// Inputs of `actions/checkout` (its action.yml, v4 to v6).
pub(super) const CHECKOUT_INPUTS: &[&str] = &[
    "repository",
    "ref",
    "token",
    "ssh-key",
    "ssh-known-hosts",
    "ssh-strict",
    "ssh-user",
    "persist-credentials",
    "path",
    "clean",
    "filter",
    "sparse-checkout",
    "sparse-checkout-cone-mode",
    "fetch-depth",
    "fetch-tags",
    "show-progress",
    "lfs",
    "submodules",
    "set-safe-directory",
    "github-server-url",
    "allow-unsafe-pr-checkout",
];

impl Reader<'_, '_> {
    /// Checks that a step's `uses` can be run; says so if not.
    pub(super) fn check_uses(&mut self, uses: &str, key: &Key) -> bool {
        let (name, version) = uses.split_once('@').unwrap_or((uses, ""));
        if name.eq_ignore_ascii_case("actions/checkout") && !version.is_empty() {
            return true;
        }
        let place = key.position;
        if uses.contains("${{") {
            self.report.error(place, "expression", "`uses` can't hold an expression");
        } else if uses.starts_with("./") || uses.starts_with("docker://") {
            self.unsupported(place, &format!("the action `{uses}`"));
        } else if version.is_empty() {
            self.report.error_hint(
                place,
                "wrong-value",
                format!("`uses: {uses}` lacks a version"),
                "write `owner/name@ref`",
            );
        } else {
            self.report.error_hint(
                place,
                "unsupported",
                format!("the action `{uses}` is not supported yet"),
                "only `run` steps and `actions/checkout` are",
            );
        }
        false
    }
}
