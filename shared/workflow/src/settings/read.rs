//! The tree of a file as [`Settings`]. Unknown keys are errors: a gate with a wrong letter would be no gate.

use std::sync::Arc;

use super::{
    CommitRules, CoverageGate, FindingsGate, Gates, LicencesGate, MAX_FILE_BYTES, MAX_LICENCES, MAX_PATTERNS,
    Pattern, Settings, Severity,
};
use crate::diagnostics::{Position, Reporter};
use crate::yaml::{self, Node, NodeKind};

/// An entry of a mapping: its key, where that stands, and the value.
type Entry = (Arc<str>, Position, Node);

pub(super) fn settings(reporter: &mut Reporter<'_>) -> Option<Settings> {
    let start = Position { line: 1, column: 1 };
    if reporter.source().len() > MAX_FILE_BYTES {
        reporter.error(start, "wrong-value", format!("the file is longer than {MAX_FILE_BYTES} bytes"));
        return None;
    }
    // To the YAML reader a file without a node is wrong; here it says nothing.
    let says = |line: &str| !line.is_empty() && !line.starts_with('#') && line != "---";
    if !reporter.source().lines().any(|line| says(line.trim())) {
        return Some(Settings::default());
    }
    let root = yaml::parse(reporter)?;
    if root.is_null() {
        return Some(Settings::default());
    }
    let mut settings = Settings::default();
    for (key, at, value) in entries(reporter, &root, "the file", &["reports", "gates", "commits"]) {
        match &*key {
            "reports" => {
                let (what, most) = ("reports", MAX_PATTERNS);
                settings.patterns = Some(texts(reporter, &value, what, most));
            }
            "gates" => settings.gates = gates(reporter, &value),
            _ => settings.commits = commits(reporter, &value, at),
        }
    }
    Some(settings)
}

fn commits(reporter: &mut Reporter<'_>, node: &Node, at: Position) -> Option<CommitRules> {
    let mut rules = CommitRules::default();
    for (key, _, value) in entries(reporter, node, "commits", &["message", "signed", "block"]) {
        match (&*key, &value.kind) {
            ("message", NodeKind::String(text)) => match Pattern::new(text) {
                Ok(pattern) => rules.message = Some(pattern),
                Err(why) => {
                    let message = format!("`commits.message` is no regular expression: {why}");
                    reporter.error(value.position, "wrong-value", message);
                }
            },
            ("signed", NodeKind::Bool(yes)) => rules.signed = *yes,
            ("block", NodeKind::Bool(yes)) => rules.block = *yes,
            ("message", _) => wrong_type(reporter, &value, "commits.message", "text"),
            _ => wrong_type(reporter, &value, &format!("commits.{key}"), "a boolean"),
        }
    }
    if rules.message.is_none() && !rules.signed {
        missing(reporter, at, "commits", "message, signed: true");
        return None;
    }
    Some(rules)
}

fn gates(reporter: &mut Reporter<'_>, node: &Node) -> Gates {
    let mut gates = Gates::default();
    for (key, at, value) in entries(reporter, node, "gates", &["coverage", "findings", "licences"]) {
        match &*key {
            "coverage" => gates.coverage = coverage(reporter, &value, at),
            "findings" => gates.findings = findings(reporter, &value, at),
            _ => gates.licences = licences(reporter, &value, at),
        }
    }
    gates
}

fn coverage(reporter: &mut Reporter<'_>, node: &Node, at: Position) -> Option<CoverageGate> {
    let mut gate = CoverageGate::default();
    for (key, _, value) in entries(reporter, node, "gates.coverage", &["min", "max_drop"]) {
        let what = format!("gates.coverage.{key}");
        let percent = percent(reporter, &value, &what);
        if &*key == "min" { gate.min = percent } else { gate.max_drop = percent }
    }
    if gate == CoverageGate::default() {
        missing(reporter, at, "gates.coverage", "min, max_drop");
        return None;
    }
    Some(gate)
}

