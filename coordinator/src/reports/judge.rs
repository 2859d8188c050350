//! What gates make of a run's reports: a pure function.

use serde::{Deserialize, Serialize};
use slipway_workflow::settings::{CoverageGate, FindingsGate, Gates, LicencesGate, Severity};

use super::Compared;
use super::coverage::percent;
use super::gathered::Component;

/// Findings, or components, that a gate's text names.
const NAMED_MAX: usize = 20;

/// The most bytes of a line about one of them.
const LINE_MAX_CHARS: usize = 300;

/// What became of a gate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    /// `coverage`, `findings`, `licences`, or `settings` when the file that has them is not valid.
    pub gate: String,
    /// Whether all is well.
    pub passed: bool,
    /// In one line.
    pub title: String,
    /// What is wrong, one thing a line; plain text.
    pub lines: Vec<String>,
}

impl Judged {
    pub(crate) fn new(gate: &str, passed: bool, title: String, lines: Vec<String>) -> Self {
        Self { gate: gate.to_owned(), passed, title, lines }
    }
}

/// Judges a run that has ended. A gate says nothing of a run without a report of its kind whose base has none either: it is of
/// another workflow. If the base has one, the report is missing, and the gate fails.
#[must_use]
pub fn judge(gates: &Gates, compared: &Compared) -> Vec<Judged> {
    let coverage = gates.coverage.as_ref().and_then(|gate| coverage(gate, compared));
    let findings = gates.findings.as_ref().and_then(|gate| findings(gate, compared));
    let licences = gates.licences.as_ref().and_then(|gate| licences(gate, compared));
    [coverage, findings, licences].into_iter().flatten().collect()
}

/// For a run without a report of a kind.
fn missing(gate: &str, base_has: bool, what: &str) -> Option<Judged> {
    let title = format!("No job wrote a report of {what}; the base branch has one");
    base_has.then(|| Judged::new(gate, false, title, Vec::new()))
}

fn coverage(gate: &CoverageGate, compared: &Compared) -> Option<Judged> {
    const GATE: &str = "coverage";
    let base = compared.base_hundredths();
    let Some(now) = compared.reports.coverage.as_ref().and_then(super::Coverage::hundredths) else {
        return missing(GATE, base.is_some(), "coverage");
    };
    let mut wrong = Vec::new();
    if let Some(min) = gate.min.filter(|min| now < *min) {
        wrong.push(format!("{} is less than {}", percent(now), percent(min)));
    }
    if let (Some(most), Some(base)) = (gate.max_drop, base)
        && now.saturating_add(most) < base
    {
        let drop = percent(base - now);
        wrong.push(format!("{} is {drop} less than the base's {}", percent(now), percent(base)));
    }
    let title = match (wrong.first(), base) {
        (Some(first), _) => format!("Coverage: {first}"),
        (None, Some(base)) => format!("Coverage is {}; the base has {}", percent(now), percent(base)),
        (None, None) => format!("Coverage is {}", percent(now)),
    };
    Some(Judged::new(GATE, wrong.is_empty(), title, wrong))
}

fn findings(gate: &FindingsGate, compared: &Compared) -> Option<Judged> {
    const GATE: &str = "findings";
    let Some(found) = compared.findings() else {
        let base = compared.base.as_ref().is_some_and(|(_, base)| base.findings.is_some());
        return missing(GATE, base, "findings");
    };
    let bad: Vec<_> = found
        .into_iter()
        .filter(|(finding, new)| finding.severity >= gate.fail_on && (*new || !gate.new_only))
        .map(|(finding, _)| finding)
        .collect();
    let new = if gate.new_only { "new " } else { "" };
    let at_least = match gate.fail_on {
        Severity::Critical => "critical".to_owned(),
        other => format!("{} or worse", other.word()),
    };
    // What was left out was not looked at: nobody knows that it is harmless.
    let left_out = compared.reports.findings_left_out;
    let title = match (bad.len(), left_out) {
        (0, 0) => format!("No {new}findings that are {at_least}"),
        (0, more) => format!("Beyond the limits, and so not looked at: {more}"),
        (1, _) => format!("1 {new}finding that is {at_least}"),
        (count, _) => format!("{count} {new}findings that are {at_least}"),
    };
    let line = |finding: &&super::Finding| {
        let place = match (finding.path.as_str(), finding.line) {
            ("", _) => String::new(),
            (path, 0) => format!("{path}: "),
            (path, line) => format!("{path}:{line}: "),
        };
        let first = finding.message.lines().next().unwrap_or_default();
        cut(format!("{} {place}{first} ({})", finding.severity.word(), finding.rule))
    };
    let lines = named(bad.iter().map(line), bad.len());
    Some(Judged::new(GATE, bad.is_empty() && left_out == 0, title, lines))
}

