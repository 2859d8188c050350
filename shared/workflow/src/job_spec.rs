//! What an agent needs to run one instance of a job.
//!
//! The coordinator makes it when a job's needs are done ([`crate::plan`]), keeps it as a blob (JSON), and the
//! journal holds only its digest. It never holds a secret: whatever may use one (`env`, step keys, outputs) stays a
//! template here and is evaluated by the agent, which fetches secrets under its lease.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::action::ActionReference;

/// Version of this format; an agent refuses a newer one.
pub const JOB_SPEC_VERSION: u32 = 3;

/// One instance of a job, ready to be leased.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSpec {
    /// Always [`JOB_SPEC_VERSION`] when written by this build.
    pub version: u32,
    /// Path of the workflow file in its repository, for messages.
    pub workflow_file: String,
    /// The job's id in the file.
    pub job: String,
    /// What people see: GitHub's job name, with its matrix suffix.
    pub name: String,
    /// The labels of `runs-on`, in order: without `container:` they choose the image.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Contexts the coordinator fixed: `github` (complete but for runner paths), `inputs`, `vars`, `needs`,
    /// `strategy`, `matrix`; each a JSON object.
    pub contexts: SpecContexts,
    /// Environment blocks, outermost first (workflow, then job); values are templates.
    pub env: Vec<Vec<Entry>>,
    /// `defaults.run`, job over workflow.
    pub defaults: RunDefaults,
    /// `container:`; its strings are templates. `None`: host semantics.
    pub container: Option<ContainerSpec>,
    /// `services:`, in file order; an image that evaluates to the empty string means no such service.
    #[serde(default)]
    pub services: Vec<ServiceSpec>,
    /// `environment:`
    #[serde(default)]
    pub environment: Option<EnvironmentSpec>,
    /// `permissions:` after workflow, job and calls: scope and level (`read`, `write`); what is not named is `none`.
    #[serde(default)]
    pub permissions: Vec<(String, String)>,
    /// Where the job's secrets come from when it belongs to a called workflow: one entry a call, outermost first. Empty: the
    /// run's secrets as they are.
    #[serde(default)]
    pub secret_scopes: Vec<SecretScope>,
    /// The commits of actions that a lock file names, by `owner/repo@ref` in lower case.
    #[serde(default)]
    pub action_pins: BTreeMap<String, String>,
    /// `outputs:`; values are templates over `steps` and the rest.
    pub outputs: Vec<Entry>,
    /// The steps in file order.
    pub steps: Vec<StepSpec>,
    /// The job's time limit in milliseconds, counted from when its first step may start. GitHub's default is 360 min.
    pub timeout_ms: u64,
    /// `cancel-timeout-minutes` in milliseconds: how long steps may go on after a cancel. GitHub's default is 5 min.
    #[serde(default = "default_cancel_timeout_ms")]
    pub cancel_timeout_ms: u64,
    /// Where `actions/checkout` finds the code.
    pub source: Source,
}

/// Contexts that are fixed before the job is leased. Each is a JSON object, or null where it has no value.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct SpecContexts {
    /// `github`
    pub github: Json,
    /// `inputs`
    pub inputs: Json,
    /// `vars`
    pub vars: Json,
    /// `needs`
    pub needs: Json,
    /// `strategy`
    pub strategy: Json,
    /// `matrix`
    pub matrix: Json,
}

/// The key of an [`Entry`] whose value gives a whole mapping that takes its place: `env: ${{ fromJSON(…) }}`, or
/// `${{ insert }}: ${{ … }}` among other keys.
pub const INSERT: &str = "${{ insert }}";

/// A key and its template, with the place it came from. See [`INSERT`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The key as written.
    pub key: String,
    /// The value: literal text and `${{ }}` parts.
    pub value: Text,
}

/// A string that may hold `${{ }}`, and where it stands in the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text {
    /// The scalar after YAML, before expressions.
    pub text: String,
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
}

/// `defaults.run`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct RunDefaults {
    /// `shell`
    pub shell: Option<Text>,
    /// `working-directory`
    pub working_directory: Option<Text>,
}

/// `jobs.<id>.container`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// The image; one that evaluates to the empty string means no container.
    pub image: Text,
    /// `env`
    pub env: Vec<Entry>,
    /// `ports`, as written.
    pub ports: Vec<Text>,
    /// `volumes`, as written.
    pub volumes: Vec<Text>,
    /// `options`: arguments of `docker create`.
    pub options: Option<Text>,
    /// `credentials`: user name and password.
    pub credentials: Option<(Text, Text)>,
}

/// One entry of `jobs.<id>.services`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ServiceSpec {
    /// Its key: the name by which the job reaches it.
    pub name: String,
    /// Its container.
    pub container: ContainerSpec,
    /// `command`: arguments for the image's entrypoint, in one line as a shell splits it.
    #[serde(default)]
    pub command: Option<Text>,
    /// `entrypoint`, instead of the image's.
    #[serde(default)]
    pub entrypoint: Option<Text>,
}

