//! The types of the model.

use crate::diagnostics::{Diagnostic, Position};
use crate::expression::{Condition, Template};
use crate::filter::Patterns;
use crate::job_spec::{Entry, RunDefaults, StepSpec, Text};

use super::Dynamic;

/// A workflow file.
#[derive(Debug, Clone)]
pub struct Workflow {
    /// Path of the file as given to [`super::parse`].
    pub file: String,
    /// `name`
    pub name: Option<String>,
    /// `run-name`
    pub run_name: Option<Templated>,
    /// `on`, one entry an event.
    pub triggers: Vec<Trigger>,
    /// `env`
    pub env: Vec<Entry>,
    /// `defaults.run`
    pub defaults: RunDefaults,
    /// `permissions`
    pub permissions: Option<Permissions>,
    /// `concurrency`
    pub concurrency: Option<Concurrency>,
    /// The jobs in file order.
    pub jobs: Vec<Job>,
    /// What is worth saying though the workflow can run.
    pub warnings: Vec<Diagnostic>,
}

impl Workflow {
    /// The job of that id; case does not matter.
    pub fn job(&self, id: &str) -> Option<&Job> {
        self.jobs.iter().find(|job| job.id.eq_ignore_ascii_case(id))
    }

    /// What a caller gives and gets; `None` where the file is no reusable workflow.
    pub fn callable(&self) -> Option<&Callable> {
        self.triggers.iter().find_map(|trigger| trigger.callable.as_ref())
    }

    /// What people call it: `name`, else the file's path, as on GitHub.
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.file)
    }
}

/// `concurrency`.
#[derive(Debug, Clone)]
pub struct Concurrency {
    /// `group`
    pub group: Templated,
    /// `cancel-in-progress`
    pub cancel_in_progress: Option<Templated>,
    /// `queue`
    pub queue: Queueing,
}

/// `concurrency.queue`: how many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queueing {
    /// One: a newer one takes its place.
    Single,
    /// Many.
    Max,
}

/// A scalar with its place and its parsed template.
#[derive(Debug, Clone)]
pub struct Templated {
    /// As written.
    pub text: Text,
    /// Parsed.
    pub template: Template,
}

impl Templated {
    /// Where it stands.
    pub fn position(&self) -> Position {
        Position { line: self.text.line, column: self.text.column }
    }
}

/// One event of `on`.
#[derive(Debug, Clone)]
pub struct Trigger {
    /// The event's name.
    pub event: String,
    /// Where it stands.
    pub position: Position,
    /// `branches`
    pub branches: Option<Patterns>,
    /// `branches-ignore`
    pub branches_ignore: Option<Patterns>,
    /// `tags`
    pub tags: Option<Patterns>,
    /// `tags-ignore`
    pub tags_ignore: Option<Patterns>,
    /// `paths`
    pub paths: Option<Patterns>,
    /// `paths-ignore`
    pub paths_ignore: Option<Patterns>,
    /// `types`; `None`: the event's default.
    pub types: Option<Vec<String>>,
    /// `workflows` of `workflow_run`.
    pub workflows: Option<Patterns>,
    /// `inputs` of `workflow_dispatch`.
    pub inputs: Vec<Input>,
    /// What `workflow_call` says; `None` for every other event.
    pub callable: Option<Callable>,
    /// `schedule`'s entries.
    pub schedules: Vec<Schedule>,
}

/// An entry of `schedule`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// The five fields; [`crate::schedule::Cron::parse`] reads them.
    pub cron: String,
    /// The time zone's name (IANA); `None`: UTC.
    pub timezone: Option<String>,
    /// Where it stands.
    pub position: Position,
}

/// An input of `workflow_dispatch`.
#[derive(Debug, Clone)]
pub struct Input {
    /// Its name.
    pub name: String,
    /// `description`
    pub description: Option<String>,
    /// `required`
    pub required: bool,
    /// `default`, as text.
    pub default: Option<String>,
    /// `type`
    pub kind: InputType,
}

/// The type of an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InputType {
    /// `string`, also when none is given.
    String,
    /// `boolean`
    Boolean,
    /// `number`
    Number,
    /// `choice`, with its options.
    Choice(Vec<String>),
    /// `environment`
    Environment,
}

/// `permissions`. What is not named is `none` once anything is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permissions {
    /// `read-all`
    ReadAll,
    /// `write-all`
    WriteAll,
    /// Scope and level (`read`, `write`, `none`), in file order.
    Scopes(Vec<(String, String)>),
}

/// A job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Its id in the file.
    pub id: String,
    /// Where the id stands.
    pub position: Position,
    /// `name`
    pub name: Option<Templated>,
    /// `needs`
    pub needs: Vec<Need>,
    /// `if`
    pub condition: Condition,
    /// Where `if` stands, else the job.
    pub condition_position: Position,
    /// `runs-on`
    pub runs_on: RunsOn,
    /// `strategy`
    pub strategy: Option<Strategy>,
    /// `timeout-minutes`
    pub timeout_minutes: Option<Templated>,
    /// `continue-on-error`
    pub continue_on_error: Option<Templated>,
    /// `container`
    pub container: Option<Container>,
    /// `services`, in file order.
    pub services: Vec<Service>,
    /// `services` as an expression that gives all of them.
    pub services_whole: Option<Templated>,
    /// `environment`
    pub environment: Option<DeploymentTarget>,
    /// `permissions`
    pub permissions: Option<Permissions>,
    /// `concurrency`
    pub concurrency: Option<Concurrency>,
    /// `cancel-timeout-minutes`
    pub cancel_timeout_minutes: Option<Templated>,
    /// `env`
    pub env: Vec<Entry>,
    /// `defaults.run`
    pub defaults: RunDefaults,
    /// `outputs`
    pub outputs: Vec<Entry>,
    /// `steps`, with ids made.
    pub steps: Vec<StepSpec>,
    /// `uses`: the job is a call of a reusable workflow, and has neither `runs-on` nor `steps`.
    pub call: Option<Call>,
}

