//! The tree of an expression.
//!
//! Its depth is bounded by the parser: chains of one operator are flat lists, so that evaluating, printing and
//! dropping a tree never recurse deeper than [`super::MAX_EXPRESSION_DEPTH`] allows.

use std::fmt;
use std::sync::Arc;

use super::StatusFunction;
use super::functions::Function;
use crate::value::{Value, format_json_number};

/// An operator that compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compare {
    Equal,
    NotEqual,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
}

/// What is between the brackets, or after the dot.
#[derive(Debug, Clone)]
pub(super) enum Index {
    Star,
    Name(Arc<str>),
    Expression(Box<Node>),
}

/// A part of an expression.
#[derive(Debug, Clone)]
pub(super) enum Node {
    Literal(Value),
    /// A context by its name in lower case.
    Context(Arc<str>),
    Index(Box<Node>, Vec<Index>),
    Not(Box<Node>),
    /// `first op second op third…`, from left to right; operators of one precedence.
    Compare(Box<Node>, Vec<(Compare, Node)>),
    And(Vec<Node>),
    Or(Vec<Node>),
    Call(Function, Vec<Node>),
    Status(StatusFunction, Vec<Node>),
    HashFiles(Vec<Node>),
}

impl Node {
    /// Whether any node of the tree passes the test.
    pub(super) fn any(&self, test: &dyn Fn(&Node) -> bool) -> bool {
        test(self)
            || match self {
                Node::Literal(_) | Node::Context(_) => false,
                Node::Index(base, indices) => {
                    base.any(test)
                        || indices
                            .iter()
                            .any(|index| matches!(index, Index::Expression(node) if node.any(test)))
                }
                Node::Not(node) => node.any(test),
                Node::Compare(first, rest) => first.any(test) || rest.iter().any(|(_, node)| node.any(test)),
                Node::And(nodes)
                | Node::Or(nodes)
                | Node::Call(_, nodes)
                | Node::Status(_, nodes)
                | Node::HashFiles(nodes) => nodes.iter().any(|node| node.any(test)),
            }
    }
}

impl Node {
    /// Collects the paths that the tree reads; see [`super::Expression::references`].
    pub(super) fn references(&self, found: &mut Vec<String>) {
        match self {
            Node::Literal(_) => {}
            Node::Context(name) => found.push(name.to_lowercase()),
            Node::Index(base, indices) => {
                if let Node::Context(name) = &**base {
                    let mut path = name.to_lowercase();
                    for index in indices {
                        path.push('.');
                        match index {
                            Index::Name(name) => path.push_str(&name.to_lowercase()),
                            Index::Expression(node) => match &**node {
                                Node::Literal(Value::String(name)) => path.push_str(&name.to_lowercase()),
                                _ => path.push('*'),
                            },
                            Index::Star => path.push('*'),
                        }
                    }
                    found.push(path);
                } else {
                    base.references(found);
                }
                for index in indices {
                    if let Index::Expression(node) = index {
                        node.references(found);
                    }
                }
            }
            Node::Not(node) => node.references(found),
            Node::Compare(first, rest) => {
                first.references(found);
                rest.iter().for_each(|(_, node)| node.references(found));
            }
            Node::And(nodes)
            | Node::Or(nodes)
            | Node::Call(_, nodes)
            | Node::Status(_, nodes)
            | Node::HashFiles(nodes) => nodes.iter().for_each(|node| node.references(found)),
        }
    }
}

impl fmt::Display for Compare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Compare::Equal => "==",
            Compare::NotEqual => "!=",
            Compare::Greater => ">",
            Compare::GreaterEqual => ">=",
            Compare::Less => "<",
            Compare::LessEqual => "<=",
        })
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Node::Literal(value) => write_literal(f, value),
            Node::Context(name) => f.write_str(name),
            Node::Index(base, indices) => {
                match **base {
                    Node::Literal(_) | Node::Not(_) => write!(f, "({base})")?,
                    _ => write!(f, "{base}")?,
                }
                for index in indices {
                    match index {
                        Index::Star => f.write_str(".*")?,
                        Index::Name(name) => write!(f, ".{name}")?,
                        Index::Expression(node) => write!(f, "[{node}]")?,
                    }
                }
                Ok(())
            }
            Node::Not(node) => write!(f, "!{node}"),
            Node::Compare(first, rest) => {
                write!(f, "({first}")?;
                for (operator, node) in rest {
                    write!(f, " {operator} {node}")?;
                }
                f.write_str(")")
            }
            Node::And(nodes) => write_list(f, "(", nodes, " && "),
            Node::Or(nodes) => write_list(f, "(", nodes, " || "),
            Node::Call(function, nodes) => write_list(f, &format!("{}(", function.name()), nodes, ", "),
            Node::Status(function, nodes) => {
                write_list(f, &format!("{}(", status_name(*function)), nodes, ", ")
            }
            Node::HashFiles(nodes) => write_list(f, "hashFiles(", nodes, ", "),
        }
    }
}

fn write_list(f: &mut fmt::Formatter<'_>, open: &str, nodes: &[Node], separator: &str) -> fmt::Result {
    f.write_str(open)?;
    for (at, node) in nodes.iter().enumerate() {
        if at > 0 {
            f.write_str(separator)?;
        }
        write!(f, "{node}")?;
    }
    f.write_str(")")
}

fn write_literal(f: &mut fmt::Formatter<'_>, value: &Value) -> fmt::Result {
    match value {
        Value::String(text) => write!(f, "'{}'", text.replace('\'', "''")),
        Value::Null => f.write_str("null"),
        Value::Number(n) if n.is_nan() => f.write_str("NaN"),
        Value::Number(n) if *n == f64::INFINITY => f.write_str("Infinity"),
        Value::Number(n) if *n == f64::NEG_INFINITY => f.write_str("-Infinity"),
        Value::Number(n) => f.write_str(&format_json_number(*n)),
        other => f.write_str(&other.to_text()),
    }
}

/// The status function's name as documented.
pub(super) fn status_name(function: StatusFunction) -> &'static str {
    match function {
        StatusFunction::Always => "always",
        StatusFunction::Success => "success",
        StatusFunction::Failure => "failure",
        StatusFunction::Cancelled => "cancelled",
    }
}
