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
        "concurrency",
        "snapshot",
    ],
};
const DEFAULTS: Keys = Keys { of: "`defaults`", known: &["run"] };
const DEFAULTS_RUN: Keys = Keys { of: "`defaults.run`", known: &["shell", "working-directory"] };
const RUNS_ON: Keys = Keys { of: "`runs-on`", known: &["labels", "group"] };
const SNAPSHOT: Keys = Keys { of: "`snapshot`", known: &["image-name", "version", "if"] };

impl Job {
    /// A job of which nothing but its id is known.
    pub(super) fn empty(id: &Key) -> Self {
        let empty = Dynamic { position: id.position, kind: DynamicKind::Literal(Value::Null) };
        Self {
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
            services_whole: None,
            environment: None,
            cancel_timeout_minutes: None,
            permissions: None,
            concurrency: None,
            env: Vec::new(),
            defaults: RunDefaults::default(),
            outputs: Vec::new(),
            steps: Vec::new(),
            call: None,
        }
    }
}

impl Reader<'_, '_> {
    /// One job. `None` when it can't be read at all; that is recorded, as everything is that it lacks.
    pub(super) fn job(&mut self, id: &Key, node: &Node) -> Option<Job> {
        let entries = self.mapping(node, &id.text)?;
        if entries.iter().any(|(key, _)| &*key.text == "uses") {
            return self.calling_job(id, entries);
        }
        let mut job = Job::empty(id);
        let (mut runs_on, mut steps) = (None, false);
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
                "services" => match self.whole_services(value) {
                    Some(whole) => job.services_whole = whole,
                    None => job.services = self.services(value),
                },
                "environment" => job.environment = self.environment(value),
                "cancel-timeout-minutes" => {
                    job.cancel_timeout_minutes = self.number(value, "cancel-timeout-minutes", &JOB);
                }
                "defaults" => job.defaults = self.defaults(value, &JOB_DEFAULTS),
                "snapshot" => self.snapshot(key, value),
                "permissions" => job.permissions = self.permissions(value),
                "concurrency" => job.concurrency = self.concurrency(value, &JOB),
                name @ ("with" | "secrets") => {
                    let message = format!("`{name}` belongs to a job that `uses` a reusable workflow");
                    self.report.error(key.position, "unknown-key", message);
                }
                _ => self.unknown_key(key, &JOB_KEYS),
            }
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

    pub(super) fn needs(&mut self, node: &Node) -> Vec<Need> {
        self.strings(node, "needs")
            .into_iter()
            .map(|(id, position)| Need { id: id.to_string(), position })
            .collect()
    }

    pub(super) fn job_condition(&mut self, node: &Node) -> Option<Condition> {
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
            let mut parts = Vec::new();
            for (key, value) in entries.iter() {
                match &*key.text {
                    "labels" => parts.push((key.text.clone(), self.labels(value)?)),
                    "group" => {
                        self.non_empty(value, "runs-on.group")?;
                        parts.push((key.text.clone(), self.dynamic(value, &JOB)?));
                    }
                    _ => self.unknown_key(key, &RUNS_ON),
                }
            }
            if parts.is_empty() {
                self.report.error(key.position, "missing-key", "`runs-on` needs `labels` or `group`");
                return None;
            }
            return Some(RunsOn {
                labels: Dynamic { position, kind: DynamicKind::Mapping(parts) },
                position,
            });
        }
        Some(RunsOn { labels: self.labels(node)?, position })
    }

    /// GitHub keeps an image of its own machine; here images are made by who runs the agents.
    fn snapshot(&mut self, key: &Key, node: &Node) {
        if let NodeKind::Mapping(entries) = &node.kind {
            for (key, value) in entries.iter() {
                match &*key.text {
                    "image-name" | "version" => drop(self.non_empty(value, &key.text)),
                    "if" => drop(self.scalar(value, "if")),
                    _ => self.unknown_key(key, &SNAPSHOT),
                }
            }
        } else {
            self.non_empty(node, "snapshot");
        }
        let hint = "images for jobs are made where agents are set up; the job itself runs";
        self.report.warning(key.position, "ignored-key", "`snapshot` takes no image here", hint);
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
