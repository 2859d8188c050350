//! `on`.
//!
//! Lenient as GitHub's server is: an event's unknown configuration is an error only where it would silently change
//! what runs (`push`, `pull_request`, `workflow_dispatch`, …), else a warning.

use crate::diagnostics::Position;
use crate::expression::availability::NOTHING;
use crate::filter::Patterns;
use crate::schedule::Cron;
use crate::yaml::{Key, Node, NodeKind};

use super::activity::types_of;
use super::model::{Callable, Input, InputType, Schedule, Trigger};
use super::reader::{Keys, Reader};
use super::suggest::nearest;

/// Most inputs of `workflow_dispatch`, as on GitHub.
const MAX_INPUTS: usize = 25;

const EVENTS: &[&str] = &[
    "branch_protection_rule",
    "check_run",
    "check_suite",
    "create",
    "delete",
    "deployment",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "fork",
    "gollum",
    "image_version",
    "issue_comment",
    "issues",
    "label",
    "merge_group",
    "milestone",
    "page_build",
    "project",
    "project_card",
    "project_column",
    "public",
    "pull_request",
    "pull_request_comment",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_target",
    "push",
    "registry_package",
    "release",
    "repository_dispatch",
    "schedule",
    "status",
    "watch",
    "workflow_call",
    "workflow_dispatch",
    "workflow_run",
];

const PUSH: Keys = Keys {
    of: "`push`",
    known: &["branches", "branches-ignore", "tags", "tags-ignore", "paths", "paths-ignore"],
};
const PULL_REQUEST: Keys =
    Keys { of: "`pull_request`", known: &["types", "branches", "branches-ignore", "paths", "paths-ignore"] };
const DISPATCH: Keys = Keys { of: "`workflow_dispatch`", known: &["inputs"] };
const INPUT: Keys =
    Keys { of: "an input", known: &["description", "type", "required", "default", "options"] };

/// A trigger without configuration.
fn bare(event: &str, position: Position) -> Trigger {
    Trigger {
        event: event.to_owned(),
        position,
        branches: None,
        branches_ignore: None,
        tags: None,
        tags_ignore: None,
        paths: None,
        paths_ignore: None,
        types: None,
        workflows: None,
        inputs: Vec::new(),
        callable: (event == "workflow_call").then(Callable::default),
        schedules: Vec::new(),
    }
}

/// Keys an event may have, and whether others are errors.
fn keys_of(event: &str) -> Option<&'static Keys> {
    match event {
        "push" => Some(&PUSH),
        "pull_request" | "pull_request_target" => Some(&PULL_REQUEST),
        "workflow_dispatch" => Some(&DISPATCH),
        _ => None,
    }
}

impl Reader<'_, '_> {
    pub(super) fn triggers(&mut self, node: &Node) -> Vec<Trigger> {
        let triggers: Vec<Trigger> = match &node.kind {
            NodeKind::Mapping(entries) => {
                entries.iter().map(|(key, value)| self.trigger(key, value)).collect()
            }
            NodeKind::Sequence(items) => items
                .iter()
                .filter_map(|item| Some(bare(&self.non_empty(item, "on")?, item.position)))
                .collect(),
            _ => self.non_empty(node, "on").map(|event| bare(&event, node.position)).into_iter().collect(),
        };
        if triggers.is_empty() && !node.is_null() && node.scalar_text().is_none() {
            self.report.error(node.position, "missing-value", "`on` must name at least one event");
        }
        for trigger in &triggers {
            self.check_event(trigger);
        }
        triggers
    }

    fn check_event(&mut self, trigger: &Trigger) {
        let event = trigger.event.as_str();
        if EVENTS.contains(&event) {
            return;
        }
        let hint = match nearest(event, EVENTS.iter().copied()) {
            Some(known) => format!("did you mean `{known}`?"),
            None => "it never starts this workflow".to_owned(),
        };
        self.report.warning(trigger.position, "unknown-event", format!("there is no event `{event}`"), hint);
    }

    fn trigger(&mut self, key: &Key, node: &Node) -> Trigger {
        let mut trigger = bare(&key.text, key.position);
        if &*key.text == "schedule" {
            trigger.schedules = self.schedules(node);
            return trigger;
        }
        if node.is_null() {
            return trigger;
        }
        if &*key.text == "workflow_call" {
            trigger.callable = Some(self.callable(node));
            return trigger;
        }
        let strict = keys_of(&key.text);
        if strict.is_none() && !matches!(node.kind, NodeKind::Mapping(_)) {
            return trigger;
        }
        for (name, value) in self.mapping(node, &key.text).unwrap_or_default() {
            if let Some(keys) = strict
                && !keys.known.contains(&&*name.text)
            {
                self.unknown_key(name, keys);
                continue;
            }
            match &*name.text {
                "branches" => trigger.branches = self.patterns(value, &name.text),
                "branches-ignore" => trigger.branches_ignore = self.patterns(value, &name.text),
                "tags" => trigger.tags = self.patterns(value, &name.text),
                "tags-ignore" => trigger.tags_ignore = self.patterns(value, &name.text),
                "paths" => trigger.paths = self.patterns(value, &name.text),
                "paths-ignore" => trigger.paths_ignore = self.patterns(value, &name.text),
                "workflows" => trigger.workflows = self.patterns(value, &name.text),
                "types" => {
                    trigger.types = Some(self.activity_types(value, &key.text));
                }
                "inputs" if trigger.event == "workflow_dispatch" => trigger.inputs = self.inputs(value),
                _ if strict.is_some() => {}
                other => self.report.warning(
                    name.position,
                    "unknown-key",
                    format!("`{}` has no setting `{other}`", key.text),
                    "it is ignored",
                ),
            }
        }
        self.check_filters(&trigger);
        trigger
    }

