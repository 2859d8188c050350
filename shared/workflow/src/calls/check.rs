//! Whether all calls of a run are right, as far as that is known before it begins.
//!
//! Findings are at the caller's lines, and mean what GitHub's `@actions/workflow-parser` and server say.

use std::borrow::Cow;
use std::collections::BTreeSet;

use crate::diagnostics::{Diagnostic, MAX_DIAGNOSTICS, Position, Severity};
use crate::syntax::{Call, CallSecrets, Callable, DynamicKind, InputType, Job, Workflow, nearest};
use crate::value::{Value, eq_ignore_case};

use super::{CALLED_MAX, CALLS_MAX, FileName, Files, LEVELS_MAX, Rights};

/// All findings about the calls of the file `main`, and of those that it calls. `missing` says of a file that is not among
/// these whether there is none: else it is only not known here.
#[must_use]
pub fn check(main: &FileName, files: &Files, missing: &dyn Fn(&FileName) -> bool) -> Vec<Diagnostic> {
    let mut walk =
        Walk { files, missing, stack: Vec::new(), called: BTreeSet::new(), calls: 0, found: Vec::new() };
    if let Some(workflow) = files.get(&main.to_string()) {
        walk.file(main, workflow, None);
    }
    walk.found
}

struct Walk<'f> {
    files: &'f Files,
    missing: &'f dyn Fn(&FileName) -> bool,
    /// The files that call each other down to here.
    stack: Vec<FileName>,
    called: BTreeSet<String>,
    calls: usize,
    found: Vec<Diagnostic>,
}

