//! Tokens into a tree. Precedence, from loose to tight: `||`, `&&`, `== !=`, `< <= > >=`, `!`, `.` and `[]`.

use std::sync::Arc;

use super::ast::{Compare, Index, Node, status_name};
use super::functions::{Function, MAX_ARGUMENTS};
use super::lexer::{Token, TokenKind, shorten};
use super::{Availability, ExpressionError, MAX_EXPRESSION_DEPTH, StatusArity, StatusFunction};
use crate::value::Value;

/// Parses all tokens; `None` when there is nothing but the end.
pub(super) fn parse(
    tokens: &[Token<'_>],
    availability: &Availability<'_>,
) -> Result<Option<Node>, ExpressionError> {
    let mut parser = Parser { tokens, at: 0, depth: 0, availability };
    if parser.kind() == &TokenKind::End {
        return Ok(None);
    }
    let root = parser.expression()?;
    if parser.kind() != &TokenKind::End {
        return Err(parser.unexpected());
    }
    Ok(Some(root))
}

struct Parser<'a, 'b> {
    tokens: &'b [Token<'a>],
    at: usize,
    depth: usize,
    availability: &'b Availability<'b>,
}

const END: Token<'static> = Token { kind: TokenKind::End, text: "", offset: 0 };

impl<'a> Parser<'a, '_> {
    fn token(&self) -> &Token<'a> {
        self.tokens.get(self.at).or_else(|| self.tokens.last()).unwrap_or(&END)
    }

    fn kind(&self) -> &TokenKind {
        &self.token().kind
    }

    fn take(&mut self, kind: &TokenKind) -> bool {
        let found = self.kind() == kind;
        if found {
            self.at += 1;
        }
        found
    }

    fn expect(&mut self, kind: &TokenKind) -> Result<(), ExpressionError> {
        if self.take(kind) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> ExpressionError {
        let token = self.token();
        if token.kind == TokenKind::End {
            return ExpressionError::parsing("unexpected end of expression", token.offset);
        }
        ExpressionError::parsing(format!("unexpected symbol `{}`", shorten(token.text)), token.offset)
    }

    fn deeper(&mut self) -> Result<(), ExpressionError> {
        self.depth += 1;
        if self.depth > MAX_EXPRESSION_DEPTH {
            return Err(ExpressionError::parsing(
                format!("the expression is nested deeper than {MAX_EXPRESSION_DEPTH} levels"),
                self.token().offset,
            ));
        }
        Ok(())
    }

    fn expression(&mut self) -> Result<Node, ExpressionError> {
        self.deeper()?;
        let node = self.or()?;
        self.depth -= 1;
        Ok(node)
    }

    fn or(&mut self) -> Result<Node, ExpressionError> {
        let first = self.and()?;
        if self.kind() != &TokenKind::Or {
            return Ok(first);
        }
        self.deeper()?;
        let mut nodes = vec![first];
        while self.take(&TokenKind::Or) {
            nodes.push(self.and()?);
        }
        self.depth -= 1;
        Ok(Node::Or(nodes))
    }

    fn and(&mut self) -> Result<Node, ExpressionError> {
        let first = self.equality()?;
        if self.kind() != &TokenKind::And {
            return Ok(first);
        }
        self.deeper()?;
        let mut nodes = vec![first];
        while self.take(&TokenKind::And) {
            nodes.push(self.equality()?);
        }
        self.depth -= 1;
        Ok(Node::And(nodes))
    }

    fn equality(&mut self) -> Result<Node, ExpressionError> {
        let first = self.comparison()?;
        let mut rest = Vec::new();
        loop {
            let operator = match self.kind() {
                TokenKind::Equal => Compare::Equal,
                TokenKind::NotEqual => Compare::NotEqual,
                _ => break,
            };
            self.at += 1;
            rest.push((operator, self.comparison()?));
        }
        Ok(if rest.is_empty() { first } else { Node::Compare(Box::new(first), rest) })
    }

    fn comparison(&mut self) -> Result<Node, ExpressionError> {
        let first = self.unary()?;
        let mut rest = Vec::new();
        loop {
            let operator = match self.kind() {
                TokenKind::Greater => Compare::Greater,
                TokenKind::GreaterEqual => Compare::GreaterEqual,
                TokenKind::Less => Compare::Less,
                TokenKind::LessEqual => Compare::LessEqual,
                _ => break,
            };
            self.at += 1;
            rest.push((operator, self.unary()?));
        }
        Ok(if rest.is_empty() { first } else { Node::Compare(Box::new(first), rest) })
    }

    fn unary(&mut self) -> Result<Node, ExpressionError> {
        if !self.take(&TokenKind::Not) {
            return self.index();
        }
        self.deeper()?;
        let node = self.unary()?;
        self.depth -= 1;
        Ok(Node::Not(Box::new(node)))
    }

    fn index(&mut self) -> Result<Node, ExpressionError> {
        let (base, indexable) = self.primary()?;
        if !indexable {
            return Ok(base);
        }
        let mut indices = Vec::new();
        loop {
            if self.take(&TokenKind::LeftBracket) {
                let index = if self.take(&TokenKind::Star) {
                    Index::Star
                } else {
                    Index::Expression(Box::new(self.expression()?))
                };
                self.expect(&TokenKind::RightBracket)?;
                self.deeper()?;
                indices.push(index);
            } else if self.take(&TokenKind::Dot) {
                self.deeper()?;
                indices.push(self.property()?);
            } else {
                break;
            }
        }
        self.depth -= indices.len();
        Ok(if indices.is_empty() { base } else { Node::Index(Box::new(base), indices) })
    }

    fn property(&mut self) -> Result<Index, ExpressionError> {
        let index = match self.kind() {
            TokenKind::Identifier => Index::Name(self.token().text.into()),
            TokenKind::Star => Index::Star,
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(index)
    }

    /// A literal, group, context or call, and whether an index may follow.
    fn primary(&mut self) -> Result<(Node, bool), ExpressionError> {
        let literal = match self.kind() {
            TokenKind::True => Value::Bool(true),
            TokenKind::False => Value::Bool(false),
            TokenKind::Null => Value::Null,
            TokenKind::Number(number) => Value::Number(*number),
            TokenKind::String(text) => Value::string(text.as_str()),
            TokenKind::LeftParen => {
                self.at += 1;
                let node = self.expression()?;
                self.expect(&TokenKind::RightParen)?;
                return Ok((node, true));
            }
            TokenKind::Identifier => return Ok((self.named()?, true)),
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok((Node::Literal(literal), false))
    }

    fn named(&mut self) -> Result<Node, ExpressionError> {
        let name = self.token().text;
        let offset = self.token().offset;
        self.at += 1;
        if !self.take(&TokenKind::LeftParen) {
            return self.context(name, offset);
        }
        let mut arguments = Vec::new();
        while !self.take(&TokenKind::RightParen) {
            arguments.push(self.expression()?);
            if self.kind() != &TokenKind::RightParen {
                self.expect(&TokenKind::Comma)?;
            }
        }
        self.call(name, offset, arguments)
    }

    fn context(&self, name: &str, offset: usize) -> Result<Node, ExpressionError> {
        if self.availability.has_context(name) {
            return Ok(Node::Context(Arc::from(name.to_ascii_lowercase())));
        }
        Err(ExpressionError::parsing(self.availability.unknown_context(name), offset))
    }

    fn call(&self, name: &str, offset: usize, arguments: Vec<Node>) -> Result<Node, ExpressionError> {
        let count = arguments.len();
        let arity = |least: usize, most: usize| -> Result<(), ExpressionError> {
            let wanted = if count < least {
                format!("needs at least {least}")
            } else if count > most {
                format!("takes at most {most}")
            } else {
                return Ok(());
            };
            let plural = if count == 1 { "" } else { "s" };
            Err(ExpressionError::parsing(
                format!("`{name}` was given {count} argument{plural}; it {wanted}"),
                offset,
            ))
        };
        if let Some(function) = Function::from_name(name) {
            let (least, most) = function.arity();
            arity(least, most)?;
            if function == Function::Case && count.is_multiple_of(2) {
                return Err(ExpressionError::parsing(
                    "`case` needs an odd number of arguments: predicate and value in turn, then a default",
                    offset,
                ));
            }
            return Ok(Node::Call(function, arguments));
        }
        if name.eq_ignore_ascii_case("hashFiles") && self.availability.hash_files {
            arity(1, MAX_ARGUMENTS)?;
            return Ok(Node::HashFiles(arguments));
        }
        if let Some(function) = status_function(name)
            && self.availability.status != StatusArity::None
        {
            let takes_jobs = self.availability.status == StatusArity::Job
                && matches!(function, StatusFunction::Success | StatusFunction::Failure);
            arity(0, if takes_jobs { usize::MAX } else { 0 })?;
            return Ok(Node::Status(function, arguments));
        }
        Err(ExpressionError::parsing(self.availability.unknown_function(name), offset))
    }
}

fn status_function(name: &str) -> Option<StatusFunction> {
    [StatusFunction::Always, StatusFunction::Success, StatusFunction::Failure, StatusFunction::Cancelled]
        .into_iter()
        .find(|function| name.eq_ignore_ascii_case(status_name(*function)))
}
