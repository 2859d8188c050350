//! One segment of a glob, between two slashes, as minimatch reads it (`dot`, `nobrace`, `noext`).

/// A parsed segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// `**`: any number of segments.
    AnyDepth,
    /// Anything else.
    Tokens(Vec<Token>),
}

/// A part of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Itself.
    Literal(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `[…]`: ranges, and whether it is negated.
    Set(Vec<(char, char)>, bool),
}

impl Segment {
    /// Reads one; whatever the text, it is a segment.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        if text == "**" {
            return Self::AnyDepth;
        }
        let mut tokens = Vec::new();
        let mut rest = text.chars();
        while let Some(next) = rest.next() {
            match next {
                '\\' => tokens.push(Token::Literal(rest.next().unwrap_or('\\'))),
                '?' => tokens.push(Token::One),
                '*' => {
                    if tokens.last() != Some(&Token::Many) {
                        tokens.push(Token::Many);
                    }
                }
                '[' => match parse_set(rest.as_str()) {
                    Some((set, after)) => {
                        tokens.push(set);
                        rest = after.chars();
                    }
                    None => tokens.push(Token::Literal('[')),
                },
                other => tokens.push(Token::Literal(other)),
            }
        }
        Self::Tokens(tokens)
    }

    /// The text that it stands for alone, if there is exactly one.
    #[must_use]
    pub fn literal(&self) -> Option<String> {
        let Self::Tokens(tokens) = self else { return None };
        tokens
            .iter()
            .map(|token| match token {
                Token::Literal(character) => Some(*character),
                Token::Set(ranges, false) => match ranges.as_slice() {
                    [(from, to)] if from == to => Some(*from),
                    _ => None,
                },
                _ => None,
            })
            .collect()
    }

    /// Whether a file's name matches; [`Segment::AnyDepth`] matches every name.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        match self {
            Self::AnyDepth => true,
            Self::Tokens(tokens) => match_tokens(tokens, name),
        }
    }
}

/// Reads a set after its `[`; `None`: it is not closed, or no set at all.
fn parse_set(text: &str) -> Option<(Token, &str)> {
    let mut rest = text.chars();
    let negated = text.starts_with(['!', '^']);
    if negated {
        rest.next();
    }
    let mut members: Vec<char> = Vec::new();
    let mut ranges = Vec::new();
    let mut first = true;
    loop {
        match rest.next()? {
            // As the first member it is literal.
            ']' if !first => break,
            '\\' => members.push(rest.next()?),
            '-' if !members.is_empty() && !rest.as_str().starts_with(']') => {
                let from = members.pop()?;
                let to = match rest.next()? {
                    '\\' => rest.next()?,
                    other => other,
                };
                if from > to {
                    return None;
                }
                ranges.push((from, to));
            }
            other => members.push(other),
        }
        first = false;
    }
    ranges.extend(members.into_iter().map(|member| (member, member)));
    Some((Token::Set(ranges, negated), rest.as_str()))
}

/// Goes back only to the last `*`, so the work is at most the product of both lengths.
fn match_tokens(tokens: &[Token], name: &str) -> bool {
    let name: Vec<char> = name.chars().collect();
    let (mut token, mut at) = (0, 0);
    let mut retry: Option<(usize, usize)> = None;
    loop {
        match (tokens.get(token), name.get(at)) {
            (None, None) => return true,
            (Some(Token::Many), _) => {
                retry = Some((token + 1, at));
                token += 1;
                continue;
            }
            (Some(one), Some(character)) if one.matches(*character) => {
                token += 1;
                at += 1;
                continue;
            }
            _ => {}
        }
        let Some((after, start)) = retry.filter(|(_, start)| *start < name.len()) else { return false };
        retry = Some((after, start + 1));
        (token, at) = (after, start + 1);
    }
}

impl Token {
    fn matches(&self, character: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == character,
            Self::One | Self::Many => true,
            Self::Set(ranges, negated) => {
                ranges.iter().any(|(from, to)| (*from..=*to).contains(&character)) != *negated
            }
        }
    }
}
