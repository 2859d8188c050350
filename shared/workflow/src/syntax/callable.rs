//! `on.workflow_call`: what a caller gives and gets (GitHub docs, "Workflow syntax", `on.workflow_call`).

use crate::expression::availability::{CALL_DEFAULT, CALL_OUTPUT, NOTHING};
use crate::yaml::{Key, Node, NodeKind};

use super::dynamic::{Dynamic, DynamicKind};
use super::identifier::problem;
use super::model::{CallInput, CallOutput, CallSecret, Callable, InputType};
use super::reader::{Keys, Reader};
use crate::value::Value;

const CALL: Keys = Keys { of: "`workflow_call`", known: &["inputs", "outputs", "secrets"] };
const INPUT: Keys =
    Keys { of: "an input of `workflow_call`", known: &["description", "type", "required", "default"] };
const SECRET: Keys = Keys { of: "a secret of `workflow_call`", known: &["description", "required"] };
const OUTPUT: Keys = Keys { of: "an output of `workflow_call`", known: &["description", "value"] };

impl Reader<'_, '_> {
    pub(super) fn callable(&mut self, node: &Node) -> Callable {
        let mut callable = Callable::default();
        for (key, value) in self.mapping(node, "workflow_call").unwrap_or_default() {
            match &*key.text {
                "inputs" => {
                    callable.inputs =
                        self.named(value, "inputs", |reader, key, value| reader.call_input(key, value));
                }
                "secrets" => {
                    callable.secrets =
                        self.named(value, "secrets", |reader, key, value| reader.call_secret(key, value));
                }
                "outputs" => {
                    callable.outputs =
                        self.named(value, "outputs", |reader, key, value| reader.call_output(key, value));
                }
                _ => self.unknown_key(key, &CALL),
            }
        }
        callable
    }

    /// A mapping of names to definitions. Nothing at all is none, as real files have it.
    fn named<T>(
        &mut self,
        node: &Node,
        what: &str,
        mut read: impl FnMut(&mut Self, &Key, &Node) -> Option<T>,
    ) -> Vec<T> {
        if node.is_null() {
            return Vec::new();
        }
        let entries = self.mapping(node, what).unwrap_or_default();
        let mut found = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            if key.text.is_empty() {
                self.report.error(key.position, "missing-value", format!("a name in `{what}` is empty"));
                continue;
            }
            found.extend(read(self, key, value));
        }
        found
    }

    fn flag(&mut self, node: &Node) -> bool {
        if let NodeKind::Bool(required) = node.kind {
            return required;
        }
        self.wrong_type(node, "required", "true or false");
        false
    }

    fn call_input(&mut self, name: &Key, node: &Node) -> Option<CallInput> {
        let (mut required, mut default, mut kind) = (false, None, None);
        for (key, value) in self.mapping(node, &name.text)? {
            match &*key.text {
                "description" => drop(self.text(value, "description", &NOTHING)),
                "required" => required = self.flag(value),
                "default" => default = self.dynamic(value, &CALL_DEFAULT),
                "type" => {
                    kind = Some(match &*self.scalar(value, "type")? {
                        "string" => InputType::String,
                        "boolean" => InputType::Boolean,
                        "number" => InputType::Number,
                        other => {
                            let message = format!("an input of `workflow_call` can't be of type `{other}`");
                            let hint = "string, boolean and number are";
                            self.report.error_hint(value.position, "wrong-value", message, hint);
                            return None;
                        }
                    });
                }
                _ => self.unknown_key(key, &INPUT),
            }
        }
        let Some(kind) = kind else {
            self.report.error_hint(
                name.position,
                "missing-key",
                format!("the input `{}` needs a `type`", name.text),
                "string, boolean and number are",
            );
            return None;
        };
        if let Some(default) = &default {
            self.check_default(&name.text, &kind, default);
        }
        Some(CallInput { name: name.text.to_string(), required, default, kind })
    }

    /// A literal default is of the input's type; what an expression gives is looked at when the call is made.
    fn check_default(&mut self, name: &str, kind: &InputType, default: &Dynamic) {
        let fits = match &default.kind {
            DynamicKind::Literal(Value::Bool(_)) => matches!(kind, InputType::Boolean | InputType::String),
            DynamicKind::Literal(Value::Number(_)) => matches!(kind, InputType::Number | InputType::String),
            DynamicKind::Literal(_) => *kind == InputType::String,
            _ => true,
        };
        if !fits {
            let wanted = match kind {
                InputType::Boolean => "true or false",
                InputType::Number => "a number",
                _ => "text",
            };
            let message = format!("the default of the input `{name}` must be {wanted}");
            self.report.error(default.position, "wrong-type", message);
        }
    }

    fn call_secret(&mut self, name: &Key, node: &Node) -> Option<CallSecret> {
        let mut secret = CallSecret { name: name.text.to_string(), required: false };
        if node.is_null() {
            return Some(secret);
        }
        for (key, value) in self.mapping(node, &name.text)? {
            match &*key.text {
                "description" => drop(self.text(value, "description", &NOTHING)),
                "required" => secret.required = self.flag(value),
                _ => self.unknown_key(key, &SECRET),
            }
        }
        Some(secret)
    }

    fn call_output(&mut self, name: &Key, node: &Node) -> Option<CallOutput> {
        if let Some(problem) = problem(&name.text) {
            self.report.error(name.position, "invalid-id", problem);
        }
        let (mut output, mut there) = (None, false);
        for (key, value) in self.mapping(node, &name.text)? {
            match &*key.text {
                "description" => drop(self.text(value, "description", &NOTHING)),
                "value" => {
                    there = true;
                    output = self.templated(value, "value", &CALL_OUTPUT);
                }
                _ => self.unknown_key(key, &OUTPUT),
            }
        }
        if !there {
            let message = format!("the output `{}` needs a `value`", name.text);
            self.report.error(name.position, "missing-key", message);
        }
        Some(CallOutput { name: name.text.to_string(), value: output? })
    }
}