/// `jobs.<id>.environment`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EnvironmentSpec {
    /// Its name, evaluated.
    pub name: String,
    /// `url`: a template over `steps` and the rest, evaluated at the job's end.
    #[serde(default)]
    pub url: Option<Text>,
    /// `deployment: false`: the forge is told of no deployment.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub untold: bool,
}

/// What a call of a reusable workflow hands down of the caller's secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum SecretScope {
    /// `secrets: inherit`
    Inherit,
    /// `secrets:` as a mapping, or none at all. The token is handed down always.
    Map {
        /// Names and templates.
        entries: Vec<Entry>,
        /// The caller's contexts, for the templates. `github` and `vars` are null: they are the job's own.
        contexts: Box<SpecContexts>,
    },
}

fn default_cancel_timeout_ms() -> u64 {
    DEFAULT_CANCEL_TIMEOUT_MS
}

/// GitHub's default for `cancel-timeout-minutes`: 5 min.
pub const DEFAULT_CANCEL_TIMEOUT_MS: u64 = 5 * 60_000;

/// One step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepSpec {
    /// The id as written, or a generated one (`__run`, `__run_2`, `__actions_checkout`).
    pub id: String,
    /// Whether the id was written; only then does the `steps` context show it.
    pub id_written: bool,
    /// `name`, a template; `None`: GitHub's default (`Run <first line>`).
    pub name: Option<Text>,
    /// `if`; `None` means `success()`.
    pub condition: Option<Text>,
    /// What it does.
    pub action: StepAction,
    /// `background`: the next step begins without waiting for this one.
    #[serde(default)]
    pub background: bool,
    /// `env`; values are templates.
    pub env: Vec<Entry>,
    /// `continue-on-error`: a boolean or a template that gives one.
    pub continue_on_error: Option<Text>,
    /// `timeout-minutes`: a number or a template that gives one.
    pub timeout_minutes: Option<Text>,
    /// Line of the step in the file, from 1.
    pub line: u32,
}

impl StepSpec {
    /// Whether it waits for steps of the background or cancels them. Such a step has no condition: it always runs.
    pub fn steers(&self) -> bool {
        matches!(self.action, StepAction::Wait { .. } | StepAction::Cancel { .. })
    }
}

/// What a step does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum StepAction {
    /// `run:`
    Run {
        /// The script, a template.
        script: Text,
        /// `shell`
        shell: Option<Text>,
        /// `working-directory`
        working_directory: Option<Text>,
    },
    /// `uses:`
    Uses {
        /// `uses` as written, for the step's default name.
        uses: String,
        /// What it names.
        action: ActionReference,
        /// `with`; values are templates.
        with: Vec<Entry>,
    },
    /// `wait`, `wait-all`, or the end of a `parallel` group.
    Wait {
        /// Places of the steps to wait for, from 0; none: all before this one.
        steps: Option<Vec<u32>>,
        /// What people see where it has no `name`.
        default_name: String,
    },
    /// `cancel`
    Cancel {
        /// Places of the steps to cancel, from 0.
        steps: Vec<u32>,
        /// What people see where it has no `name`.
        default_name: String,
    },
}

/// What people see for steps without `name` that steer steps of the background; GitHub's words.
pub struct BackgroundDefaultNames {
    /// `wait`
    pub wait: &'static str,
    /// `wait-all`
    pub wait_all: &'static str,
    /// `cancel`
    pub cancel: &'static str,
    /// `parallel`
    pub group: &'static str,
    /// The waiting at the end of a job, which nobody wrote.
    pub implicit: &'static str,
}

/// See [`BackgroundDefaultNames`].
pub const BACKGROUND_DEFAULT_NAMES: BackgroundDefaultNames = BackgroundDefaultNames {
    wait: "Wait",
    wait_all: "Wait for all",
    cancel: "Cancel",
    group: "Parallel group",
    implicit: "Wait for all background steps",
};

/// Id of the step that waits at the end of a job, as GitHub's runner has it.
pub const IMPLICIT_WAIT_ID: &str = "__implicit_wait_all";

/// Where the code of a run comes from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Source {
    /// Nothing to check out: `actions/checkout` fails with a clear message.
    #[default]
    None,
    /// A git repository over HTTP(S), at a commit.
    Git {
        /// What `git clone` takes.
        clone_url: String,
        /// `owner/name`.
        repository: String,
        /// The full ref, `refs/heads/main`.
        git_ref: String,
        /// The commit, 40 or 64 hexadecimal digits.
        sha: String,
    },
    /// An uploaded working tree: a tar in one zstd frame, kept as a blob.
    Tree {
        /// SHA-256 of the archive, hexadecimal.
        digest: String,
        /// Its length in bytes.
        size_bytes: u64,
    },
}
