//! `jobs.<id>.steps`.

use std::collections::BTreeMap;

use crate::action::ActionReference;
use crate::expression::availability::{
    COMPOSITE_CONDITION, COMPOSITE_STEP, NOTHING, STEP_CONDITION, STEP_KEY,
};
use crate::expression::{Availability, Condition};
use crate::job_spec::{Entry, StepAction, StepSpec, Text};
use crate::yaml::{Key, Node};

use super::background::{self, BESIDES, CONTROLS, Control};
use super::identifier::{StepIds, problem};
use super::reader::{Keys, Reader, place};

const STEP: Keys = Keys {
    of: "a step",
    known: &[
        "name",
        "id",
        "if",
        "run",
        "uses",
        "with",
        "shell",
        "env",
        "working-directory",
        "continue-on-error",
        "timeout-minutes",
        "background",
        "wait",
        "wait-all",
        "cancel",
        "parallel",
    ],
};

const CONTROL_STEP: Keys = Keys {
    of: "a step that waits or cancels",
    known: &["name", "id", "continue-on-error", "wait", "wait-all", "cancel"],
};

/// What is shown for a step without `name` (GitHub's runner, `ActionRunner.GenerateDisplayName`).
///
/// `script` is the script's text with its expressions evaluated; `None` for `actions/checkout`, whose `uses` is given.
pub fn default_step_name(script: Option<&str>, uses: &str) -> String {
    match script {
        Some(script) => {
            let first = script.trim_start_matches([' ', '\t', '\r', '\n']).lines().next().unwrap_or_default();
            format!("Run {}", first.trim_end())
        }
        None => format!("Run {uses}"),
    }
}

/// The parts of a step before it is known what it does.
#[derive(Default)]
pub(super) struct Draft {
    id: Option<(String, Key)>,
    name: Option<Text>,
    condition: Option<Text>,
    run: Option<Text>,
    run_key: Option<Key>,
    uses_key: Option<Key>,
    uses: Option<(String, ActionReference)>,
    with: Option<(Vec<Entry>, Key)>,
    shell: Option<(Text, Key)>,
    working_directory: Option<(Text, Key)>,
    env: Vec<Entry>,
    continue_on_error: Option<Text>,
    timeout_minutes: Option<Text>,
    pub(super) background: Option<(bool, Key)>,
    pub(super) control: Option<(Control, Key)>,
}

/// Whose steps they are.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum StepsOf {
    /// A job's.
    Job,
    /// A composite action's: they name their shell, and see neither secrets nor `needs`.
    Composite,
}

impl StepsOf {
    fn key(self) -> &'static Availability<'static> {
        match self {
            Self::Job => &STEP_KEY,
            Self::Composite => &COMPOSITE_STEP,
        }
    }

    fn condition(self) -> &'static Availability<'static> {
        match self {
            Self::Job => &STEP_CONDITION,
            Self::Composite => &COMPOSITE_CONDITION,
        }
    }
}

impl Reader<'_, '_> {
    /// All steps of a job or composite action, with ids made for those that have none.
    pub(super) fn steps(&mut self, node: &Node, of: StepsOf) -> Vec<StepSpec> {
        let Some(items) = self.sequence(node, "steps") else {
            return Vec::new();
        };
        if items.is_empty() {
            self.report.error(node.position, "missing-value", "`steps` must hold at least one step");
        }
        let mut drafts: Vec<(u32, Draft)> = Vec::with_capacity(items.len());
        for item in items {
            match background::group(item) {
                Some(list) => drafts.extend(self.parallel(item, list, of, drafts.len())),
                None => drafts.extend(self.step(item, of).map(|draft| (item.position.line, draft))),
            }
        }
        self.check_background(&drafts, node.position);
        let mut ids = StepIds::default();
        for (_, draft) in &drafts {
            if let Some((id, key)) = &draft.id
                && !ids.take(id)
            {
                self.report.error(
                    key.position,
                    "duplicate-id",
                    format!("the step id `{id}` is used twice in this job"),
                );
            }
        }
        let written = drafts.iter().enumerate().rev();
        let places =
            written.filter_map(|(at, (_, draft))| Some((draft.id.as_ref()?.0.clone(), at))).collect();
        let background: Vec<bool> =
            drafts.iter().map(|(_, draft)| matches!(draft.background, Some((true, _)))).collect();
        for (at, (_, draft)) in drafts.iter().enumerate() {
            if let Some((control, _)) = &draft.control {
                self.check_targets(control, at, &places, |place| background.get(place) == Some(&true));
            }
        }
        drafts.into_iter().filter_map(|(line, draft)| finish(draft, line, &mut ids, &places)).collect()
    }

