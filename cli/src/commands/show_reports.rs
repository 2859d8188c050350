//! What `slipway show` says of a run's reports: coverage, findings, components and gates.

use serde::Deserialize;

use crate::output::escape;

/// The answer of `/runs/{run}/reports`, as far as it is shown.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Reports {
    base: Option<String>,
    coverage: Option<Coverage>,
    findings: Option<Findings>,
    components: Option<Components>,
    gates: Vec<Gate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Coverage {
    lines: u64,
    covered: u64,
    percent: Option<f64>,
    change: Option<f64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Findings {
    counts: std::collections::BTreeMap<String, u64>,
    new: Option<u64>,
    findings: Vec<Finding>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Finding {
    new: bool,
    severity: String,
    rule: String,
    message: String,
    path: String,
    line: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Components {
    count: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Gate {
    gate: String,
    passed: bool,
    title: String,
    lines: Vec<String>,
}

/// Characters of a finding's message that are shown.
const MESSAGE_CHARS: usize = 200;

/// One line for each kind, one for each finding that came, and the gates.
pub(crate) fn lines(found: &Reports) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(coverage) = &found.coverage {
        let Coverage { lines: all, covered, .. } = coverage;
        let percent = coverage.percent.map_or("nothing".to_owned(), |percent| format!("{percent:.2} %"));
        let against = match (coverage.change, &found.base) {
            (Some(change), Some(base)) => {
                format!(", {change:+.2} points to {}", escape::name(base.get(..8).unwrap_or(base)))
            }
            _ => String::new(),
        };
        lines.push(format!("coverage: {percent} ({covered} of {all} lines{against})"));
    }
    if let Some(findings) = &found.findings {
        let count = |word: &str| findings.counts.get(word).copied().unwrap_or_default();
        let words = ["critical", "high", "medium", "low"].into_iter().filter(|word| count(word) > 0);
        let counts: Vec<String> = words.map(|word| format!("{} {word}", count(word))).collect();
        let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
        let new = findings.new.map_or_else(String::new, |new| format!(" ({new} new)"));
        lines.push(format!("findings: {counts}{new}"));
        lines.extend(findings.findings.iter().map(finding));
        let all: u64 = findings.counts.values().sum();
        let more = all.saturating_sub(findings.findings.len() as u64);
        if more > 0 {
            lines.push(format!("  and {more} more"));
        }
    }
    if let Some(components) = &found.components {
        lines.push(format!("components: {}", components.count));
    }
    for gate in &found.gates {
        let word = if gate.passed { "passed" } else { "failed" };
        let (name, title) = (escape::name(&gate.gate), escape::name(&gate.title));
        lines.push(format!("gate {name} {word}: {title}"));
        lines.extend(gate.lines.iter().map(|line| format!("  {}", escape::name(line))));
    }
    lines
}

fn finding(finding: &Finding) -> String {
    let place = match (finding.path.as_str(), finding.line) {
        ("", _) => String::new(),
        (path, 0) => format!("{path}: "),
        (path, line) => format!("{path}:{line}: "),
    };
    let first = finding.message.lines().next().unwrap_or_default();
    let first: String = first.chars().take(MESSAGE_CHARS).collect();
    let new = if finding.new { "new " } else { "" };
    let Finding { severity, rule, .. } = finding;
    format!("  {}", escape::name(&format!("{new}{severity} {place}{first} ({rule})")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn everything_that_is_there_is_told_and_nothing_else() {
        let found = serde_json::json!({
            "run": "r", "base": "0123456789", "removed": false,
            "coverage": {"lines": 200, "covered": 171, "percent": 85.5, "base_percent": 86.0, "change": -0.5},
            "findings": {"counts": {"critical": 0, "high": 2, "low": 1}, "new": 1, "findings": [
                {"new": true, "severity": "high", "rule": "R1", "message": "bad\nmore", "path": "a.c", "line": 3},
            ]},
            "components": {"count": 7},
            "gates": [
                {"gate": "coverage", "passed": true, "title": "Coverage is fine", "lines": []},
                {"gate": "findings", "passed": false, "title": "1 finding", "lines": ["high a.c:3: bad (R1)"]},
            ],
        });
        let told = lines(&serde_json::from_value(found).unwrap());
        let wanted = [
            "coverage: 85.50 % (171 of 200 lines, -0.50 points to 01234567)",
            "findings: 2 high, 1 low (1 new)",
            "  new high a.c:3: bad (R1)",
            "  and 2 more",
            "components: 7",
            "gate coverage passed: Coverage is fine",
            "gate findings failed: 1 finding",
            "  high a.c:3: bad (R1)",
        ];
        assert_eq!(told, wanted);
        assert_eq!(lines(&Reports::default()), Vec::<String>::new());
    }
}
