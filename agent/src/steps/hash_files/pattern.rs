//! The patterns of `hashFiles`, as `@actions/glob` reads them.
//!
//! Each line of each argument is a pattern; `#` starts a comment; `!` takes matches away again; patterns count in
//! order; a pattern also means everything below what it matches. Relative patterns start at the workspace.

use super::HashError;
use super::segment::Segment;

/// Most patterns, after splitting arguments into lines; implied ones do not count.
pub(super) const MAX_PATTERNS: usize = 4096;

/// What a pattern says of a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) file: bool,
    /// It matches, or something below it might.
    pub(super) descend: bool,
}

#[derive(Debug, Clone)]
pub(super) struct Pattern {
    negated: bool,
    /// It ends in `/` and so matches directories only.
    directories_only: bool,
    /// It was added for what lies below another pattern's matches.
    implied: bool,
    /// Segments of the absolute path.
    segments: Vec<Segment>,
}

/// All patterns, with the implied ones, in order.
pub(super) fn parse(arguments: &[String], workspace: &[String]) -> Result<Vec<Pattern>, HashError> {
    let mut patterns = Vec::new();
    let lines = arguments.iter().flat_map(|argument| argument.split('\n')).map(str::trim);
    for (count, line) in lines.filter(|line| !line.is_empty() && !line.starts_with('#')).enumerate() {
        if count >= MAX_PATTERNS {
            return Err(HashError::TooManyPatterns);
        }
        let Some(pattern) = parse_line(line, workspace)? else { continue };
        let below = (pattern.directories_only || pattern.segments.last() != Some(&Segment::AnyDepth))
            .then(|| pattern.below());
        patterns.push(pattern);
        patterns.extend(below);
    }
    Ok(patterns)
}

/// `None`: the pattern lies outside of the workspace, where nothing counts.
fn parse_line(line: &str, workspace: &[String]) -> Result<Option<Pattern>, HashError> {
    let mut text = line;
    let mut negated = false;
    while let Some(rest) = text.strip_prefix('!') {
        negated = !negated;
        text = rest.trim();
    }
    if text.is_empty() {
        return Err(HashError::EmptyPattern);
    }
    if text == "~" || text.starts_with("~/") {
        return Ok(None);
    }
    let rooted = text.starts_with('/');
    let written: Vec<Segment> = text.split('/').filter(|part| !part.is_empty()).map(Segment::parse).collect();
    let mut segments: Vec<Segment> = Vec::new();
    if !rooted {
        segments.extend(workspace.iter().map(|name| Segment::exactly(name)));
    }
    for (place, segment) in written.into_iter().enumerate() {
        match segment.literal().as_deref() {
            Some(".") if place == 0 && !rooted => {}
            Some("." | "..") => return Err(HashError::RelativePathing(text.to_owned())),
            _ => segments.push(segment),
        }
    }
    Ok(Some(Pattern { negated, directories_only: text.ends_with('/'), implied: false, segments }))
}

impl Segment {
    fn exactly(name: &str) -> Self {
        Self::Tokens(name.chars().map(super::segment::Token::Literal).collect())
    }
}

impl Pattern {
    fn below(&self) -> Self {
        let mut segments = self.segments.clone();
        segments.push(Segment::AnyDepth);
        Self { negated: self.negated, directories_only: false, implied: true, segments }
    }

    /// The literal names before the first wildcard.
    pub(super) fn search_path(&self) -> Vec<String> {
        self.segments.iter().map_while(Segment::literal).collect()
    }

    pub(super) fn is_negated(&self) -> bool {
        self.negated
    }

    /// Walks all places in the pattern at once, so the work is the product of both lengths whatever `**` there are.
    fn judge(&self, path: &[String]) -> (bool, bool) {
        let end = self.segments.len();
        let mut alive = vec![false; end + 1];
        if let Some(start) = alive.first_mut() {
            *start = true;
        }
        self.skip_depths(&mut alive);
        // Whether the last `**` has taken a name: an implied one must, a written one need not.
        let mut last_took_one = false;
        for name in path {
            let mut next = vec![false; end + 1];
            last_took_one = false;
            for (place, segment) in self.segments.iter().enumerate() {
                if !alive.get(place).copied().unwrap_or(false) || !segment.matches(name) {
                    continue;
                }
                let to = if *segment == Segment::AnyDepth { place } else { place + 1 };
                last_took_one |= to == place && place + 1 == end;
                if let Some(reached) = next.get_mut(to) {
                    *reached = true;
                }
            }
            self.skip_depths(&mut next);
            alive = next;
        }
        let reached = alive.get(end).copied().unwrap_or(false);
        let ends_in_depth = self.segments.last() == Some(&Segment::AnyDepth);
        let whole = reached && (last_took_one || !(self.implied && ends_in_depth));
        (whole, alive.contains(&true))
    }

    fn skip_depths(&self, alive: &mut [bool]) {
        for (place, segment) in self.segments.iter().enumerate() {
            if *segment == Segment::AnyDepth
                && alive.get(place).copied().unwrap_or(false)
                && let Some(after) = alive.get_mut(place + 1)
            {
                *after = true;
            }
        }
    }
}

/// What all patterns together say of a path.
pub(super) fn judge(patterns: &[Pattern], path: &[String]) -> Verdict {
    let (mut file, mut directory, mut partial) = (false, false, false);
    for pattern in patterns {
        let (whole, alive) = pattern.judge(path);
        if whole {
            directory = !pattern.negated;
            if !pattern.directories_only {
                file = !pattern.negated;
            }
        }
        partial |= alive && !pattern.negated;
    }
    Verdict { file, descend: partial || file || directory }
}