impl Walk<'_> {
    /// Looks at the calls of a file, whose own caller has these rights.
    fn file(&mut self, name: &FileName, workflow: &Workflow, rights: Option<&Rights>) {
        self.stack.push(name.clone());
        for job in &workflow.jobs {
            if let Some(call) = &job.call {
                self.call(name, workflow, job, call, rights);
            }
        }
        self.stack.pop();
    }

    fn call(&mut self, from: &FileName, caller: &Workflow, job: &Job, call: &Call, rights: Option<&Rights>) {
        // A name that is none was told when the file was read.
        let Ok(name) = from.called(&call.uses.text) else { return };
        self.calls += 1;
        if self.calls > CALLS_MAX {
            if self.calls == CALLS_MAX + 1 {
                let message = format!("a run's workflows call each other at most {CALLS_MAX} times in all");
                self.refuse(caller, call.position(), "limit", message, None);
            }
            return;
        }
        if let Some(at) = self.stack.iter().position(|above| *above == name) {
            let cycle = self.stack.iter().skip(at).chain([&name]);
            let shown: Vec<String> = cycle.map(ToString::to_string).collect();
            let message = format!("these workflows call each other: {}", shown.join(" -> "));
            self.refuse(caller, call.position(), "call-cycle", message, None);
            return;
        }
        if self.stack.len() >= LEVELS_MAX {
            let message = format!("workflows call each other more than {LEVELS_MAX} deep");
            self.refuse(caller, call.position(), "limit", message, None);
            return;
        }
        if self.called.insert(name.to_string()) && self.called.len() == CALLED_MAX + 1 {
            let message = format!("a run calls at most {CALLED_MAX} workflows");
            self.refuse(caller, call.position(), "limit", message, None);
            return;
        }
        let files = self.files;
        let Some(callee) = files.get(&name.to_string()) else {
            if (self.missing)(&name) {
                let message = format!("there is no workflow `{name}`");
                self.refuse(caller, call.position(), "called-workflow", message, None);
            }
            return;
        };
        let Some(callable) = callee.callable() else {
            let message = format!("`{name}` is not reusable: its `on` has no `workflow_call`");
            self.refuse(caller, call.position(), "called-workflow", message, None);
            return;
        };
        self.inputs(caller, call, callable);
        self.secrets(caller, call, callable);
        let own = Rights::asked(caller, job);
        let given = match (&own, rights) {
            (Some(own), Some(above)) => Some(own.lowered(above)),
            (own, above) => own.clone().or_else(|| above.cloned()),
        };
        if let Some(given) = &given {
            self.permissions(caller, call, callee, given);
        }
        self.file(&name, callee, given.as_ref());
    }

    fn inputs(&mut self, caller: &Workflow, call: &Call, callable: &Callable) {
        for input in &callable.inputs {
            let given = call.with.iter().any(|argument| eq_ignore_case(&argument.name, &input.name));
            if input.required && !given {
                let message = format!("the input `{}` is required, but not given by this call", input.name);
                let hint = format!("add `{}` to `with`", input.name);
                self.refuse(caller, call.position(), "call-input", message, Some(hint));
            }
        }
        for argument in &call.with {
            let at = argument.value.position;
            let known = callable.inputs.iter().find(|input| eq_ignore_case(&input.name, &argument.name));
            let Some(input) = known else {
                let names = callable.inputs.iter().map(|input| input.name.as_str());
                let message = format!("the called workflow has no input `{}`", argument.name);
                let hint = hint(&argument.name, names);
                self.refuse(caller, at, "call-input", message, Some(hint));
                continue;
            };
            let wanted = match (&argument.value.kind, &input.kind) {
                (DynamicKind::Literal(Value::Bool(_)), InputType::Boolean)
                | (DynamicKind::Literal(Value::Number(_)), InputType::Number)
                | (DynamicKind::Template(_), _)
                | (_, InputType::String) => continue,
                (_, InputType::Boolean) => "true or false",
                _ => "a number",
            };
            let message = format!("the input `{}` of the called workflow must be {wanted}", input.name);
            self.refuse(caller, at, "call-input", message, None);
        }
    }

    fn secrets(&mut self, caller: &Workflow, call: &Call, callable: &Callable) {
        let CallSecrets::Map(given) = &call.secrets else { return };
        for secret in callable.secrets.iter().filter(|secret| secret.required) {
            if !given.iter().any(|entry| eq_ignore_case(&entry.key, &secret.name)) {
                let message = format!("the secret `{}` is required, but not given by this call", secret.name);
                let hint = format!("add `{}` to `secrets`, or write `secrets: inherit`", secret.name);
                self.refuse(caller, call.position(), "call-secret", message, Some(hint));
            }
        }
        for entry in given {
            if !callable.secrets.iter().any(|secret| eq_ignore_case(&secret.name, &entry.key)) {
                let at = Position { line: entry.value.line, column: entry.value.column };
                let message = format!("the called workflow has no secret `{}`", entry.key);
                let hint = hint(&entry.key, callable.secrets.iter().map(|secret| secret.name.as_str()));
                self.refuse(caller, at, "call-secret", message, Some(hint));
            }
        }
    }

    fn permissions(&mut self, caller: &Workflow, call: &Call, callee: &Workflow, given: &Rights) {
        for job in &callee.jobs {
            let Some(asked) = Rights::asked(callee, job) else { continue };
            if let Some((scope, asked, allowed)) = asked.excess(given) {
                let message = format!(
                    "the job `{}` of `{}` asks for `{scope}: {asked}`, but this call allows `{scope}: {allowed}`",
                    job.id, call.uses.text
                );
                let hint = format!("give the calling job `permissions` with `{scope}: {asked}`");
                self.refuse(caller, call.position(), "call-permissions", message, Some(hint));
            }
        }
    }

    fn refuse(
        &mut self,
        caller: &Workflow,
        at: Position,
        code: &'static str,
        message: String,
        hint: Option<String>,
    ) {
        let found = Diagnostic {
            file: caller.file.clone(),
            line: at.line,
            column: at.column,
            severity: Severity::Error,
            code: Cow::Borrowed(code),
            message,
            hint,
        };
        // A file that is called twice is looked at twice.
        if self.found.len() < MAX_DIAGNOSTICS && !self.found.contains(&found) {
            self.found.push(found);
        }
    }
}

fn hint<'n>(name: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    match nearest(name, known.clone()) {
        Some(near) => format!("did you mean `{near}`?"),
        None => {
            let known: Vec<&str> = known.collect();
            if known.is_empty() { "it has none".to_owned() } else { format!("it has {}", known.join(", ")) }
        }
    }
}
