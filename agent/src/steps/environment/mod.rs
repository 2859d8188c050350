//! The exact environment of a step's process.
//!
//! From weakest to strongest: the image's variables; the job's and the step's own (workflow < job < `GITHUB_ENV` <
//! step); `CI`; `GITHUB_*` and `RUNNER_*`, which no `env:` can change; the directories of `GITHUB_PATH` in front of
//! `PATH`.

use std::collections::BTreeMap;

use slipway_workflow::value::Value;

/// Members of the `github` context that become `GITHUB_*` (the runner's allow-list).
const GITHUB_NAMES: [&str; 37] = [
    "action",
    "action_path",
    "action_ref",
    "action_repository",
    "actor",
    "actor_id",
    "api_url",
    "base_ref",
    "env",
    "event_name",
    "event_path",
    "graphql_url",
    "head_ref",
    "job",
    "output",
    "path",
    "ref",
    "ref_name",
    "ref_protected",
    "ref_type",
    "repository",
    "repository_id",
    "repository_owner",
    "repository_owner_id",
    "retention_days",
    "run_attempt",
    "run_id",
    "run_number",
    "server_url",
    "sha",
    "state",
    "step_summary",
    "triggering_actor",
    "workflow",
    "workflow_ref",
    "workflow_sha",
    "workspace",
];

/// What a step's environment is made of.
#[derive(Debug, Clone, Copy)]
pub struct EnvironmentParts<'a> {
    /// `Env` of the image (or container), `NAME=VALUE`.
    pub image: &'a [String],
    /// What the runner sets for every step below the workflow's say: `HOME` and the like.
    pub base: &'a [(String, String)],
    /// The step's `env` context: job's variables and the step's own.
    pub env: &'a [(&'a str, &'a str)],
    /// The `github` context, complete.
    pub github: &'a Value,
    /// The `runner` context, complete.
    pub runner: &'a Value,
    /// Directories for the front of `PATH`, first one first.
    pub path: &'a [&'a str],
    /// What the runner sets above the workflow's say (`ACTIONS_*`, `INPUT_*`, `STATE_*`).
    pub forced: &'a [(String, String)],
}

/// `PATH` where neither image nor workflow has one.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Puts a step's environment together: names and values for `execve`, sorted by name. Entries that no process can be
/// given (an empty name, a `=` in a name, a NUL) are left out.
pub fn environment(parts: &EnvironmentParts<'_>) -> Vec<(String, String)> {
    let mut all: BTreeMap<String, String> = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        if !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0') {
            all.insert(name.to_owned(), value.to_owned());
        }
    };
    for entry in parts.image {
        if let Some((name, value)) = entry.split_once('=') {
            set(name, value);
        }
    }
    for (name, value) in parts.base {
        set(name, value);
    }
    // GitHub sets `CI` only where the workflow did not.
    set("CI", "true");
    for (name, value) in parts.env {
        set(name, value);
    }
    set("GITHUB_ACTIONS", "true");
    for (name, value) in members(parts.github) {
        let name = name.to_ascii_lowercase();
        if GITHUB_NAMES.contains(&name.as_str())
            && let Some(value) = variable(value)
        {
            set(&format!("GITHUB_{}", name.to_ascii_uppercase()), &value);
        }
    }
    for (name, value) in members(parts.runner) {
        if let Value::String(value) = value {
            set(&format!("RUNNER_{}", name.to_ascii_uppercase()), value);
        }
    }
    for (name, value) in parts.forced {
        set(name, value);
    }
    prepend_path(&mut all, parts.path);
    all.into_iter().collect()
}

/// Strings as they are, booleans in words; nothing else becomes a variable.
fn variable(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.to_string()),
        Value::Bool(flag) => Some(flag.to_string()),
        _ => None,
    }
}

fn members(context: &Value) -> impl Iterator<Item = (&str, &Value)> {
    let object = match context {
        Value::Object(object) => Some(object),
        _ => None,
    };
    object.into_iter().flat_map(|object| object.iter()).map(|(name, value)| (&**name, value))
}

fn prepend_path(all: &mut BTreeMap<String, String>, path: &[&str]) {
    let rest = all.get("PATH").map_or(DEFAULT_PATH, String::as_str);
    let joined = path.iter().copied().chain(Some(rest).filter(|rest| !rest.is_empty())).collect::<Vec<_>>();
    let joined = joined.join(":");
    all.insert("PATH".to_owned(), joined);
}

#[cfg(test)]
mod tests;