/// `jobs.<id>.uses`, `with` and `secrets`.
#[derive(Debug, Clone)]
pub struct Call {
    /// `uses`, which [`crate::calls::FileName::called`] understands.
    pub uses: Text,
    /// `with`, in file order.
    pub with: Vec<Argument>,
    /// `secrets`
    pub secrets: CallSecrets,
}

impl Call {
    /// Where `uses` stands.
    pub fn position(&self) -> Position {
        Position { line: self.uses.line, column: self.uses.column }
    }
}

/// An entry of a call's `with`.
#[derive(Debug, Clone)]
pub struct Argument {
    /// The input's name.
    pub name: String,
    /// Its value, a scalar.
    pub value: Dynamic,
}

/// What a call hands down of its secrets.
#[derive(Debug, Clone)]
pub enum CallSecrets {
    /// `inherit`
    Inherit,
    /// These; none without `secrets`.
    Map(Vec<Entry>),
}

/// `on.workflow_call`.
#[derive(Debug, Clone, Default)]
pub struct Callable {
    /// `inputs`, in file order.
    pub inputs: Vec<CallInput>,
    /// `secrets`
    pub secrets: Vec<CallSecret>,
    /// `outputs`
    pub outputs: Vec<CallOutput>,
}

/// An input of `workflow_call`.
#[derive(Debug, Clone)]
pub struct CallInput {
    /// Its name.
    pub name: String,
    /// `required`
    pub required: bool,
    /// `default`
    pub default: Option<Dynamic>,
    /// `type`: `String`, `Boolean` or `Number`.
    pub kind: InputType,
}

/// A secret of `workflow_call`.
#[derive(Debug, Clone)]
pub struct CallSecret {
    /// Its name.
    pub name: String,
    /// `required`
    pub required: bool,
}

/// An output of `workflow_call`.
#[derive(Debug, Clone)]
pub struct CallOutput {
    /// Its name.
    pub name: String,
    /// `value`
    pub value: Templated,
}

/// A job that must be done first.
#[derive(Debug, Clone)]
pub struct Need {
    /// The id as the needed job has it.
    pub id: String,
    /// Where it stands.
    pub position: Position,
}

/// `runs-on`: text, a list, `labels:` or an expression that gives one of them.
#[derive(Debug, Clone)]
pub struct RunsOn {
    /// Its value.
    pub labels: Dynamic,
    /// Where it stands.
    pub position: Position,
}

/// `strategy`.
#[derive(Debug, Clone)]
pub struct Strategy {
    /// Where it stands.
    pub position: Position,
    /// An expression that gives all of it; then nothing else is set.
    pub whole: Option<Templated>,
    /// `matrix`
    pub matrix: Option<Matrix>,
    /// `fail-fast`
    pub fail_fast: Option<Templated>,
    /// `max-parallel`
    pub max_parallel: Option<Templated>,
}

impl Strategy {
    /// One that says nothing, at this place.
    #[must_use]
    pub fn at(position: Position) -> Self {
        Self { position, whole: None, matrix: None, fail_fast: None, max_parallel: None }
    }

    /// Whether it may make several jobs of one.
    #[must_use]
    pub fn has_matrix(&self) -> bool {
        self.matrix.is_some() || self.whole.is_some()
    }
}

/// `strategy.matrix`: a mapping or an expression that gives one.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// Its value.
    pub value: Dynamic,
    /// Where it stands.
    pub position: Position,
}

/// One entry of `services`.
#[derive(Debug, Clone)]
pub struct Service {
    /// Its key.
    pub name: String,
    /// Its container.
    pub container: Container,
    /// `command`
    pub command: Option<Templated>,
    /// `entrypoint`
    pub entrypoint: Option<Templated>,
}

/// `environment`.
#[derive(Debug, Clone)]
pub struct DeploymentTarget {
    /// Its name.
    pub name: Templated,
    /// `url`: evaluated at the job's end.
    pub url: Option<Text>,
    /// `deployment`: whether the forge is told of a deployment; without it: yes.
    pub deployment: Option<Templated>,
}

/// `container`, of a job or a service.
#[derive(Debug, Clone)]
pub enum Container {
    /// Text: the image, or an expression that gives an image or a mapping.
    Short(Templated),
    /// A mapping.
    Full(FullContainer),
}

/// `container` as a mapping.
#[derive(Debug, Clone)]
pub struct FullContainer {
    /// `image`
    pub image: Templated,
    /// `options`
    pub options: Option<Templated>,
    /// `ports`
    pub ports: Vec<Templated>,
    /// `volumes`
    pub volumes: Vec<Templated>,
    /// `env`
    pub env: Vec<Entry>,
    /// `credentials`
    pub credentials: Option<(Text, Text)>,
}
