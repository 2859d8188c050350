//! `.slipway.yml` at a repository's root: which files are reports, what makes a gate fail (docs/REPORTS.md), and what commits have
//! to be (docs/GITHUB.md).
//!
//! Deliberately absent: who reads it from where. Gates and rules of commits count as they stand at a commit that the job which is judged can't
//! write; patterns may come from the job's own workspace, since a job that hides its reports could as well not write them.

mod pattern;
mod read;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use pattern::Pattern;

use crate::diagnostics::{Diagnostic, Reporter};

/// The file's path in a repository.
pub const FILE: &str = ".slipway.yml";

/// The longest file, in bytes.
pub const MAX_FILE_BYTES: usize = 64 * 1024;

/// The most patterns, and the most forbidden licences.
pub const MAX_PATTERNS: usize = 100;
/// See [`MAX_PATTERNS`].
pub const MAX_LICENCES: usize = 500;

/// How bad a finding is; the worst is the greatest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// A note.
    Low,
    /// A warning.
    Medium,
    /// An error.
    High,
    /// An error of security that is nearly as bad as can be.
    Critical,
}

impl Severity {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::High, Self::Critical];

    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// What a file says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Patterns that replace the usual ones, one each; none: the usual ones.
    pub patterns: Option<Vec<String>>,
    /// The gates.
    pub gates: Gates,
    /// What commits have to be; none: whatever they are.
    pub commits: Option<CommitRules>,
}

/// What makes checks fail; each is there or not.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gates {
    /// Of coverage.
    pub coverage: Option<CoverageGate>,
    /// Of findings.
    pub findings: Option<FindingsGate>,
    /// Of licences.
    pub licences: Option<LicencesGate>,
}

impl Gates {
    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.coverage.is_none() && self.findings.is_none() && self.licences.is_none()
    }
}

/// What commits have to be. One of the first two is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CommitRules {
    /// What the first line of each message has to match.
    pub message: Option<Pattern>,
    /// Whether each has to have a signature that the forge verified.
    pub signed: bool,
    /// Whether what breaks a rule starts nothing.
    pub block: bool,
}

/// When coverage is not enough. Figures are hundredths of a percent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CoverageGate {
    /// The least.
    pub min: Option<u32>,
    /// How far below the base it may be.
    pub max_drop: Option<u32>,
}

/// Which findings fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FindingsGate {
    /// The least severity that does.
    pub fail_on: Severity,
    /// Only findings that the base does not have.
    pub new_only: bool,
}

/// Which licences fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LicencesGate {
    /// Ids of SPDX, or names; `*` at the end means whatever follows. Case is ignored.
    pub forbid: Vec<String>,
}

/// Reads a file.
///
/// # Errors
/// What is wrong with it, with line and column; then nothing of it counts.
pub fn parse(file: &str, text: &str) -> Result<Settings, Vec<Diagnostic>> {
    let mut reporter = Reporter::new(file, text);
    let settings = read::settings(&mut reporter);
    match settings {
        Some(settings) if !reporter.has_errors() => Ok(settings),
        _ => Err(reporter.finish()),
    }
}
