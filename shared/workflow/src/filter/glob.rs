//! GitHub's patterns for branches, tags and paths (docs: "Filter pattern cheat sheet"). Neither shell globs nor
//! gitignore: `*` stays within a path segment, `**` does not, `?` and `+` repeat what is before them, `[]` is a class,
//! `\` escapes, `!` in front negates. Always anchored, always case-sensitive.

/// Longest pattern, in characters; matching takes time in pattern times text.
pub const MAX_PATTERN_CHARS: usize = 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
enum Unit {
    Char(char),
    /// `[…]`: ranges, both ends included.
    Class(Vec<(char, char)>),
    /// `*`
    Segment,
    /// `**`
    Anything,
    /// `**/` at the start of a segment: nothing, or whole segments.
    Segments,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Once,
    /// `?`
    Optional,
    /// `+`
    OneOrMore,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    negated: bool,
    units: Vec<(Unit, Repeat)>,
}

/// An ordered list of patterns: the last one that matches decides.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns {
    list: Vec<Pattern>,
}

impl Patterns {
    /// Adds a pattern.
    ///
    /// # Errors
    /// What is wrong with it, to be put after "the pattern … ".
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        self.list.push(parse(text)?);
        Ok(())
    }

    /// Whether a text is in. Only negative patterns never match anything.
    pub fn matches(&self, text: &str) -> bool {
        let text: Vec<char> = text.chars().collect();
        self.list.iter().rev().find(|pattern| pattern.matches(&text)).is_some_and(|pattern| !pattern.negated)
    }

    /// Whether any pattern, negated or not, matches: how `-ignore` lists are read.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

fn parse(text: &str) -> Result<Pattern, String> {
    if text.chars().count() > MAX_PATTERN_CHARS {
        return Err(format!("is longer than {MAX_PATTERN_CHARS} characters"));
    }
    let (negated, body) = match text.strip_prefix('!') {
        Some(body) => (true, body),
        None => (false, text),
    };
    if body.is_empty() {
        return Err("is empty".to_owned());
    }
    let mut units: Vec<(Unit, Repeat)> = Vec::new();
    let mut chars = body.chars().peekable();
    while let Some(c) = chars.next() {
        let unit = match c {
            '\\' => Unit::Char(chars.next().ok_or("ends with a `\\` that escapes nothing")?),
            '*' if chars.peek() == Some(&'*') => {
                while chars.peek() == Some(&'*') {
                    chars.next();
                }
                let starts_segment =
                    matches!(units.last(), None | Some((Unit::Char('/') | Unit::Segments, _)));
                if starts_segment && chars.peek() == Some(&'/') {
                    chars.next();
                    Unit::Segments
                } else {
                    Unit::Anything
                }
            }
            '*' => Unit::Segment,
            '[' => Unit::Class(class(&mut chars)?),
            '?' | '+' => {
                match units.last_mut() {
                    Some((Unit::Char(_) | Unit::Class(_), repeat)) => {
                        *repeat = if c == '?' { Repeat::Optional } else { Repeat::OneOrMore };
                    }
                    // After `*` there is nothing more to repeat.
                    Some(_) => {}
                    None => return Err(format!("starts with `{c}`, which repeats what is before it")),
                }
                continue;
            }
            other => Unit::Char(other),
        };
        units.push((unit, Repeat::Once));
    }
    Ok(Pattern { negated, units })
}

fn class(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<Vec<(char, char)>, String> {
    const OPEN: &str = "has a `[` without its `]`";
    let mut ranges = Vec::new();
    loop {
        let from = match chars.next().ok_or(OPEN)? {
            ']' if ranges.is_empty() => return Err("has an empty class `[]`".to_owned()),
            ']' => return Ok(ranges),
            '\\' => chars.next().ok_or(OPEN)?,
            c => c,
        };
        let mut to = from;
        if chars.peek() == Some(&'-') {
            let mut ahead = chars.clone();
            ahead.next();
            if let Some(end) = ahead.next().filter(|c| *c != ']') {
                to = end;
                *chars = ahead;
            }
        }
        if to < from {
            return Err(format!("has a range `{from}-{to}` that runs backwards"));
        }
        ranges.push((from, to));
    }
}

impl Unit {
    fn accepts(&self, c: char) -> bool {
        match self {
            Unit::Char(wanted) => *wanted == c,
            Unit::Class(ranges) => ranges.iter().any(|(from, to)| (*from..=*to).contains(&c)),
            Unit::Segment => c != '/',
            Unit::Anything | Unit::Segments => true,
        }
    }

    /// Whether it may match nothing, and goes on after a match.
    fn is_wild(&self) -> bool {
        matches!(self, Unit::Segment | Unit::Anything | Unit::Segments)
    }
}

impl Pattern {
    /// Walks all states of the pattern at once, so that no pattern takes exponential time.
    fn matches(&self, text: &[char]) -> bool {
        let count = self.units.len();
        let mut now = vec![false; count + 1];
        let mut next = vec![false; count + 1];
        self.enter(&mut now, 0, true);
        for c in text {
            next.fill(false);
            for (at, (unit, repeat)) in self.units.iter().enumerate() {
                if now.get(at) != Some(&true) || !unit.accepts(*c) {
                    continue;
                }
                match unit {
                    // Past it only after a slash; within it otherwise.
                    Unit::Segments => {
                        self.stay(&mut next, at);
                        if *c == '/' {
                            self.enter(&mut next, at + 1, true);
                        }
                    }
                    wild if wild.is_wild() => self.enter(&mut next, at, false),
                    _ => {
                        if *repeat == Repeat::OneOrMore {
                            self.stay(&mut next, at);
                        }
                        self.enter(&mut next, at + 1, true);
                    }
                }
            }
            std::mem::swap(&mut now, &mut next);
        }
        now.last() == Some(&true)
    }

    fn stay(&self, states: &mut [bool], at: usize) {
        if let Some(state) = states.get_mut(at) {
            *state = true;
        }
    }

    /// Marks a state, and all that can be reached from it without a character. `**/` can be skipped only where it is
    /// entered, not in the middle of a segment.
    fn enter(&self, states: &mut [bool], from: usize, fresh: bool) {
        let mut at = from;
        loop {
            self.stay(states, at);
            match self.units.get(at) {
                Some((Unit::Segments, _)) if !fresh && at == from => return,
                Some((unit, _)) if unit.is_wild() => at += 1,
                Some((_, Repeat::Optional)) => at += 1,
                _ => return,
            }
        }
    }
}
