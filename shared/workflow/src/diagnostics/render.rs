//! Findings as text, SARIF 2.1.0 and GitHub annotations.

use std::fmt::Write as _;

use serde_json::{Value as Json, json};

use super::{Diagnostic, Severity};

fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

/// For a terminal: the finding, its line of `source` and a caret under the column.
pub fn render_text(diagnostic: &Diagnostic, source: &str) -> String {
    let Diagnostic { file, line, column, severity, code, message, hint } = diagnostic;
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let mut out =
        format!("{}[{code}]: {message}\n{gutter}--> {file}:{line}:{column}\n", severity_name(*severity));
    let index = usize::try_from(*line).unwrap_or(usize::MAX).saturating_sub(1);
    if let Some(text) = source.lines().nth(index) {
        // Tabs stay tabs under the line, so that the caret lines up.
        let pad: String = text
            .chars()
            .take(usize::try_from(*column).unwrap_or(usize::MAX).saturating_sub(1))
            .map(|c| if c == '\t' { '\t' } else { ' ' })
            .collect();
        // Writing to a String cannot fail.
        let _ = write!(out, "{gutter} |\n{number} | {text}\n{gutter} | {pad}^\n");
    }
    if let Some(hint) = hint {
        let _ = writeln!(out, "{gutter} = help: {hint}");
    }
    out
}

/// A workflow command that GitHub (and Slipway) shows as an annotation.
pub fn render_github(diagnostic: &Diagnostic) -> String {
    let Diagnostic { file, line, column, severity, code, message, hint } = diagnostic;
    let text = match hint {
        Some(hint) => format!("{message}; {hint}"),
        None => message.clone(),
    };
    format!(
        "::{} file={},line={line},col={column},title={}::{}",
        severity_name(*severity),
        escape_property(file),
        escape_property(code),
        escape_data(&text)
    )
}

fn escape_data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn escape_property(text: &str) -> String {
    escape_data(text).replace(':', "%3A").replace(',', "%2C")
}

/// A SARIF 2.1.0 log of one run of the linter.
pub fn render_sarif(diagnostics: &[Diagnostic]) -> Json {
    let mut codes: Vec<&str> = diagnostics.iter().map(|diagnostic| &*diagnostic.code).collect();
    codes.sort_unstable();
    codes.dedup();
    let rules: Vec<Json> = codes.iter().map(|code| json!({ "id": code })).collect();
    let results: Vec<Json> = diagnostics.iter().map(sarif_result).collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": { "name": "slipway lint", "version": env!("CARGO_PKG_VERSION"), "rules": rules } },
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    })
}

fn sarif_result(diagnostic: &Diagnostic) -> Json {
    let text = match &diagnostic.hint {
        Some(hint) => format!("{}; {hint}", diagnostic.message),
        None => diagnostic.message.clone(),
    };
    json!({
        "ruleId": diagnostic.code,
        "level": severity_name(diagnostic.severity),
        "message": { "text": text },
        "locations": [{
            "physicalLocation": {
                "artifactLocation": { "uri": diagnostic.file },
                "region": { "startLine": diagnostic.line, "startColumn": diagnostic.column },
            },
        }],
    })
}
