//! Steps that run beside others: `background`, and `wait`, `wait-all`, `cancel` and `parallel`, which steer them.
//!
//! `parallel` is only another way of writing: its steps run in the background, and a step that waits for them follows.
//! From here on nothing knows of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::diagnostics::Position;
use crate::expression::availability::NOTHING;
use crate::job_spec::{BACKGROUND_DEFAULT_NAMES, StepAction};
use crate::yaml::{Key, Node, NodeKind};

use super::reader::{Keys, Reader};
use super::step::{Draft, StepsOf};

const GROUP: Keys = Keys { of: "a parallel group", known: &["parallel"] };

/// Most steps of the background of one job. GitHub tells no bound; the agent keeps something of each until the job ends.
pub const BACKGROUND_STEPS_MAX: usize = 1_000;

/// The keys that say what a step does to steps of the background; a step has one of these, `run`, `uses` or `parallel`.
pub(super) const CONTROLS: [&str; 3] = ["wait", "wait-all", "cancel"];

/// The keys that such a step may have besides.
pub(super) const BESIDES: [&str; 3] = ["name", "id", "continue-on-error"];

/// What a step does to steps of the background, before their places are known.
#[derive(Debug)]
pub(super) enum Control {
    /// `wait`: the ids, and where they stand.
    Wait(Vec<(String, Position)>),
    /// `wait-all`
    WaitAll,
    /// `cancel`
    Cancel(String, Position),
    /// The end of a `parallel` group: the steps at these places.
    Group(std::ops::Range<usize>),
}

impl Control {
    /// The stem of the id of such a step without one, as GitHub's reader has it.
    pub(super) fn id_stem(&self) -> &'static str {
        match self {
            Self::Wait(_) => "wait",
            Self::WaitAll => "wait-all",
            Self::Cancel(..) => "cancel",
            Self::Group(_) => "parallel",
        }
    }

    fn default_name(&self) -> &'static str {
        match self {
            Self::Wait(_) => BACKGROUND_DEFAULT_NAMES.wait,
            Self::WaitAll => BACKGROUND_DEFAULT_NAMES.wait_all,
            Self::Cancel(..) => BACKGROUND_DEFAULT_NAMES.cancel,
            Self::Group(_) => BACKGROUND_DEFAULT_NAMES.group,
        }
    }

    /// What the step does. `places`: those of the steps with a written id.
    pub(super) fn action(&self, places: &BTreeMap<String, usize>) -> StepAction {
        let place = |id: &String| places.get(id).map(|place| number(*place));
        let default_name = self.default_name().to_owned();
        match self {
            Self::Wait(ids) => StepAction::Wait {
                steps: Some(ids.iter().filter_map(|(id, _)| place(id)).collect()),
                default_name,
            },
            Self::WaitAll => StepAction::Wait { steps: None, default_name },
            Self::Cancel(id, _) => {
                StepAction::Cancel { steps: place(id).into_iter().collect(), default_name }
            }
            Self::Group(group) => {
                StepAction::Wait { steps: Some(group.clone().map(number).collect()), default_name }
            }
        }
    }

    fn targets(&self) -> Vec<(&str, Position)> {
        match self {
            Self::Wait(ids) => ids.iter().map(|(id, at)| (id.as_str(), *at)).collect(),
            Self::Cancel(id, at) => vec![(id, *at)],
            Self::WaitAll | Self::Group(_) => Vec::new(),
        }
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).unwrap_or(u32::MAX)
}

/// The list of a `parallel` group; none: the step is no such group.
pub(super) fn group(node: &Node) -> Option<&Node> {
    match &node.kind {
        NodeKind::Mapping(entries) => {
            entries.iter().find(|(key, _)| &*key.text == "parallel").map(|(_, list)| list)
        }
        _ => None,
    }
}

impl Reader<'_, '_> {
    /// The steps of a group, and the step that waits for them. `first`: the place of the next step.
    pub(super) fn parallel(
        &mut self,
        node: &Node,
        list: &Node,
        of: StepsOf,
        first: usize,
    ) -> Vec<(u32, Draft)> {
        let line = node.position.line;
        if let NodeKind::Mapping(entries) = &node.kind {
            for (key, _) in entries.iter().filter(|(key, _)| &*key.text != "parallel") {
                self.unknown_key(key, &GROUP);
            }
            if of == StepsOf::Composite {
                self.not_in_actions(node.position, "parallel");
            }
        }
        let mut drafts = Vec::new();
        let items = self.sequence(list, "parallel");
        if items.is_some_and(|items| items.is_empty()) {
            let message = "`parallel` must hold at least one step";
            self.report.error(list.position, "missing-value", message);
        }
        for item in items.unwrap_or_default() {
            if group(item).is_some() {
                let message = "a parallel group can't hold another one";
                self.report.error(item.position, "conflicting-keys", message);
                continue;
            }
            let Some(mut draft) = self.step(item, of) else { continue };
            if let Some((_, key)) = &draft.background {
                let message =
                    "`background` can't stand in a parallel group: all of its steps run beside each other";
                self.report.error_hint(key.position, "conflicting-keys", message, "remove it");
            }
            if let Some((control, key)) = &draft.control {
                let message = format!("`{}` can't stand in a parallel group", control.id_stem());
                self.report.error(key.position, "conflicting-keys", message);
            }
            draft.background = Some((true, key_at(item.position)));
            drafts.push((item.position.line, draft));
        }
        let group = Control::Group(first..first + drafts.len());
        let mut end = Draft::default();
        end.control = Some((group, key_at(node.position)));
        drafts.push((line, end));
        drafts
    }

