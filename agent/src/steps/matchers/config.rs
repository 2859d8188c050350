//! A matcher's file, as people write it (`docs/problem-matchers.md` of GitHub's toolkit).

use serde::{Deserialize, Serialize};

/// Largest file.
const MAX_FILE_BYTES: usize = 256 * 1024;

/// Most patterns of one matcher.
const MAX_PATTERNS: usize = 32;

/// How often one match may try again.
pub(super) const BACKTRACKS_MAX: usize = 100_000;

/// Largest compiled pattern.
pub(super) const REGEX_MAX_BYTES: usize = 1024 * 1024;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    problem_matcher: Vec<Config>,
}

/// One matcher.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Config {
    pub(super) owner: String,
    #[serde(default)]
    pub(super) severity: Option<String>,
    #[serde(rename = "pattern")]
    pub(super) patterns: Vec<Pattern>,
}

/// One line of its messages; numbers are groups of the expression.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Pattern {
    pub(super) regexp: String,
    #[serde(default)]
    pub(super) file: Option<usize>,
    #[serde(default)]
    pub(super) from_path: Option<usize>,
    #[serde(default)]
    pub(super) line: Option<usize>,
    #[serde(default)]
    pub(super) column: Option<usize>,
    #[serde(default)]
    pub(super) severity: Option<usize>,
    #[serde(default)]
    pub(super) code: Option<usize>,
    #[serde(default)]
    pub(super) message: Option<usize>,
    #[serde(default, rename = "loop")]
    pub(super) repeats: bool,
}

/// Reads a file.
///
/// # Errors
/// A sentence.
pub(super) fn read(file: &[u8]) -> Result<Vec<Config>, String> {
    if file.len() > MAX_FILE_BYTES {
        return Err(format!("it is larger than {MAX_FILE_BYTES} bytes"));
    }
    let file = file.strip_prefix(b"\xef\xbb\xbf").unwrap_or(file);
    let file: File = serde_json::from_slice(file).map_err(|error| format!("it is no matcher: {error}"))?;
    for matcher in &file.problem_matcher {
        let wrong = |what: &str| Err(format!("the matcher `{}` {what}", matcher.owner));
        let last = matcher.patterns.len().saturating_sub(1);
        if matcher.owner.is_empty() {
            return Err("a matcher has no owner".to_owned());
        }
        if matcher.patterns.is_empty() || matcher.patterns.len() > MAX_PATTERNS {
            return wrong(&format!("must have 1 to {MAX_PATTERNS} patterns"));
        }
        if matcher.patterns.iter().enumerate().any(|(index, pattern)| pattern.repeats && index != last) {
            return wrong("loops in another than its last pattern");
        }
        if matcher.patterns.first().is_some_and(|pattern| pattern.repeats) {
            return wrong("loops in its only pattern");
        }
        if matcher.patterns.iter().all(|pattern| pattern.message.is_none()) {
            return wrong("says nowhere where the message is");
        }
    }
    Ok(file.problem_matcher)
}
