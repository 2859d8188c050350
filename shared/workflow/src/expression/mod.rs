//! GitHub's expression language: lexer, parser, functions, evaluation, and text with `${{ }}`.
//!
//! Follows GitHub's own implementations (`@actions/expressions` and the runner); where they differ, the runner's
//! documented behaviour counts. Bounded: source length, nesting and the memory an evaluation may produce.
//!
//! Deliberately absent: contexts. Who evaluates brings them through [`Environment`]; the crate never reads a file,
//! so even `hashFiles` is the host's.

mod ast;
pub mod availability;
pub mod condition;
mod error;
mod evaluate;
mod format;
mod functions;
mod lexer;
mod parser;
pub mod template;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::expect_used, clippy::indexing_slicing)]
mod tests;

use std::fmt;

use serde_json::Value as Json;

use crate::value::Value;

pub use availability::{Availability, StatusArity};
pub use condition::Condition;
pub use error::{ErrorKind, ExpressionError};
pub use template::Template;

/// Longest expression, in UTF-16 code units as GitHub counts (`MAX_EXPRESSION_LENGTH`).
pub const MAX_EXPRESSION_LENGTH: usize = 21_000;
/// Deepest nesting (`MAX_PARSER_DEPTH`).
pub const MAX_EXPRESSION_DEPTH: usize = 50;
/// How many bytes of text and list one evaluation may produce; GitHub's limit on a template's result is the same.
pub const MAX_EVALUATION_BYTES: usize = 10 * 1024 * 1024;

/// The functions that ask how things went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StatusFunction {
    /// `always()`
    Always,
    /// `success(…)`
    Success,
    /// `failure(…)`
    Failure,
    /// `cancelled()`
    Cancelled,
}

/// What an expression can see of the world.
pub trait Environment {
    /// The context of that name, which comes in ASCII lower case; `None` counts as null.
    fn context(&self, name: &str) -> Option<Value>;

    /// A status function's answer. `arguments` (job ids) occur only in a job's `if`.
    ///
    /// # Errors
    /// A message for people, when the question can't be answered here.
    fn status(&self, function: StatusFunction, arguments: &[Value]) -> Result<bool, String> {
        let _ = (function, arguments);
        Err("status functions are not available here".to_owned())
    }

    /// `hashFiles`: the digest for these patterns, or the empty string where none matches.
    ///
    /// # Errors
    /// A message for people, when files can't be read.
    fn hash_files(&self, patterns: &[String]) -> Result<String, String> {
        let _ = patterns;
        Err("hashFiles is not available here".to_owned())
    }
}

/// A parsed expression.
#[derive(Clone)]
pub struct Expression {
    /// `None`: the source was empty, which evaluates to null.
    root: Option<ast::Node>,
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.root {
            Some(root) => write!(f, "Expression({root})"),
            None => f.write_str("Expression()"),
        }
    }
}

/// The source in a normal form that parses to the same tree.
impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.as_ref().map_or(Ok(()), |root| root.fmt(f))
    }
}

impl Expression {
    /// Parses an expression, without `${{ }}`.
    ///
    /// # Errors
    /// Lexing and parsing errors, each with its column; so is a context or function that `availability` lacks.
    pub fn parse(source: &str, availability: &Availability<'_>) -> Result<Self, ExpressionError> {
        let tokens = lexer::lex(source)?;
        Ok(Self { root: parser::parse(&tokens, availability)? })
    }

    /// Its value.
    ///
    /// # Errors
    /// Evaluation errors only.
    pub fn evaluate(&self, environment: &dyn Environment) -> Result<Value, ExpressionError> {
        self.root.as_ref().map_or(Ok(Value::Null), |root| evaluate::evaluate(root, environment))
    }

    /// Whether any status function is called in it.
    pub fn calls_status_function(&self) -> bool {
        self.any(&|node| matches!(node, ast::Node::Status(..)))
    }

    /// Whether that status function is called in it.
    pub fn calls_status(&self, function: StatusFunction) -> bool {
        self.any(&|node| matches!(node, ast::Node::Status(found, _) if *found == function))
    }

    /// Whether a status function is called with job ids.
    pub fn names_jobs(&self) -> bool {
        self.any(&|node| matches!(node, ast::Node::Status(_, arguments) if !arguments.is_empty()))
    }

    /// Whether it reads that context (name in lower case).
    pub fn uses_context(&self, name: &str) -> bool {
        self.any(&|node| matches!(node, ast::Node::Context(found) if &**found == name))
    }

    /// What it reads, each as a path of names in lower case: `github.event.issue.title`. An index that only the run can
    /// tell, and `.*`, are `*`.
    pub fn references(&self) -> Vec<String> {
        let mut found = Vec::new();
        if let Some(root) = &self.root {
            root.references(&mut found);
        }
        found
    }

    fn any(&self, test: &dyn Fn(&ast::Node) -> bool) -> bool {
        self.root.as_ref().is_some_and(|root| root.any(test))
    }
}

/// An error when text that is put together grows beyond the limit of one evaluation.
fn evaluate_limit(bytes: usize) -> Result<(), ExpressionError> {
    if bytes > MAX_EVALUATION_BYTES {
        return Err(ExpressionError::evaluation(format!(
            "the expression produces more than {MAX_EVALUATION_BYTES} bytes"
        )));
    }
    Ok(())
}

/// Contexts from one JSON object; no status functions, no files.
struct JsonEnvironment {
    contexts: Value,
}

impl Environment for JsonEnvironment {
    fn context(&self, name: &str) -> Option<Value> {
        self.contexts.get(name).cloned()
    }
}

/// Evaluates an expression over contexts given as one JSON object, which may name any context.
///
/// # Errors
/// Of every kind. Numbers that JSON lacks (NaN, infinities) come back as null, as in JavaScript.
pub fn eval_json(source: &str, contexts: &Json) -> Result<Json, ExpressionError> {
    let names: Vec<&str> =
        contexts.as_object().map_or_else(Vec::new, |map| map.keys().map(String::as_str).collect());
    let availability = Availability { contexts: &names, status: StatusArity::None, hash_files: false };
    let expression = Expression::parse(source, &availability)?;
    let environment = JsonEnvironment { contexts: Value::from(contexts) };
    Ok(expression.evaluate(&environment)?.to_json())
}