    pub(super) fn step(&mut self, node: &Node, of: StepsOf) -> Option<Draft> {
        let entries = self.mapping(node, "a step")?;
        let here = of.key();
        let mut draft = Draft::default();
        let control = entries.iter().any(|(key, _)| CONTROLS.contains(&&*key.text));
        for (key, value) in entries {
            match &*key.text {
                // What is no work of its own has none of its keys, and always runs.
                name if control && !CONTROLS.contains(&name) && !BESIDES.contains(&name) => {
                    self.unknown_key(key, &CONTROL_STEP);
                }
                "wait" | "wait-all" | "cancel" => match &draft.control {
                    Some((_, first)) => {
                        let message =
                            format!("a step has either `{}` or `{}`, not both", first.text, key.text);
                        self.report.error(key.position, "conflicting-keys", message);
                    }
                    None => draft.control = self.control(key, value, of),
                },
                "background" => draft.background = self.background(key, value, of),
                "name" => draft.name = self.text(value, "name", here),
                "id" => draft.id = self.step_id(key, value),
                "if" => draft.condition = self.step_condition(value, of.condition()),
                "run" => {
                    draft.run_key = Some(key.clone());
                    draft.run = self.text(value, "run", here);
                }
                "uses" => {
                    draft.uses_key = Some(key.clone());
                    draft.uses = self.action_reference(value);
                }
                "with" => draft.with = Some((self.entries(value, "with", here), key.clone())),
                "shell" => {
                    // In a job GitHub allows no expression here, only in `defaults.run.shell`.
                    if self.non_empty(value, "shell").is_some() {
                        let here = if of == StepsOf::Job { &NOTHING } else { here };
                        draft.shell = self.text(value, "shell", here).map(|text| (text, key.clone()));
                    }
                }
                "working-directory" => {
                    let text = self.text(value, "working-directory", here);
                    draft.working_directory = text.map(|text| (text, key.clone()));
                }
                "env" => draft.env = self.entries(value, "env", here),
                "continue-on-error" => {
                    draft.continue_on_error =
                        self.boolean(value, "continue-on-error", here).map(|templated| templated.text);
                }
                "timeout-minutes" => {
                    draft.timeout_minutes =
                        self.number(value, "timeout-minutes", here).map(|templated| templated.text);
                }
                _ => self.unknown_key(key, &STEP),
            }
        }
        if !control {
            self.check_step(node, &draft, of);
        }
        Some(draft)
    }

    fn step_id(&mut self, key: &Key, value: &Node) -> Option<(String, Key)> {
        let id = self.text(value, "id", &NOTHING)?.text;
        if let Some(problem) = problem(&id) {
            self.report.error(value.position, "invalid-id", problem);
            return None;
        }
        Some((id, Key { position: value.position, ..key.clone() }))
    }

    fn step_condition(&mut self, value: &Node, here: &Availability<'_>) -> Option<Text> {
        let text = self.scalar(value, "if")?;
        match Condition::parse(&text, here) {
            Ok(condition) => {
                self.warn_about_condition(&condition, value.position);
                Some(place(&text, value.position))
            }
            Err(error) => {
                self.expression_error(value.position, &text, &error);
                None
            }
        }
    }

    fn check_step(&mut self, node: &Node, draft: &Draft, of: StepsOf) {
        match (&draft.run_key, &draft.uses_key) {
            (Some(run), Some(uses)) => {
                let later = run.position.max(uses.position);
                self.report.error(later, "conflicting-keys", "a step has either `run` or `uses`, not both");
            }
            (None, None) => {
                self.report.error(node.position, "missing-key", "a step needs `run` or `uses`");
            }
            (Some(_), None) => {
                if let Some((_, key)) = &draft.with {
                    self.report.error(
                        key.position,
                        "conflicting-keys",
                        "`with` belongs to `uses`, not to `run`",
                    );
                }
            }
            (None, Some(_)) => {
                for (what, key) in [("shell", &draft.shell), ("working-directory", &draft.working_directory)]
                {
                    if let Some((_, key)) = key {
                        self.report.error(
                            key.position,
                            "conflicting-keys",
                            format!("`{what}` belongs to `run`, not to `uses`"),
                        );
                    }
                }
            }
        }
        if of == StepsOf::Composite
            && draft.shell.is_none()
            && let Some(run) = &draft.run_key
        {
            let message = "a `run` step of an action needs `shell`";
            self.report.error_hint(run.position, "missing-key", message, "add `shell: bash`");
        }
        if let Some((_, action)) = &draft.uses
            && let Some((with, key)) = &draft.with
        {
            self.warn_about_inputs(action, with, key.position);
        }
    }
}

fn finish(draft: Draft, line: u32, ids: &mut StepIds, places: &BTreeMap<String, usize>) -> Option<StepSpec> {
    let id_written = draft.id.is_some();
    let (generated, action) = match (draft.run, draft.uses, draft.control) {
        (None, None, Some((control, _))) => {
            let id = if id_written { String::new() } else { ids.for_control(control.id_stem()) };
            (id, control.action(places))
        }
        (Some(script), None, None) => {
            let id = if id_written { String::new() } else { ids.for_run() };
            let shell = draft.shell.map(|(text, _)| text);
            let working_directory = draft.working_directory.map(|(text, _)| text);
            (id, StepAction::Run { script, shell, working_directory })
        }
        (None, Some((uses, action)), None) => {
            let id = if id_written { String::new() } else { ids.for_action(&uses) };
            let with = draft.with.map(|(with, _)| with).unwrap_or_default();
            (id, StepAction::Uses { uses, action, with })
        }
        _ => return None,
    };
    Some(StepSpec {
        id: draft.id.map_or(generated, |(id, _)| id),
        id_written,
        name: draft.name,
        condition: draft.condition,
        action,
        background: draft.background.is_some_and(|(background, _)| background),
        env: draft.env,
        continue_on_error: draft.continue_on_error,
        timeout_minutes: draft.timeout_minutes,
        line,
    })
}
