//! `uses` of a step: what it names, and what is probably wrong with that.

use crate::action::ActionReference;
use crate::diagnostics::Position;
use crate::job_spec::Entry;
use crate::yaml::Node;

use super::reader::Reader;
use super::suggest::nearest;

/// Inputs of `actions/checkout` (its action.yml, v4 to v6).
const CHECKOUT_INPUTS: &[&str] = &[
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

/// Owners whose actions come from GitHub itself: a tag of theirs is as good as the runner is.
const OWN: &[&str] = &["actions", "github"];

impl Reader<'_, '_> {
    /// What a step's `uses` names; says so if it names nothing.
    pub(super) fn action_reference(&mut self, node: &Node) -> Option<(String, ActionReference)> {
        let uses = self.non_empty(node, "uses")?;
        if uses.contains("${{") {
            self.report.error(node.position, "expression", "`uses` can't hold an expression");
            return None;
        }
        match ActionReference::parse(&uses) {
            Ok(action) => {
                self.warn_unpinned(&uses, &action, node.position);
                Some((uses.to_string(), action))
            }
            Err(error) => {
                self.report.error(
                    node.position,
                    "wrong-value",
                    format!("`uses: {uses}` can't be used: {error}"),
                );
                None
            }
        }
    }

    /// Whoever owns a tag or branch can put other code behind it.
    fn warn_unpinned(&mut self, uses: &str, action: &ActionReference, at: Position) {
        let ActionReference::Repository { repository, git_ref, .. } = action else { return };
        let owner = repository.split('/').next().unwrap_or_default();
        let pinned = git_ref.len() == 40 && git_ref.bytes().all(|byte| byte.is_ascii_hexdigit());
        if pinned || OWN.iter().any(|own| own.eq_ignore_ascii_case(owner)) {
            return;
        }
        self.report.warning(
            at,
            "unpinned-action",
            format!("`{uses}` may be other code tomorrow: `{git_ref}` is not a commit"),
            "name the full commit, or pin it in a lock file",
        );
    }

    /// Inputs that the action does not have, where it is known.
    pub(super) fn warn_about_inputs(&mut self, action: &ActionReference, with: &[Entry], at: Position) {
        if !action.is("actions/checkout") {
            return;
        }
        let known = |entry: &&Entry| CHECKOUT_INPUTS.contains(&entry.key.to_ascii_lowercase().as_str());
        for entry in with.iter().filter(|entry| !known(entry)) {
            let hint = match nearest(&entry.key, CHECKOUT_INPUTS.iter().copied()) {
                Some(known) => format!("did you mean `{known}`?"),
                None => "it is ignored".to_owned(),
            };
            self.report.warning(
                at,
                "unknown-input",
                format!("actions/checkout has no input `{}`", entry.key),
                hint,
            );
        }
    }
}
