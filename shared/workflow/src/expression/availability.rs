//! Which contexts and functions a key of a workflow file may use (GitHub docs, "Contexts reference", "Context
//! availability"; the same lists stand in GitHub's workflow schema).

/// Which status functions there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusArity {
    /// None.
    None,
    /// All four, without arguments: a step's `if`.
    Step,
    /// All four; `success` and `failure` take job ids: a job's `if`.
    Job,
}

/// What an expression may name.
#[derive(Debug, Clone, Copy)]
pub struct Availability<'a> {
    /// Names of contexts.
    pub contexts: &'a [&'a str],
    /// Status functions.
    pub status: StatusArity,
    /// Whether there is `hashFiles`.
    pub hash_files: bool,
}

const fn contexts(contexts: &'static [&'static str]) -> Availability<'static> {
    Availability { contexts, status: StatusArity::None, hash_files: false }
}

/// Every context there is, for telling "unknown" from "not here".
const ALL_CONTEXTS: &[&str] = &[
    "github", "env", "vars", "job", "jobs", "steps", "runner", "secrets", "strategy", "matrix", "needs",
    "inputs",
];

const STEP: &[&str] =
    &["github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "steps", "job", "runner", "env"];
const STEP_IF: &[&str] =
    &["github", "inputs", "vars", "needs", "strategy", "matrix", "steps", "job", "runner", "env"];

/// Nothing: expressions are not allowed.
pub const NOTHING: Availability<'static> = contexts(&[]);
/// `run-name`, and the workflow's `concurrency`.
pub const RUN_NAME: Availability<'static> = contexts(&["github", "inputs", "vars"]);
/// The workflow's `env`.
pub const WORKFLOW_ENV: Availability<'static> = contexts(&["github", "inputs", "vars", "secrets"]);
/// `jobs.<id>.if`
pub const JOB_IF: Availability<'static> = Availability {
    contexts: &["github", "inputs", "vars", "needs"],
    status: StatusArity::Job,
    hash_files: false,
};
/// `jobs.<id>.strategy`
pub const STRATEGY: Availability<'static> = contexts(&["github", "inputs", "vars", "needs"]);
/// `jobs.<id>` keys that are known once its matrix is: `name runs-on container timeout-minutes continue-on-error`.
pub const JOB: Availability<'static> = contexts(&["github", "inputs", "vars", "needs", "strategy", "matrix"]);
/// `jobs.<id>.env`
pub const JOB_ENV: Availability<'static> =
    contexts(&["github", "inputs", "vars", "needs", "strategy", "matrix", "secrets"]);
/// `jobs.<id>.defaults.run`
pub const JOB_DEFAULTS: Availability<'static> =
    contexts(&["github", "inputs", "vars", "strategy", "matrix", "needs", "env"]);
/// `jobs.<id>.container.credentials`
pub const CREDENTIALS: Availability<'static> = contexts(&["github", "inputs", "vars", "secrets", "env"]);
/// `jobs.<id>.outputs` and `jobs.<id>.container.env`
pub const JOB_RUNNER: Availability<'static> = contexts(STEP);
/// `jobs.<id>.environment.url`
pub const JOB_RUNNER_NO_SECRETS: Availability<'static> = contexts(STEP_IF);
/// A step's keys but for `if`.
pub const STEP_KEY: Availability<'static> =
    Availability { contexts: STEP, status: StatusArity::None, hash_files: true };
/// A step's `if`.
pub const STEP_CONDITION: Availability<'static> =
    Availability { contexts: STEP_IF, status: StatusArity::Step, hash_files: true };

const COMPOSITE: &[&str] = &["github", "inputs", "strategy", "matrix", "steps", "job", "runner", "env"];
/// Keys of a composite action's steps but for `if`, and its outputs.
pub const COMPOSITE_STEP: Availability<'static> =
    Availability { contexts: COMPOSITE, status: StatusArity::None, hash_files: true };
/// `if` of a composite action's steps, and `pre-if` and `post-if`.
pub const COMPOSITE_CONDITION: Availability<'static> =
    Availability { contexts: COMPOSITE, status: StatusArity::Step, hash_files: true };
/// The default of an action's input.
pub const ACTION_DEFAULT: Availability<'static> = Availability {
    contexts: &["github", "strategy", "matrix", "job", "runner", "env"],
    status: StatusArity::None,
    hash_files: true,
};
/// `args` and `env` of a Docker action.
pub const ACTION_CONTAINER: Availability<'static> =
    contexts(&["inputs", "github", "strategy", "matrix", "job", "runner", "env"]);

impl Availability<'_> {
    /// Whether a context of that name is there; case does not matter.
    pub fn has_context(&self, name: &str) -> bool {
        self.contexts.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    pub(super) fn unknown_context(&self, name: &str) -> String {
        let here = if self.contexts.is_empty() { "none".to_owned() } else { self.contexts.join(", ") };
        if ALL_CONTEXTS.iter().any(|known| known.eq_ignore_ascii_case(name)) {
            format!("the context `{name}` is not available here; available: {here}")
        } else {
            format!("unknown context `{name}`; available here: {here}")
        }
    }

    pub(super) fn unknown_function(&self, name: &str) -> String {
        const ELSEWHERE: [&str; 5] = ["always", "success", "failure", "cancelled", "hashfiles"];
        if ELSEWHERE.contains(&name.to_ascii_lowercase().as_str()) {
            format!("the function `{name}` is not available here")
        } else {
            format!("unknown function `{name}`")
        }
    }
}
