//! Patterns of whole paths.

use thiserror::Error;

use crate::segment::{Segment, Token};

/// Most patterns, after splitting arguments into lines; implied ones do not count.
pub const MAX_PATTERNS: usize = 4096;

/// Why a pattern can't be used; texts as GitHub's.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PatternError {
    /// `.` or `..` inside of it.
    #[error("Invalid pattern '{0}'. Relative pathing '.' and '..' is not allowed.")]
    RelativePathing(String),
    /// Nothing after `!`.
    #[error("pattern cannot be empty")]
    Empty,
    /// More than a workflow can sensibly name.
    #[error("There are more than {MAX_PATTERNS} patterns")]
    TooMany,
}

/// How patterns are read.
#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Where relative patterns start: names from the root.
    pub folder: &'a [String],
    /// What `~` means: names from the root. None: a pattern that starts with it is left out.
    pub home: Option<&'a [String]>,
    /// Whether a pattern also means everything below what it matches.
    pub descendants: bool,
}

/// What patterns say of a path.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Verdict {
    /// It matches if it is a file.
    pub file: bool,
    /// It matches if it is a directory.
    pub directory: bool,
    /// It matches, or something below it might.
    pub descend: bool,
}

/// One line.
#[derive(Debug, Clone)]
pub struct Pattern {
    negated: bool,
    /// It ends in `/` and so matches directories only.
    directories_only: bool,
    /// It was added for what lies below another pattern's matches.
    implied: bool,
    /// Segments of the absolute path.
    segments: Vec<Segment>,
}

/// The names of an absolute path, from the root.
#[must_use]
pub fn names(path: &str) -> Vec<String> {
    path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// All patterns of these texts, with the implied ones, in order.
///
/// # Errors
/// [`PatternError`]
pub fn parse<'a>(
    texts: impl IntoIterator<Item = &'a str>,
    options: Options<'_>,
) -> Result<Vec<Pattern>, PatternError> {
    let mut patterns = Vec::new();
    let lines = texts.into_iter().flat_map(|text| text.split('\n')).map(str::trim);
    for (count, line) in lines.filter(|line| !line.is_empty() && !line.starts_with('#')).enumerate() {
        if count >= MAX_PATTERNS {
            return Err(PatternError::TooMany);
        }
        let Some(pattern) = parse_line(line, options)? else { continue };
        let ends_open = !pattern.directories_only && pattern.segments.last() == Some(&Segment::AnyDepth);
        let below = (options.descendants && !ends_open).then(|| pattern.below());
        patterns.push(pattern);
        patterns.extend(below);
    }
    Ok(patterns)
}

/// `None`: the pattern starts at a home that nobody has.
fn parse_line(line: &str, options: Options<'_>) -> Result<Option<Pattern>, PatternError> {
    let mut text = line;
    let mut negated = false;
    while let Some(rest) = text.strip_prefix('!') {
        negated = !negated;
        text = rest.trim();
    }
    if text.is_empty() {
        return Err(PatternError::Empty);
    }
    let at_home = text == "~" || text.starts_with("~/");
    let rooted = text.starts_with('/');
    let start = match (at_home, rooted, options.home) {
        (true, _, None) => return Ok(None),
        (true, _, Some(home)) => home,
        (false, true, _) => &[],
        (false, false, _) => options.folder,
    };
    let written: Vec<Segment> = text
        .split('/')
        .filter(|part| !part.is_empty())
        .skip(usize::from(at_home))
        .map(Segment::parse)
        .collect();
    let mut segments: Vec<Segment> = start.iter().map(|name| Segment::exactly(name)).collect();
    for (place, segment) in written.into_iter().enumerate() {
        match segment.literal().as_deref() {
            Some(".") if place == 0 && !rooted && !at_home => {}
            Some("." | "..") => return Err(PatternError::RelativePathing(text.to_owned())),
            _ => segments.push(segment),
        }
    }
    Ok(Some(Pattern { negated, directories_only: text.ends_with('/'), implied: false, segments }))
}

impl Segment {
    fn exactly(name: &str) -> Self {
        Self::Tokens(name.chars().map(Token::Literal).collect())
    }
}

impl Pattern {
    fn below(&self) -> Self {
        let mut segments = self.segments.clone();
        segments.push(Segment::AnyDepth);
        Self { negated: self.negated, directories_only: false, implied: true, segments }
    }

    /// The literal names before the first wildcard.
    #[must_use]
    pub fn search_path(&self) -> Vec<String> {
        self.segments.iter().map_while(Segment::literal).collect()
    }

    /// Whether it takes matches away.
    #[must_use]
    pub fn is_negated(&self) -> bool {
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

/// Where to start looking; none lies below another. Order as in `getSearchPaths`.
#[must_use]
pub fn search_paths(patterns: &[Pattern]) -> Vec<Vec<String>> {
    let candidates: Vec<Vec<String>> =
        patterns.iter().filter(|pattern| !pattern.is_negated()).map(Pattern::search_path).collect();
    let mut starts: Vec<Vec<String>> = Vec::new();
    for candidate in &candidates {
        let has_ancestor = candidates
            .iter()
            .any(|other| other.len() < candidate.len() && candidate.starts_with(other.as_slice()));
        if !has_ancestor && !starts.contains(candidate) {
            starts.push(candidate.clone());
        }
    }
    starts
}

/// What all patterns together say of a path, given as its names from the root.
#[must_use]
pub fn judge(patterns: &[Pattern], path: &[String]) -> Verdict {
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
    Verdict { file, directory, descend: partial || file || directory }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_home_and_no_descendants() {
        let (folder, home) = (names("/w/r"), names("/home/me"));
        let options = Options { folder: &folder, home: Some(&home), descendants: false };
        let patterns = parse(["~/.cargo\n!~/.cargo/x*\ntarget\n~"], options).unwrap();
        let matches = |path: &str| judge(&patterns, &names(path)).directory;
        assert!(matches("/home/me/.cargo") && matches("/w/r/target") && matches("/home/me"));
        assert!(!matches("/home/me/.cargo/bin") && !matches("/w/r/target/debug"));
        assert_eq!(search_paths(&patterns), [names("/w/r/target"), home.clone()]);
        let deep = parse(["~/.cargo\n!~/.cargo/x*"], Options { descendants: true, ..options }).unwrap();
        assert!(judge(&deep, &names("/home/me/.cargo/bin")).file);
        assert!(!judge(&deep, &names("/home/me/.cargo/xy")).file);
        assert!(parse(["~/../x"], options).is_err());
        let homeless = Options { home: None, ..options };
        assert!(parse(["~/x"], homeless).unwrap().is_empty());
    }
}
