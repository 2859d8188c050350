//! A tree into a value.

use std::cell::Cell;
use std::sync::Arc;

use super::ast::{Compare, Index, Node};
use super::functions::{self, Function};
use super::{Environment, ExpressionError, MAX_EVALUATION_BYTES};
use crate::value::{Array, Value, greater_than, less_than, loose_equals};

/// Counts what an evaluation produces, so that nested `format` calls can't fill the memory.
pub(super) struct Budget {
    left_bytes: Cell<usize>,
}

impl Budget {
    fn new() -> Self {
        Self { left_bytes: Cell::new(MAX_EVALUATION_BYTES) }
    }

    pub(super) fn left(&self) -> usize {
        self.left_bytes.get()
    }

    pub(super) fn exceeded(&self) -> ExpressionError {
        ExpressionError::evaluation(format!("the expression produces more than {MAX_EVALUATION_BYTES} bytes"))
    }

    /// Errors when `bytes` are more than is left.
    pub(super) fn check(&self, bytes: usize) -> Result<(), ExpressionError> {
        if bytes > self.left() { Err(self.exceeded()) } else { Ok(()) }
    }

    /// Takes `bytes` from what is left.
    pub(super) fn spend(&self, bytes: usize) -> Result<(), ExpressionError> {
        self.check(bytes)?;
        self.left_bytes.set(self.left() - bytes);
        Ok(())
    }
}

/// Evaluates a tree.
pub(super) fn evaluate(root: &Node, environment: &dyn Environment) -> Result<Value, ExpressionError> {
    Evaluator { environment, budget: Budget::new() }.node(root)
}

struct Evaluator<'a> {
    environment: &'a dyn Environment,
    budget: Budget,
}

impl Evaluator<'_> {
    fn node(&self, node: &Node) -> Result<Value, ExpressionError> {
        match node {
            Node::Literal(value) => Ok(value.clone()),
            Node::Context(name) => Ok(self.environment.context(name).unwrap_or_default()),
            Node::Index(base, indices) => self.index(base, indices),
            Node::Not(node) => Ok(Value::Bool(!self.node(node)?.truthy())),
            Node::Compare(first, rest) => self.compare(first, rest),
            Node::And(nodes) => self.until(nodes, false),
            Node::Or(nodes) => self.until(nodes, true),
            Node::Call(Function::Case, arguments) => self.case(arguments),
            Node::Call(function, arguments) => {
                functions::call(*function, &self.all(arguments)?, &self.budget)
            }
            Node::Status(function, arguments) => self
                .environment
                .status(*function, &self.all(arguments)?)
                .map(Value::Bool)
                .map_err(ExpressionError::evaluation),
            Node::HashFiles(patterns) => {
                let patterns: Vec<String> =
                    self.all(patterns)?.iter().map(|pattern| pattern.to_text().into_owned()).collect();
                self.environment.hash_files(&patterns).map(Value::from).map_err(ExpressionError::evaluation)
            }
        }
    }

    fn all(&self, nodes: &[Node]) -> Result<Vec<Value>, ExpressionError> {
        nodes.iter().map(|node| self.node(node)).collect()
    }

    /// The first operand whose truth is `stop`, else the last: `&&` and `||` give operands, not booleans.
    fn until(&self, nodes: &[Node], stop: bool) -> Result<Value, ExpressionError> {
        let mut value = Value::Null;
        for node in nodes {
            value = self.node(node)?;
            if value.truthy() == stop {
                break;
            }
        }
        Ok(value)
    }

    fn compare(&self, first: &Node, rest: &[(Compare, Node)]) -> Result<Value, ExpressionError> {
        let mut left = self.node(first)?;
        for (operator, node) in rest {
            let right = self.node(node)?;
            left = Value::Bool(match operator {
                Compare::Equal => loose_equals(&left, &right),
                Compare::NotEqual => !loose_equals(&left, &right),
                Compare::Greater => greater_than(&left, &right),
                Compare::GreaterEqual => loose_equals(&left, &right) || greater_than(&left, &right),
                Compare::Less => less_than(&left, &right),
                Compare::LessEqual => loose_equals(&left, &right) || less_than(&left, &right),
            });
        }
        Ok(left)
    }

    /// Predicate and value in turn, then a default; only what is needed is evaluated.
    fn case(&self, arguments: &[Node]) -> Result<Value, ExpressionError> {
        let mut pairs = arguments.chunks_exact(2);
        for pair in pairs.by_ref() {
            let [predicate, value] = pair else { continue };
            match self.node(predicate)? {
                Value::Bool(true) => return self.node(value),
                Value::Bool(false) => {}
                other => {
                    return Err(ExpressionError::evaluation(format!(
                        "a predicate of `case` must be a boolean, not {}",
                        other.kind()
                    )));
                }
            }
        }
        pairs.remainder().first().map_or(Ok(Value::Null), |default| self.node(default))
    }

    fn index(&self, base: &Node, indices: &[Index]) -> Result<Value, ExpressionError> {
        let mut value = self.node(base)?;
        for index in indices {
            value = match index {
                Index::Star => self.star(&value)?,
                Index::Name(name) => self.property(&value, &Value::String(name.clone()))?,
                Index::Expression(node) => {
                    let key = self.node(node)?;
                    self.property(&value, &key)?
                }
            };
        }
        Ok(value)
    }

    fn filtered(&self, items: Vec<Value>) -> Result<Value, ExpressionError> {
        self.budget.spend(items.len().saturating_mul(size_of::<Value>()))?;
        Ok(Value::Array(Arc::new(Array { items, filtered: true })))
    }

    fn star(&self, value: &Value) -> Result<Value, ExpressionError> {
        let mut items = Vec::new();
        match value {
            Value::Array(array) if array.filtered => {
                for item in &array.items {
                    self.budget.check(items.len().saturating_mul(size_of::<Value>()))?;
                    push_values(&mut items, item);
                }
            }
            other => push_values(&mut items, other),
        }
        self.filtered(items)
    }

    fn property(&self, value: &Value, key: &Value) -> Result<Value, ExpressionError> {
        match value {
            Value::Array(array) if array.filtered => {
                self.filtered(array.items.iter().filter_map(|item| lookup(item, key)).cloned().collect())
            }
            other => Ok(lookup(other, key).cloned().unwrap_or_default()),
        }
    }
}

fn push_values(items: &mut Vec<Value>, value: &Value) {
    match value {
        Value::Array(array) => items.extend(array.items.iter().cloned()),
        Value::Object(object) => items.extend(object.values().cloned()),
        _ => {}
    }
}

/// An object's property by the key's text, an array's item by the key's number, rounded down.
fn lookup<'v>(value: &'v Value, key: &Value) -> Option<&'v Value> {
    match value {
        Value::Object(object) if key.is_primitive() => object.get(&key.to_text()),
        Value::Array(array) => {
            let number = key.to_number().floor();
            if !number.is_finite() || number < 0.0 {
                return None;
            }
            // Saturates, and no array is that long.
            #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            array.items.get(number as usize)
        }
        _ => None,
    }
}