fn licences(gate: &LicencesGate, compared: &Compared) -> Option<Judged> {
    const GATE: &str = "licences";
    let Some(components) = &compared.reports.components else {
        let base = compared.base.as_ref().is_some_and(|(_, base)| base.components.is_some());
        return missing(GATE, base, "components");
    };
    let forbidden = |component: &Component| {
        let licence = component.licences.iter().find(|licence| is_forbidden(gate, licence))?;
        Some(cut(format!("{} {} has {licence}", component.name, component.version)))
    };
    let bad: Vec<String> = components.iter().filter_map(forbidden).collect();
    let left_out = compared.reports.components_left_out;
    let title = match (bad.len(), left_out) {
        (0, 0) => format!("None of {} components has a forbidden licence", components.len()),
        (0, more) => format!("Beyond the limits, and so not looked at: {more}"),
        (1, _) => "1 component has a forbidden licence".to_owned(),
        (count, _) => format!("{count} components have a forbidden licence"),
    };
    let (passed, count) = (bad.is_empty() && left_out == 0, bad.len());
    Some(Judged::new(GATE, passed, title, named(bad.into_iter(), count)))
}

/// Whether nobody may use what has this licence. Of an expression of SPDX with `OR` one allowed choice is enough; with `AND`,
/// one forbidden part forbids. Parentheses are looked into from the outside.
fn is_forbidden(gate: &LicencesGate, licence: &str) -> bool {
    expression(&mut tokens(licence).into_iter().peekable(), gate, 0)
}

/// Deeper parentheses than this are read as one more name.
const DEPTH_MAX: usize = 32;

type Tokens = std::iter::Peekable<std::vec::IntoIter<String>>;

fn tokens(text: &str) -> Vec<String> {
    text.replace('(', " ( ").replace(')', " ) ").split_whitespace().map(str::to_owned).collect()
}

/// `a OR b`: forbidden if all are.
fn expression(tokens: &mut Tokens, gate: &LicencesGate, depth: usize) -> bool {
    let mut forbidden = conjunction(tokens, gate, depth);
    while tokens.next_if(|token| token.eq_ignore_ascii_case("or")).is_some() {
        forbidden &= conjunction(tokens, gate, depth);
    }
    forbidden
}

/// `a AND b`: forbidden if one is.
fn conjunction(tokens: &mut Tokens, gate: &LicencesGate, depth: usize) -> bool {
    let mut forbidden = part(tokens, gate, depth);
    while tokens.next_if(|token| token.eq_ignore_ascii_case("and")).is_some() {
        forbidden |= part(tokens, gate, depth);
    }
    forbidden
}

/// A name, which may have several words, or an expression in parentheses.
fn part(tokens: &mut Tokens, gate: &LicencesGate, depth: usize) -> bool {
    if depth < DEPTH_MAX && tokens.next_if(|token| token == "(").is_some() {
        let forbidden = expression(tokens, gate, depth + 1);
        tokens.next_if(|token| token == ")");
        return forbidden;
    }
    let ends = |token: &String| {
        token == ")" || token.eq_ignore_ascii_case("or") || token.eq_ignore_ascii_case("and")
    };
    let mut words = Vec::new();
    while let Some(word) = tokens.next_if(|token| !ends(token)) {
        words.push(word);
    }
    if words.is_empty() {
        // A stray parenthesis or word: it must not be met for ever.
        tokens.next();
        return false;
    }
    let name = words.join(" ");
    // An exception allows more, never less: what it is added to counts.
    let lower = name.to_lowercase();
    let base = lower.split(" with ").next().unwrap_or_default();
    gate.forbid
        .iter()
        .any(|pattern| matches(&pattern.to_lowercase(), &lower) || matches(&pattern.to_lowercase(), base))
}

fn matches(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

fn cut(text: String) -> String {
    text.chars().take(LINE_MAX_CHARS).collect()
}

fn named(lines: impl Iterator<Item = String>, count: usize) -> Vec<String> {
    let mut named: Vec<String> = lines.take(NAMED_MAX).collect();
    if count > NAMED_MAX {
        named.push(format!("and {} more", count - NAMED_MAX));
    }
    named
}