fn findings(reporter: &mut Reporter<'_>, node: &Node, at: Position) -> Option<FindingsGate> {
    let (mut fail_on, mut new_only) = (None, false);
    for (key, _, value) in entries(reporter, node, "gates.findings", &["fail_on", "new_only"]) {
        match (&*key, &value.kind) {
            ("fail_on", NodeKind::String(word)) => {
                fail_on = Severity::ALL.into_iter().find(|severity| severity.word() == &**word);
                if fail_on.is_none() {
                    let words = Severity::ALL.map(Severity::word).join(", ");
                    let message = format!("`gates.findings.fail_on` must be one of {words}");
                    reporter.error(value.position, "wrong-value", message);
                    return None;
                }
            }
            ("new_only", NodeKind::Bool(yes)) => new_only = *yes,
            ("fail_on", _) => wrong_type(reporter, &value, "gates.findings.fail_on", "text"),
            _ => wrong_type(reporter, &value, "gates.findings.new_only", "a boolean"),
        }
    }
    if fail_on.is_none() {
        missing(reporter, at, "gates.findings", "fail_on");
    }
    Some(FindingsGate { fail_on: fail_on?, new_only })
}

fn licences(reporter: &mut Reporter<'_>, node: &Node, at: Position) -> Option<LicencesGate> {
    let mut forbid = Vec::new();
    for (_, _, value) in entries(reporter, node, "gates.licences", &["forbid"]) {
        forbid = texts(reporter, &value, "gates.licences.forbid", MAX_LICENCES);
    }
    if forbid.is_empty() {
        missing(reporter, at, "gates.licences", "forbid");
        return None;
    }
    Some(LicencesGate { forbid })
}

/// A mapping's entries; a key that is not known is an error.
fn entries(reporter: &mut Reporter<'_>, node: &Node, what: &str, known: &[&str]) -> Vec<Entry> {
    let NodeKind::Mapping(pairs) = &node.kind else {
        wrong_type(reporter, node, what, "a mapping");
        return Vec::new();
    };
    let mut found = Vec::new();
    for (key, value) in pairs.iter() {
        if known.contains(&&*key.text) {
            found.push((Arc::clone(&key.text), key.position, value.clone()));
        } else {
            let message = format!("unknown key `{}` in {what}", key.text);
            let hint = format!("known keys: {}", known.join(", "));
            reporter.error_hint(key.position, "unknown-key", message, hint);
        }
    }
    found
}

fn texts(reporter: &mut Reporter<'_>, node: &Node, what: &str, most: usize) -> Vec<String> {
    let items: &[Node] = match &node.kind {
        NodeKind::Sequence(items) => items,
        _ => {
            wrong_type(reporter, node, what, "a list");
            return Vec::new();
        }
    };
    if items.len() > most {
        let message = format!("`{what}` has more than {most} entries");
        reporter.error(node.position, "wrong-value", message);
        return Vec::new();
    }
    let mut found = Vec::new();
    for item in items {
        match &item.kind {
            NodeKind::String(text) if !text.trim().is_empty() && !text.contains('\n') => {
                found.push(text.trim().to_owned());
            }
            _ => wrong_type(reporter, item, &format!("an entry of {what}"), "text of one line"),
        }
    }
    found
}

/// Hundredths of a percent.
fn percent(reporter: &mut Reporter<'_>, node: &Node, what: &str) -> Option<u32> {
    match node.kind {
        NodeKind::Number(number) if (0.0..=100.0).contains(&number) => Some((number * 100.0).round() as u32),
        _ => {
            let message = format!("`{what}` must be a percentage, a number from 0 to 100");
            reporter.error(node.position, "wrong-value", message);
            None
        }
    }
}

fn missing(reporter: &mut Reporter<'_>, at: Position, what: &str, keys: &str) {
    // Somebody who wrote something wrong has heard of that.
    if !reporter.has_errors() {
        reporter.error(at, "missing-value", format!("`{what}` says nothing: it needs one of {keys}"));
    }
}

fn wrong_type(reporter: &mut Reporter<'_>, node: &Node, what: &str, wanted: &str) {
    let message = format!("`{what}` must be {wanted}, not {}", node.description());
    reporter.error(node.position, "wrong-type", message);
}