    pub(super) fn background(&mut self, key: &Key, value: &Node, of: StepsOf) -> Option<(bool, Key)> {
        if of == StepsOf::Composite {
            self.not_in_actions(key.position, "background");
            return None;
        }
        match value.kind {
            NodeKind::Bool(background) => Some((background, key.clone())),
            _ => {
                self.wrong_type(value, "background", "true or false");
                // Who waits for it needs no second complaint.
                Some((true, key.clone()))
            }
        }
    }

    pub(super) fn control(&mut self, key: &Key, value: &Node, of: StepsOf) -> Option<(Control, Key)> {
        if of == StepsOf::Composite {
            self.not_in_actions(key.position, &key.text);
            return None;
        }
        let control = match &*key.text {
            "wait-all" => match value.kind {
                NodeKind::Null | NodeKind::Bool(true) => Control::WaitAll,
                _ => {
                    self.wrong_type(value, "wait-all", "nothing or true");
                    return None;
                }
            },
            "cancel" => {
                self.non_empty(value, "cancel")?;
                Control::Cancel(self.text(value, "cancel", &NOTHING)?.text, value.position)
            }
            _ => {
                let items = match &value.kind {
                    NodeKind::Sequence(items) => &**items,
                    _ => std::slice::from_ref(value),
                };
                let mut ids = Vec::with_capacity(items.len());
                for item in items {
                    self.non_empty(item, "wait")?;
                    ids.push((self.text(item, "wait", &NOTHING)?.text, item.position));
                }
                Control::Wait(ids)
            }
        };
        Some((control, key.clone()))
    }

    /// Says of each step that another waits for or cancels whether it is there. `places`: those of the steps with a
    /// written id.
    pub(super) fn check_targets(
        &mut self,
        control: &Control,
        at: usize,
        places: &BTreeMap<String, usize>,
        background: impl Fn(usize) -> bool,
    ) {
        for (id, position) in control.targets() {
            match places.get(id).copied() {
                Some(place) if place == at => {
                    let message = format!("the step `{id}` can't {} itself", control.verb());
                    self.report.error(position, "unknown-step", message);
                }
                Some(place) if place < at && background(place) => {}
                Some(place) if place < at => self.report.warning(
                    position,
                    "unknown-step",
                    format!(
                        "the step `{id}` does not run in the background: there is nothing to {}",
                        control.verb()
                    ),
                    "give it `background: true`",
                ),
                _ => {
                    let earlier = places.iter().filter(|(_, place)| **place < at).map(|(id, _)| id.as_str());
                    let hint = match super::suggest::nearest(id, earlier) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => "name a step above this one by its `id`".to_owned(),
                    };
                    let message = format!("no earlier step of this job has the id `{id}`");
                    self.report.error_hint(position, "unknown-step", message, hint);
                }
            }
        }
    }

    /// Says when a job has more steps of the background than one may have.
    pub(super) fn check_background(&mut self, drafts: &[(u32, Draft)], at: Position) {
        let count = drafts.iter().filter(|(_, draft)| matches!(draft.background, Some((true, _)))).count();
        if count > BACKGROUND_STEPS_MAX {
            let message =
                format!("a job has at most {BACKGROUND_STEPS_MAX} steps of the background, not {count}");
            self.report.error_hint(at, "wrong-value", message, "make several jobs of it");
        }
    }

    /// GitHub's runner knows these keys in jobs only.
    fn not_in_actions(&mut self, at: Position, what: &str) {
        let message = format!("`{what}` belongs to the steps of jobs: the steps of an action run one by one");
        self.report.error(at, "conflicting-keys", message);
    }
}

impl Control {
    fn verb(&self) -> &'static str {
        match self {
            Self::Cancel(..) => "cancel",
            _ => "wait for",
        }
    }
}

fn key_at(position: Position) -> Key {
    Key { text: "parallel".into(), position }
}

/// Which steps run in the background without anybody waiting for them or cancelling them: GitHub waits for those at the
/// end of the job's steps.
pub(crate) fn left_alone(steps: &[crate::job_spec::StepSpec]) -> Vec<u32> {
    let mut alone = BTreeSet::new();
    for (place, step) in steps.iter().enumerate() {
        match &step.action {
            StepAction::Wait { steps: None, .. } => alone.clear(),
            StepAction::Wait { steps: Some(waited), .. } | StepAction::Cancel { steps: waited, .. } => {
                for place in waited {
                    alone.remove(place);
                }
            }
            _ if step.background => {
                alone.insert(number(place));
            }
            _ => {}
        }
    }
    alone.into_iter().collect()
}