    fn activity_types(&mut self, node: &Node, event: &str) -> Vec<String> {
        let written = self.strings(node, "types");
        if let Some(known) = types_of(event) {
            for (name, position) in written.iter().filter(|(name, _)| !known.contains(&&**name)) {
                let hint = match nearest(name, known.iter().copied()) {
                    Some(known) => format!("did you mean `{known}`?"),
                    None => format!("it has {}", known.join(", ")),
                };
                let message = format!("`{event}` has no activity type `{name}`");
                self.report.error_hint(*position, "activity-type", message, hint);
            }
        }
        written.into_iter().map(|(name, _)| name.to_string()).collect()
    }

    /// A filter and its `-ignore` twin exclude each other.
    fn check_filters(&mut self, trigger: &Trigger) {
        for (name, plain, ignore) in [
            ("branches", &trigger.branches, &trigger.branches_ignore),
            ("tags", &trigger.tags, &trigger.tags_ignore),
            ("paths", &trigger.paths, &trigger.paths_ignore),
        ] {
            if plain.is_some() && ignore.is_some() {
                self.report.error_hint(
                    trigger.position,
                    "conflicting-keys",
                    format!("`{}` can't have both `{name}` and `{name}-ignore`", trigger.event),
                    format!("use `{name}` with `!` patterns"),
                );
            }
        }
    }

    fn patterns(&mut self, node: &Node, what: &str) -> Option<Patterns> {
        let mut patterns = Patterns::default();
        for (text, position) in self.strings(node, what) {
            if let Err(problem) = patterns.add(&text) {
                self.report.error(position, "filter", format!("the pattern `{text}` in `{what}` {problem}"));
            }
        }
        Some(patterns)
    }

    fn schedules(&mut self, node: &Node) -> Vec<Schedule> {
        let Some(items) = self.sequence(node, "schedule") else {
            return Vec::new();
        };
        let mut schedules = Vec::with_capacity(items.len());
        for item in items {
            let (mut cron, mut timezone) = (None, None);
            for (key, value) in self.mapping(item, "schedule").unwrap_or_default() {
                match &*key.text {
                    "cron" => cron = self.cron(value),
                    "timezone" => {
                        timezone = self.non_empty(value, "timezone").map(|text| text.to_string());
                    }
                    other => {
                        let message = format!("unknown key `{other}` in `schedule`");
                        self.report.error_hint(
                            key.position,
                            "unknown-key",
                            message,
                            "known keys: cron, timezone",
                        );
                    }
                }
            }
            schedules.extend(cron.map(|cron| Schedule { cron, timezone, position: item.position }));
        }
        schedules
    }

    fn cron(&mut self, node: &Node) -> Option<String> {
        let text = self.non_empty(node, "cron")?.to_string();
        if let Err(problem) = Cron::parse(&text) {
            let message = format!("the schedule `{text}` {problem}");
            self.report.error(node.position, "schedule", message);
            return None;
        }
        Some(text)
    }

    fn inputs(&mut self, node: &Node) -> Vec<Input> {
        if node.is_null() {
            return Vec::new();
        }
        let Some(entries) = self.mapping(node, "inputs") else {
            return Vec::new();
        };
        if entries.len() > MAX_INPUTS {
            let message =
                format!("`workflow_dispatch` takes at most {MAX_INPUTS} inputs, not {}", entries.len());
            self.report.error(node.position, "limit", message);
        }
        entries.iter().filter_map(|(key, value)| self.input(key, value)).collect()
    }

    fn input(&mut self, name: &Key, node: &Node) -> Option<Input> {
        let mut input = Input {
            name: name.text.to_string(),
            description: None,
            required: false,
            default: None,
            kind: InputType::String,
        };
        if node.is_null() {
            return Some(input);
        }
        let mut kind = None;
        let mut options = None;
        for (key, value) in self.mapping(node, &name.text)? {
            match &*key.text {
                "description" => {
                    input.description = self.text(value, "description", &NOTHING).map(|text| text.text);
                }
                "type" => kind = Some((self.scalar(value, "type")?, value.position)),
                "required" => match value.kind {
                    NodeKind::Bool(required) => input.required = required,
                    _ => self.wrong_type(value, "required", "true or false"),
                },
                "default" => input.default = self.scalar(value, "default").map(|text| text.to_string()),
                "options" => {
                    let list = self.strings(value, "options");
                    options = Some(list.into_iter().map(|(text, _)| text.to_string()).collect::<Vec<_>>());
                }
                _ => self.unknown_key(key, &INPUT),
            }
        }
        input.kind = match kind.as_ref().map(|(text, _)| &**text) {
            None | Some("string") => InputType::String,
            Some("boolean") => InputType::Boolean,
            Some("number") => InputType::Number,
            Some("environment") => InputType::Environment,
            Some("choice") => InputType::Choice(options.unwrap_or_default()),
            Some(other) => {
                let position = kind.as_ref().map_or(name.position, |(_, position)| *position);
                self.report.error_hint(
                    position,
                    "wrong-value",
                    format!("there is no input type `{other}`"),
                    "string, boolean, number, choice and environment are",
                );
                return None;
            }
        };
        if input.kind == InputType::Choice(Vec::new()) {
            self.report.error(
                name.position,
                "missing-key",
                format!("the choice `{}` needs `options`", name.text),
            );
        }
        Some(input)
    }
}
