//! `slipway eval`: an expression's value, for one or for a file of them.

use std::path::PathBuf;

use clap::Args;
use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use slipway_workflow::expression::{ExpressionError, eval_json};

use crate::failure::{Exit, Failure};
use crate::input;
use crate::output::{Out, escape};

/// Longest file of contexts, and longest batch.
const FILE_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// Flags of `slipway eval`.
#[derive(Debug, Args)]
pub struct Eval {
    /// The expression, with or without ${{ }}
    #[arg(
        value_name = "EXPR",
        required_unless_present = "batch",
        conflicts_with = "batch",
        allow_hyphen_values = true
    )]
    expression: Option<String>,
    /// A JSON object of contexts: {"github": {…}, "matrix": {…}}
    #[arg(long, value_name = "F.json", conflicts_with = "batch")]
    context: Option<PathBuf>,
    /// A file with one {"expr","contexts"} a line; prints one JSON result a line
    #[arg(long, value_name = "F.jsonl")]
    batch: Option<PathBuf>,
    /// Print {"value":…} or {"error":{"kind","message"}}
    #[arg(long)]
    json: bool,
}

#[derive(Deserialize)]
struct Question {
    expr: String,
    #[serde(default)]
    contexts: Map<String, Json>,
}

impl Eval {
    pub(crate) fn run(self, out: &mut Out) -> Result<Exit, Failure> {
        if let Some(batch) = self.batch {
            let text = input::read_text(&batch, FILE_LIMIT_BYTES)?;
            for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
                let question: Question = serde_json::from_str(line).map_err(|error| {
                    let wanted = "expected {\"expr\",\"contexts\"}";
                    Failure::usage(format!("{}:{}: {wanted}: {error}", batch.display(), index + 1))
                })?;
                out.json(&answer(&eval_json(&question.expr, &Json::Object(question.contexts))))?;
            }
            return Ok(Exit::Success);
        }
        let contexts = match &self.context {
            Some(path) => input::read_json_object(path, FILE_LIMIT_BYTES)?,
            None => Map::new(),
        };
        let expression = self.expression.unwrap_or_default();
        let source = bare(&expression);
        let result = eval_json(source, &Json::Object(contexts));
        if self.json {
            out.json(&answer(&result))?;
            return Ok(if result.is_ok() { Exit::Success } else { Exit::Usage });
        }
        match result {
            Ok(value) => {
                out.line(&shown(&value, out.terminal))?;
                Ok(Exit::Success)
            }
            Err(error) => {
                let column =
                    error.column(source).map_or(String::new(), |column| format!(" at column {column}"));
                Err(Failure::usage(format!("{} error{column}: {}", error.kind, error.message)))
            }
        }
    }
}

/// The expression inside `${{ }}` where it is wholly in one.
fn bare(expression: &str) -> &str {
    let trimmed = expression.trim();
    match trimmed.strip_prefix("${{").and_then(|rest| rest.strip_suffix("}}")) {
        Some(inner) if !inner.contains("${{") => inner,
        _ => expression,
    }
}

fn answer(result: &Result<Json, ExpressionError>) -> Json {
    match result {
        Ok(value) => json!({"value": value}),
        Err(error) => json!({"error": {"kind": error.kind, "message": error.message}}),
    }
}

/// Text as it is (safe on a terminal), everything else as JSON.
fn shown(value: &Json, terminal: bool) -> String {
    match value {
        Json::String(text) if terminal => escape::paragraph(text),
        Json::String(text) => text.clone(),
        Json::Array(_) | Json::Object(_) => format!("{value:#}"),
        other => other.to_string(),
    }
}
