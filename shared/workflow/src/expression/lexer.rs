//! Text into tokens.

use super::{ExpressionError, MAX_EXPRESSION_LENGTH};
use crate::value::parse_number;

/// A token's meaning.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum TokenKind {
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Dot,
    Star,
    Not,
    NotEqual,
    Equal,
    Greater,
    GreaterEqual,
    Less,
    LessEqual,
    And,
    Or,
    Number(f64),
    String(String),
    Identifier,
    True,
    False,
    Null,
    End,
}

/// A token and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Token<'a> {
    pub(super) kind: TokenKind,
    pub(super) text: &'a str,
    pub(super) offset: usize,
}

/// Cuts a source into tokens; the last one is always [`TokenKind::End`].
pub(super) fn lex(source: &str) -> Result<Vec<Token<'_>>, ExpressionError> {
    // The byte length bounds the UTF-16 length, so most sources need no count.
    if source.len() > MAX_EXPRESSION_LENGTH && source.encode_utf16().count() > MAX_EXPRESSION_LENGTH {
        return Err(ExpressionError::lexing(
            format!("the expression is longer than {MAX_EXPRESSION_LENGTH} characters"),
            0,
        ));
    }
    let mut lexer = Lexer { source, at: 0, tokens: Vec::with_capacity(source.len() / 4 + 2) };
    while lexer.at < source.len() {
        lexer.token()?;
    }
    lexer.tokens.push(Token { kind: TokenKind::End, text: "", offset: source.len() });
    Ok(lexer.tokens)
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    tokens: Vec<Token<'a>>,
}

impl<'a> Lexer<'a> {
    fn token(&mut self) -> Result<(), ExpressionError> {
        let bytes = self.source.as_bytes();
        let next = bytes.get(self.at + 1).copied();
        let Some(byte) = bytes.get(self.at).copied() else {
            return Ok(());
        };
        match byte {
            b' ' | b'\r' | b'\t' | b'\n' => self.at += 1,
            b'(' => self.push(TokenKind::LeftParen, 1),
            b')' => self.push(TokenKind::RightParen, 1),
            b'[' => self.push(TokenKind::LeftBracket, 1),
            b']' => self.push(TokenKind::RightBracket, 1),
            b',' => self.push(TokenKind::Comma, 1),
            b'*' => self.push(TokenKind::Star, 1),
            b'!' if next == Some(b'=') => self.push(TokenKind::NotEqual, 2),
            b'!' => self.push(TokenKind::Not, 1),
            b'=' if next == Some(b'=') => self.push(TokenKind::Equal, 2),
            b'<' if next == Some(b'=') => self.push(TokenKind::LessEqual, 2),
            b'<' => self.push(TokenKind::Less, 1),
            b'>' if next == Some(b'=') => self.push(TokenKind::GreaterEqual, 2),
            b'>' => self.push(TokenKind::Greater, 1),
            b'&' if next == Some(b'&') => self.push(TokenKind::And, 2),
            b'|' if next == Some(b'|') => self.push(TokenKind::Or, 2),
            b'.' if self.dot_continues() => self.push(TokenKind::Dot, 1),
            b'.' | b'-' | b'+' | b'0'..=b'9' => return self.number(),
            b'\'' => return self.string(),
            _ => return self.word(),
        }
        Ok(())
    }

    fn push(&mut self, kind: TokenKind, length: usize) {
        let end = self.at + length;
        self.tokens.push(Token { kind, text: &self.source[self.at..end], offset: self.at });
        self.at = end;
    }

    /// After a name, `]`, `)` or `*` a dot goes on with a property; anywhere else it starts a number.
    fn dot_continues(&self) -> bool {
        matches!(
            self.tokens.last().map(|token| &token.kind),
            Some(TokenKind::Identifier | TokenKind::RightBracket | TokenKind::RightParen | TokenKind::Star)
        )
    }

    /// The end of a word that starts at `from`, whose first character always belongs to it.
    fn word_end(&self, dots_belong: bool) -> usize {
        let rest = &self.source[self.at..];
        rest.char_indices()
            .skip(1)
            .find(|(_, c)| is_boundary(*c) && !(dots_belong && *c == '.'))
            .map_or(self.source.len(), |(length, _)| self.at + length)
    }

    fn number(&mut self) -> Result<(), ExpressionError> {
        let end = self.word_end(true);
        let value = parse_number(&self.source[self.at..end]);
        if value.is_nan() {
            return Err(self.unexpected(end));
        }
        self.push(TokenKind::Number(value), end - self.at);
        Ok(())
    }

    fn string(&mut self) -> Result<(), ExpressionError> {
        let body = self.at + 1;
        let mut from = body;
        loop {
            let Some(quote) = self.source[from..].find('\'').map(|length| from + length) else {
                return Err(self.unexpected(self.source.len()));
            };
            if self.source.as_bytes().get(quote + 1) == Some(&b'\'') {
                from = quote + 2;
                continue;
            }
            let value = self.source[body..quote].replace("''", "'");
            self.push(TokenKind::String(value), quote + 1 - self.at);
            return Ok(());
        }
    }

    fn word(&mut self) -> Result<(), ExpressionError> {
        let end = self.word_end(false);
        let word = &self.source[self.at..end];
        let after_dot = matches!(self.tokens.last().map(|token| &token.kind), Some(TokenKind::Dot));
        let kind = match word {
            _ if after_dot => TokenKind::Identifier,
            "true" => TokenKind::True,
            "false" => TokenKind::False,
            "null" => TokenKind::Null,
            "NaN" => TokenKind::Number(f64::NAN),
            "Infinity" => TokenKind::Number(f64::INFINITY),
            _ => TokenKind::Identifier,
        };
        if !is_identifier(word) {
            return Err(self.unexpected(end));
        }
        self.push(kind, end - self.at);
        Ok(())
    }

    fn unexpected(&self, end: usize) -> ExpressionError {
        let word = &self.source[self.at..end];
        let hint = if word.starts_with('"') { "; strings take single quotes" } else { "" };
        ExpressionError::lexing(format!("unexpected symbol `{}`{hint}", shorten(word)), self.at)
    }
}

/// A long piece of source is cut for messages.
pub(super) fn shorten(text: &str) -> String {
    const SHOWN: usize = 60;
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    text.chars().take(SHOWN).chain("...".chars()).collect()
}

fn is_boundary(c: char) -> bool {
    matches!(c, '(' | '[' | ')' | ']' | ',' | '.' | '!' | '>' | '<' | '=' | '&' | '|')
        || c.is_whitespace()
        || c == '\u{feff}'
}

/// A letter or `_`, then letters, digits, `_` and `-`.
pub(super) fn is_identifier(word: &str) -> bool {
    let mut bytes = word.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}
