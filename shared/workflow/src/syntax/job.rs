//! `jobs.<id>`.

use crate::diagnostics::Position;
use crate::expression::availability::{JOB, JOB_DEFAULTS, JOB_ENV, JOB_IF, JOB_RUNNER};
use crate::expression::{Availability, Condition};
use crate::job_spec::RunDefaults;
use crate::value::Value;
use crate::yaml::{Key, Node, NodeKind};

use super::dynamic::{Dynamic, DynamicKind};
use super::model::{Job, Need, RunsOn};
use super::reader::{Keys, Reader};
use super::step::StepsOf;

const JOB_KEYS: Keys = Keys {
    of: "a job",
    known: &[
        "name",
        "runs-on",
        "needs",
        "if",
        "env",
        "outputs",
        "steps",
        "strategy",
        "timeout-minutes",
        "continue-on-error",
        "container",
        "services",
        "environment",
        "cancel-timeout-minutes",
        "defaults",
        "permissions",
    ],
    unsupported: &["concurrency", "snapshot", "uses", "with", "secrets"],
};
const DEFAULTS: Keys = Keys { of: "`defaults`", known: &["run"], unsupported: &[] };
const DEFAULTS_RUN: Keys =
    Keys { of: "`defaults.run`", known: &["shell", "working-directory"], unsupported: &[] };
const RUNS_ON: Keys = Keys { of: "`runs-on`", known: &["labels"], unsupported: &["group"] };

impl Reader<'_, '_> {
    /// One job. `None` when it can't be read at all; that is recorded, as everything is that it lacks.
    pub(super) fn job(&mut self, id: &Key, node: &Node) -> Option<Job> {
        let entries = self.mapping(node, &id.text)?;
        let empty = Dynamic { position: id.position, kind: DynamicKind::Literal(Value::Null) };
        let mut job = Job {
            id: id.text.to_string(),
            position: id.position,
            name: None,
            needs: Vec::new(),
            condition: Condition::default(),
            condition_position: id.position,
            runs_on: RunsOn { labels: empty, position: id.position },
            strategy: None,
            timeout_minutes: None,
            continue_on_error: None,
            container: None,
            services: Vec::new(),
            environment: None,
            cancel_timeout_minutes: None,
            permissions: None,
            env: Vec::new(),
            defaults: RunDefaults::default(),
            outputs: Vec::new(),
            steps: Vec::new(),
        };
        let (mut runs_on, mut steps, mut reusable) = (None, false, false);
        for (key, value) in entries {
            match &*key.text {
                "name" => job.name = self.templated(value, "name", &JOB),
                "runs-on" => runs_on = Some(self.runs_on(key, value)),
                "needs" => job.needs = self.needs(value),
                "if" => {
                    job.condition_position = value.position;
                    job.condition = self.job_condition(value).unwrap_or_default();
                }
                "env" => job.env = self.entries(value, "env", &JOB_ENV),
                "outputs" => job.outputs = self.entries(value, "outputs", &JOB_RUNNER),
                "steps" => {
                    steps = true;
                    job.steps = self.steps(value, StepsOf::Job);
                }
                "strategy" => job.strategy = self.strategy(value),
                "timeout-minutes" => job.timeout_minutes = self.number(value, "timeout-minutes", &JOB),
                "continue-on-error" => job.continue_on_error = self.boolean(value, "continue-on-error", &JOB),
                "container" => job.container = self.container(value),
                "services" => job.services = self.services(value),
                "environment" => job.environment = self.environment(value),
                "cancel-timeout-minutes" => {
                    job.cancel_timeout_minutes = self.number(value, "cancel-timeout-minutes", &JOB);
                }
                "defaults" => job.defaults = self.defaults(value, &JOB_DEFAULTS),
                "permissions" => job.permissions = self.permissions(value),
                "uses" => {
                    reusable = true;
                    self.unsupported(key.position, "a job that `uses` a reusable workflow");
                }
                "with" | "secrets" if reusable => {}
                _ => self.unknown_key(key, &JOB_KEYS),
            }
        }
        if reusable {
            return None;
        }
        if runs_on.is_none() {
            self.report.error(id.position, "missing-key", format!("the job `{}` needs `runs-on`", id.text));
        }
        if !steps {
            self.report.error(id.position, "missing-key", format!("the job `{}` needs `steps`", id.text));
        }
        // Without labels the file has an error, so nobody sees this job but the check of `needs`.
        if let Some(Some(runs_on)) = runs_on {
            job.runs_on = runs_on;
        }
        Some(job)
    }

    fn needs(&mut self, node: &Node) -> Vec<Need> {
        self.strings(node, "needs")
            .into_iter()
            .map(|(id, position)| Need { id: id.to_string(), position })
            .collect()
    }

    fn job_condition(&mut self, node: &Node) -> Option<Condition> {
        let text = self.scalar(node, "if")?;
        match Condition::parse(&text, &JOB_IF) {
            Ok(condition) => {
                self.warn_about_condition(&condition, node.position);
                Some(condition)
            }
            Err(error) => {
                self.expression_error(node.position, &text, &error);
                None
            }
        }
    }

    /// Text around `${{ }}` in an `if` is never empty, so always true.
    pub(super) fn warn_about_condition(&mut self, condition: &Condition, at: Position) {
        if condition.is_mixed_text() {
            self.report.warning(
                at,
                "if-always-true",
                "this `if` is always true: text around `${{ }}` makes it a string",
                "put the whole condition inside one `${{ }}`, or drop the braces",
            );
        }
    }

    fn runs_on(&mut self, key: &Key, node: &Node) -> Option<RunsOn> {
        let position = node.position;
        if let NodeKind::Mapping(entries) = &node.kind {
            let mut labels = None;
            for (key, value) in entries.iter() {
                match &*key.text {
                    "labels" => labels = self.labels(value),
                    "group" => self.unsupported(key.position, "`runs-on.group`"),
                    _ => self.unknown_key(key, &RUNS_ON),
                }
            }
            if labels.is_none() {
                self.report.error(key.position, "missing-key", "`runs-on` needs `labels`");
            }
            return Some(RunsOn { labels: labels?, position });
        }
        Some(RunsOn { labels: self.labels(node)?, position })
    }

    fn labels(&mut self, node: &Node) -> Option<Dynamic> {
        let labels = self.dynamic(node, &JOB)?;
        if let Some(value) = labels.literal()
            && let Err(problem) = crate::plan::labels_of(&value)
        {
            self.report.error(node.position, "wrong-value", problem);
            return None;
        }
        Some(labels)
    }

    /// `defaults`, of a workflow or a job.
    pub(super) fn defaults(&mut self, node: &Node, availability: &Availability<'_>) -> RunDefaults {
        let mut defaults = RunDefaults::default();
        for (key, value) in self.mapping(node, "defaults").unwrap_or_default() {
            if &*key.text != "run" {
                self.unknown_key(key, &DEFAULTS);
                continue;
            }
            for (key, value) in self.mapping(value, "defaults.run").unwrap_or_default() {
                let slot = match &*key.text {
                    "shell" => &mut defaults.shell,
                    "working-directory" => &mut defaults.working_directory,
                    _ => {
                        self.unknown_key(key, &DEFAULTS_RUN);
                        continue;
                    }
                };
                if self.non_empty(value, &key.text).is_some() {
                    *slot = self.text(value, &key.text, availability);
                }
            }
        }
        defaults
    }
}
