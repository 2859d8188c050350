//! The lock file of a repository's actions: which commit each version is to be.
//!
//! ```text
//! # by `slipway lock`
//! actions/setup-node@v4 49933ea5288caeca8642d1e84afbd3f7d6820020
//! ```
//!
//! Invariant: a file that is not wholly understood is refused, so that no version is taken for pinned that is not.

use std::collections::BTreeMap;

use crate::diagnostics::{Diagnostic, Severity};

/// The file's path in a repository.
pub const LOCK_FILE: &str = ".github/slipway-actions.lock";

/// The longest lock file, in bytes.
pub const LOCK_MAX_BYTES: usize = 1 << 20;

/// What one line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LockLine<'a> {
    /// Nothing, or a comment.
    Nothing,
    /// `owner/repo@ref commit`
    Pin {
        /// `owner/repo@ref`, as written.
        version: &'a str,
        /// The commit, as written.
        commit: &'a str,
    },
}

/// The name under which a version is pinned: case does not matter.
#[must_use]
pub fn pin_key(repository: &str, git_ref: &str) -> String {
    format!("{repository}@{git_ref}").to_ascii_lowercase()
}

/// Reads one line.
///
/// # Errors
/// What would do.
pub fn read_line(line: &str) -> Result<LockLine<'_>, String> {
    let text = line.trim();
    if text.is_empty() || text.starts_with('#') {
        return Ok(LockLine::Nothing);
    }
    // A comment may follow; a ref with a `#` has no space before it.
    let text = text.split_once(" #").map_or(text, |(text, _)| text.trim_end());
    let mut words = text.split_whitespace();
    let (Some(version), Some(commit), None) = (words.next(), words.next(), words.next()) else {
        return Err("expected `owner/repo@ref`, a space and a commit".to_owned());
    };
    let named = version.split_once('@').filter(|(repository, git_ref)| {
        let parts: Vec<&str> = repository.split('/').collect();
        parts.len() == 2 && parts.iter().all(|part| !part.is_empty()) && !git_ref.is_empty()
    });
    if named.is_none() {
        return Err(format!("`{}` is not `owner/repo@ref`", version.escape_debug()));
    }
    if commit.len() != 40 || !commit.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(format!("`{}` is no commit of 40 hexadecimal digits", commit.escape_debug()));
    }
    Ok(LockLine::Pin { version, commit })
}

/// Reads a lock file: commits, by [`pin_key`].
///
/// # Errors
/// The first line that is wrong.
pub fn read(text: &str) -> Result<BTreeMap<String, String>, Diagnostic> {
    let mut pins = BTreeMap::new();
    if text.len() > LOCK_MAX_BYTES {
        return Err(wrong(1, format!("the file is longer than {LOCK_MAX_BYTES} bytes")));
    }
    for (number, line) in (1..).zip(text.lines()) {
        let (version, commit) = match read_line(line).map_err(|message| wrong(number, message))? {
            LockLine::Nothing => continue,
            LockLine::Pin { version, commit } => (version, commit.to_ascii_lowercase()),
        };
        if let Some(before) = pins.insert(version.to_ascii_lowercase(), commit.clone())
            && before != commit
        {
            return Err(wrong(number, format!("`{version}` has another commit on a line above")));
        }
    }
    Ok(pins)
}

fn wrong(line: u32, message: String) -> Diagnostic {
    Diagnostic {
        file: LOCK_FILE.to_owned(),
        line,
        column: 1,
        severity: Severity::Error,
        code: "lock-file".into(),
        message,
        hint: Some("write `owner/repo@ref COMMIT` on each line, or let `slipway lock` write it".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "ABCDEF2222222222222222222222222222222222";

    #[test]
    fn pins_are_read_whatever_their_case() {
        let text = format!("# all\n\nActions/Cache@V4 {ONE}\r\n  o/r@feature/x#1\t{TWO}  # why\n");
        let pins = read(&text).unwrap();
        assert_eq!(pins.get(&pin_key("actions/cache", "v4")).unwrap(), ONE);
        assert_eq!(pins.get(&pin_key("O/R", "feature/x#1")).unwrap(), &TWO.to_ascii_lowercase());
        assert_eq!(read("").unwrap(), BTreeMap::new());
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_line() {
        for (line, words) in [
            ("actions/cache@v4".to_owned(), "expected"),
            (format!("actions/cache@v4 {ONE} x"), "expected"),
            (format!("actions/cache {ONE}"), "owner/repo@ref"),
            (format!("actions/cache/restore@v4 {ONE}"), "owner/repo@ref"),
            (format!("cache@v4 {ONE}"), "owner/repo@ref"),
            (format!("a/b@ {ONE}"), "owner/repo@ref"),
            ("a/b@v1 1111111".to_owned(), "40 hexadecimal"),
            (format!("A/b@v1 {TWO}"), "another commit"),
        ] {
            let refused = read(&format!("a/b@v1 {ONE}\n{line}\n")).unwrap_err();
            assert_eq!((refused.line, refused.file.as_str()), (2, LOCK_FILE), "{line}");
            assert!(refused.message.contains(words), "{line}: {}", refused.message);
        }
    }
}
