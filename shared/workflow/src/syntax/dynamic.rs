//! Values of any shape with expressions anywhere in them: `matrix`, `runs-on`.

use std::sync::Arc;

use crate::diagnostics::Position;
use crate::expression::{Availability, Environment, Expression, ExpressionError, Template};
use crate::value::{Object, Value};
use crate::yaml::{Key, Node, NodeKind};

use super::reader::{Reader, is_insert};

/// A value whose scalars may be expressions.
#[derive(Debug, Clone)]
pub struct Dynamic {
    /// Where it starts.
    pub position: Position,
    /// What it is.
    pub kind: DynamicKind,
}

/// What a [`Dynamic`] is.
#[derive(Debug, Clone)]
pub enum DynamicKind {
    /// Without expressions.
    Literal(Value),
    /// A scalar with expressions; wholly one expression keeps its type.
    Template(Template),
    /// A list.
    Sequence(Vec<Dynamic>),
    /// A mapping in order.
    Mapping(Vec<(Arc<str>, Dynamic)>),
    /// A mapping of which a key is an expression; none is `${{ insert }}`, whose value's members take its place.
    Computed(Vec<(Option<Template>, Dynamic)>),
}

/// An expression's error and where the scalar stands.
#[derive(Debug, Clone)]
pub struct DynamicError {
    /// Start of the scalar.
    pub position: Position,
    /// What is wrong.
    pub error: ExpressionError,
}

impl Dynamic {
    /// Its value.
    ///
    /// # Errors
    /// The first evaluation error.
    pub fn evaluate(&self, environment: &dyn Environment) -> Result<Value, DynamicError> {
        match &self.kind {
            DynamicKind::Literal(value) => Ok(value.clone()),
            DynamicKind::Template(template) => template
                .evaluate(environment)
                .map_err(|error| DynamicError { position: self.position, error }),
            DynamicKind::Sequence(items) => Ok(Value::array(
                items.iter().map(|item| item.evaluate(environment)).collect::<Result<Vec<_>, _>>()?,
            )),
            DynamicKind::Mapping(entries) => {
                let mut object = Object::new();
                for (key, value) in entries {
                    object.insert_new(key.clone(), value.evaluate(environment)?);
                }
                Ok(Value::Object(Arc::new(object)))
            }
            DynamicKind::Computed(entries) => {
                let mut object = Object::new();
                for (key, value) in entries {
                    let evaluated = value.evaluate(environment)?;
                    let failed = |error| DynamicError { position: value.position, error };
                    match (key, evaluated) {
                        (Some(key), evaluated) => {
                            let key = key.evaluate_to_string(environment).map_err(failed)?;
                            object.insert_new(key.into(), evaluated);
                        }
                        (None, Value::Object(members)) => {
                            for (key, member) in members.iter() {
                                object.insert_new(Arc::clone(key), member.clone());
                            }
                        }
                        (None, Value::Null) => {}
                        (None, other) => {
                            let message = format!("`insert` takes a mapping, not {}", other.kind());
                            return Err(failed(ExpressionError::evaluation(message)));
                        }
                    }
                }
                Ok(Value::Object(Arc::new(object)))
            }
        }
    }

    /// Its value, when no expression is in it.
    pub fn literal(&self) -> Option<Value> {
        match &self.kind {
            DynamicKind::Literal(value) => Some(value.clone()),
            DynamicKind::Template(_) | DynamicKind::Computed(_) => None,
            DynamicKind::Sequence(items) => {
                Some(Value::array(items.iter().map(Dynamic::literal).collect::<Option<_>>()?))
            }
            DynamicKind::Mapping(entries) => {
                let mut object = Object::new();
                for (key, value) in entries {
                    object.insert_new(key.clone(), value.literal()?);
                }
                Some(Value::Object(Arc::new(object)))
            }
        }
    }

    /// Whether any expression in it passes the test.
    pub fn any_expression(&self, test: &dyn Fn(&Expression) -> bool) -> bool {
        match &self.kind {
            DynamicKind::Literal(_) => false,
            DynamicKind::Template(template) => template.expressions().any(test),
            DynamicKind::Sequence(items) => items.iter().any(|item| item.any_expression(test)),
            DynamicKind::Mapping(entries) => entries.iter().any(|(_, value)| value.any_expression(test)),
            DynamicKind::Computed(entries) => entries.iter().any(|(key, value)| {
                key.iter().flat_map(Template::expressions).any(test) || value.any_expression(test)
            }),
        }
    }
}

impl Reader<'_, '_> {
    /// Any node; the depth of YAML bounds the recursion.
    pub(super) fn dynamic(&mut self, node: &Node, availability: &Availability<'_>) -> Option<Dynamic> {
        let kind = match &node.kind {
            NodeKind::Null => DynamicKind::Literal(Value::Null),
            NodeKind::Bool(value) => DynamicKind::Literal(Value::Bool(*value)),
            NodeKind::Number(value) => DynamicKind::Literal(Value::Number(*value)),
            NodeKind::String(text) if !text.contains("${{") => {
                DynamicKind::Literal(Value::String(text.clone()))
            }
            NodeKind::String(text) => match Template::parse(text, availability) {
                Ok(template) => DynamicKind::Template(template),
                Err(error) => {
                    self.expression_error(node.position, text, &error);
                    return None;
                }
            },
            NodeKind::Sequence(items) => {
                let read: Vec<_> = items.iter().filter_map(|item| self.dynamic(item, availability)).collect();
                if read.len() < items.len() {
                    return None;
                }
                DynamicKind::Sequence(read)
            }
            NodeKind::Mapping(entries) if entries.iter().any(|(key, _)| key.text.contains("${{")) => {
                DynamicKind::Computed(self.computed(entries, availability)?)
            }
            NodeKind::Mapping(entries) => {
                let mut read = Vec::with_capacity(entries.len());
                for (key, value) in entries.iter() {
                    if let Some(value) = self.dynamic(value, availability) {
                        read.push((key.text.clone(), value));
                    }
                }
                if read.len() < entries.len() {
                    return None;
                }
                DynamicKind::Mapping(read)
            }
        };
        Some(Dynamic { position: node.position, kind })
    }

    fn computed(
        &mut self,
        entries: &[(Key, Node)],
        availability: &Availability<'_>,
    ) -> Option<Vec<(Option<Template>, Dynamic)>> {
        let mut read = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let value = self.dynamic(value, availability);
            let key = match Template::parse(&key.text, availability) {
                _ if is_insert(&key.text) => None,
                Ok(template) => Some(template),
                Err(error) => {
                    self.expression_error(key.position, &key.text, &error);
                    continue;
                }
            };
            read.extend(value.map(|value| (key, value)));
        }
        (read.len() == entries.len()).then_some(read)
    }
}
