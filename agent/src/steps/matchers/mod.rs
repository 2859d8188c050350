//! Problem matchers: patterns that turn a tool's messages into annotations (`::add-matcher::FILE`).
//!
//! The rules are those of GitHub's runner (`IssueMatcher`, `OutputManager`): the newest matcher comes first, a new one
//! of the same owner takes the place of the old, colours are not looked at, and a message may stretch over several
//! lines. A step never fails for a matcher: a file that can't be used is a warning, and a pattern that takes too long is
//! dropped.
//!
//! Deliberately absent: reading the file (the runner does, where the job's files are).

mod config;
mod progress;

use serde::{Deserialize, Serialize};

use super::annotations::{Annotation, Level};
use config::{Config, Pattern};
use progress::{Found, Progress};

/// Most matchers of one job.
pub const MAX_MATCHERS: usize = 64;

/// Longest line that is looked at, in bytes; longer ones are nobody's message.
const MAX_LINE_BYTES: usize = 16 * 1024;

/// A pattern that gave up this often is dropped, with its matcher.
const MAX_OVERRUNS: u8 = 3;

/// The matchers of a job, newest first, and where each stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Matchers {
    list: Vec<Matcher>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Matcher {
    config: Config,
    progress: Progress,
    overruns: u8,
    /// Made from `config` when it is first used.
    #[serde(skip)]
    compiled: Option<Vec<fancy_regex::Regex>>,
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        (&self.config, &self.progress, self.overruns) == (&other.config, &other.progress, other.overruns)
    }
}

impl Eq for Matcher {}

impl Matchers {
    /// Takes the matchers of a file.
    ///
    /// # Errors
    /// A sentence about the file.
    pub fn add(&mut self, file: &[u8]) -> Result<(), String> {
        for config in config::read(file)? {
            let compiled = compile(&config)?;
            self.remove(&config.owner);
            if self.list.len() >= MAX_MATCHERS {
                return Err(format!("a job has at most {MAX_MATCHERS} problem matchers"));
            }
            let progress = Progress::new(config.patterns.len());
            self.list.insert(0, Matcher { config, progress, overruns: 0, compiled: Some(compiled) });
        }
        Ok(())
    }

    /// Removes the matcher of an owner.
    pub fn remove(&mut self, owner: &str) {
        self.list.retain(|matcher| !matcher.config.owner.eq_ignore_ascii_case(owner));
    }

    /// Removes the matchers of a file.
    ///
    /// # Errors
    /// A sentence about the file.
    pub fn remove_file(&mut self, file: &[u8]) -> Result<(), String> {
        for config in config::read(file)? {
            self.remove(&config.owner);
        }
        Ok(())
    }

    /// Whether no line is looked at.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Messages do not stretch from one step to another.
    pub fn restart(&mut self) {
        for matcher in &mut self.list {
            matcher.progress = Progress::new(matcher.config.patterns.len());
        }
    }

    /// What a line says, if it completes a message. `workspace`: as for [`Annotation::from_command`].
    pub fn look(&mut self, line: &[u8], workspace: &str) -> Option<Annotation> {
        if self.list.is_empty() || line.len() > MAX_LINE_BYTES {
            return None;
        }
        let text = without_colours(&String::from_utf8_lossy(line));
        let mut found = None;
        for (index, matcher) in self.list.iter_mut().enumerate() {
            if let Some(annotation) = matcher.look(&text, workspace) {
                found = Some((index, annotation));
                break;
            }
        }
        self.list.retain(|matcher| matcher.overruns < MAX_OVERRUNS);
        let (index, annotation) = found?;
        // What others had begun was not meant for them.
        for (other, matcher) in self.list.iter_mut().enumerate() {
            if other != index {
                matcher.progress = Progress::new(matcher.config.patterns.len());
            }
        }
        Some(annotation)
    }
}

impl Matcher {
    fn look(&mut self, text: &str, workspace: &str) -> Option<Annotation> {
        if self.compiled.is_none() {
            // It was compiled once, when it was added.
            self.compiled = compile(&self.config).ok();
        }
        let compiled = self.compiled.as_deref()?;
        let mut overran = false;
        let mut matched = |index: usize| {
            let captures = match compiled.get(index)?.captures(text) {
                Ok(captures) => captures?,
                Err(_) => {
                    overran = true;
                    return None;
                }
            };
            let group = |number: &Option<usize>| {
                let group = captures.get((*number)?)?.as_str();
                (!group.is_empty()).then(|| group.to_owned())
            };
            self.config.patterns.get(index).map(|pattern| Found::of(pattern, group))
        };
        let found = self.progress.step(&self.config.patterns, &mut matched);
        self.overruns += u8::from(overran);
        found.map(|found| self.annotation(found, workspace))
    }

    fn annotation(&self, found: Found, workspace: &str) -> Annotation {
        let severity = found.severity.or_else(|| self.config.severity.clone()).unwrap_or_default();
        let level = match severity.to_ascii_lowercase().as_str() {
            "notice" => Level::Notice,
            "warning" => Level::Warning,
            _ => Level::Error,
        };
        let number = |text: Option<String>| text.and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let (line, column) = (number(found.line), number(found.column));
        let file = found.file.map(|file| place(&file, found.from_path.as_deref())).unwrap_or_default();
        let file = file.strip_prefix(workspace).map_or(file.as_str(), |rest| rest.trim_start_matches('/'));
        Annotation {
            title: found.code.unwrap_or_default(),
            file: file.trim_start_matches("./").to_owned(),
            line,
            end_line: line,
            column,
            end_column: column,
            ..Annotation::plain(level, &found.message.unwrap_or_default())
        }
    }
}

/// A file named relative to where another lies (a project's file).
fn place(file: &str, from: Option<&str>) -> String {
    match from.and_then(|from| from.rsplit_once('/')) {
        Some((folder, _)) if !file.starts_with('/') => format!("{folder}/{file}"),
        _ => file.to_owned(),
    }
}

fn compile(config: &Config) -> Result<Vec<fancy_regex::Regex>, String> {
    let compile = |pattern: &Pattern| {
        fancy_regex::RegexBuilder::new(&pattern.regexp)
            .backtrack_limit(config::BACKTRACKS_MAX)
            .delegate_size_limit(config::REGEX_MAX_BYTES)
            .build()
            .map_err(|error| {
                format!("the matcher `{}` has a pattern that can't be used: {error}", config.owner)
            })
    };
    config.patterns.iter().map(compile).collect()
}

/// The text without escape sequences for colours.
fn without_colours(text: &str) -> String {
    if !text.contains('\u{1b}') {
        return text.to_owned();
    }
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        kept.push_str(before);
        let code = after.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';');
        rest = code.strip_prefix(['m', 'K']).unwrap_or(code);
    }
    kept.push_str(rest);
    kept
}

#[cfg(test)]
mod tests;
