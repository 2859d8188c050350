//! All test reports of a job.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Instant;

use sha2::{Digest as _, Sha256};

use super::find::{Opened, Root};
use super::parse::{Case, ReportError, Room, begins_as_report, parse};
use super::patterns::Patterns;
use crate::limits::{
    JUNIT_CASES_MAX, JUNIT_FILE_MAX_BYTES, JUNIT_FILES_MAX, JUNIT_HEAD_BYTES, JUNIT_NAME_MAX_BYTES,
    JUNIT_TEXT_MAX_BYTES, JUNIT_TIME, JUNIT_TOTAL_MAX_BYTES,
};

/// What is wanted of which job.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The agent's own folder, in which the workspace is.
    pub work: PathBuf,
    /// The workspace in it.
    pub workspace: PathBuf,
    /// Its path for the job's steps, which absolute patterns start with.
    pub seen: String,
    /// What the job's [`super::VARIABLE`] says, if it has one.
    pub variable: Option<String>,
    /// When the job began, Unix nanoseconds: older files are not its own.
    pub since_ns: u64,
    /// From when to when checkouts went on, likewise: what was written then came from a repository.
    pub checkouts: Vec<(u64, u64)>,
}

/// A report file and its cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Its path in the workspace.
    pub path: String,
    /// Its cases, in order.
    pub cases: Vec<Case>,
}

/// Something that a person should know; it fails nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The file in the workspace; empty: none in particular.
    pub file: String,
    /// Line and column in it, from 1; 0: none in particular.
    pub place: (usize, usize),
    /// A sentence.
    pub text: String,
}

/// What a job's reports say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Collected {
    /// In the order of their paths, folders first met first.
    pub reports: Vec<Report>,
    /// In order.
    pub warnings: Vec<Warning>,
}

impl Collected {
    fn warn(&mut self, file: &str, text: String) {
        self.warnings.push(Warning { file: file.to_owned(), place: (0, 0), text });
    }
}

/// Finds and reads. Blocks; takes [`JUNIT_TIME`] at most, unless the disk hangs. `clean` as for [`parse`].
#[must_use]
pub fn collect(wanted: &Wanted, clean: &dyn Fn(&str, usize) -> String) -> Collected {
    let mut collected = Collected::default();
    let patterns = match Patterns::new(wanted.variable.as_deref(), &wanted.seen) {
        Ok(Some(patterns)) => patterns,
        Ok(None) => return collected,
        Err(error) => {
            let text = format!("{}: {error} No test reports are read.", super::VARIABLE);
            collected.warn("", text);
            return collected;
        }
    };
    let root = match Root::open(&wanted.work, &wanted.workspace) {
        Ok(root) => root,
        Err(error) => {
            // A step may have removed its own workspace, or put a link there. Nobody who asked for nothing is told.
            if patterns.written {
                collected.warn("", format!("The workspace can't be read for test reports: {error}"));
            }
            return collected;
        }
    };
    let deadline = Instant::now() + JUNIT_TIME;
    let walked = root.walk(&patterns, deadline);
    if let Some(why) = walked.broke_off {
        let text = format!("Not all test reports are read: {why}. Name them in {}", super::VARIABLE);
        collected.warn("", text);
    }
    let mut files = Files {
        wanted,
        written: patterns.written,
        clean,
        room: Room { cases: JUNIT_CASES_MAX, text_bytes: JUNIT_TEXT_MAX_BYTES },
        bytes_left: JUNIT_TOTAL_MAX_BYTES,
        contents: HashSet::new(),
        left_out: 0,
        collected,
    };
    for path in walked.files {
        let full =
            files.full().or_else(|| (Instant::now() >= deadline).then(|| "it took too long".to_owned()));
        if let Some(why) = full {
            let text = format!(
                "Not all test reports are read: {why}. `{}` and what follows is left out",
                path.join("/")
            );
            files.collected.warn("", text);
            break;
        }
        files.take(&root, &path);
    }
    if files.left_out > 0 {
        let text = format!(
            "{} test cases are left out: of one job, {JUNIT_CASES_MAX} are kept, and {} MiB of their texts",
            files.left_out,
            JUNIT_TEXT_MAX_BYTES >> 20
        );
        files.collected.warn("", text);
    }
    files.collected
}

struct Files<'a> {
    wanted: &'a Wanted,
    /// Whoever wrote the patterns hears of files that are no reports.
    written: bool,
    clean: &'a dyn Fn(&str, usize) -> String,
    room: Room,
    bytes_left: u64,
    /// Digests of what was read: a copy says nothing new.
    contents: HashSet<[u8; 32]>,
    left_out: usize,
    collected: Collected,
}

impl Files<'_> {
    /// Why no further file is read.
    fn full(&self) -> Option<String> {
        if self.contents.len() >= JUNIT_FILES_MAX {
            return Some(format!("a job's reports are at most {JUNIT_FILES_MAX} files"));
        }
        let full = self.bytes_left == 0;
        full.then(|| format!("a job's reports are at most {} MiB", JUNIT_TOTAL_MAX_BYTES >> 20))
    }

    fn take(&mut self, root: &Root, path: &[String]) {
        let shown = path.join("/");
        let opened = match root.file(path) {
            Ok(Some(opened)) if self.is_own(&opened) => opened,
            Ok(_) => return,
            Err(error) => {
                self.collected.warn(&shown, format!("The test report `{shown}` can't be read: {error}"));
                return;
            }
        };
        let bytes = match self.read(opened) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(why) => {
                self.collected.warn(&shown, format!("The test report `{shown}` is not read: {why}"));
                return;
            }
        };
        if !self.contents.insert(Sha256::digest(&bytes).into()) {
            return;
        }
        match parse(&bytes, self.room, self.clean) {
            Ok(parsed) => {
                let text_bytes: usize = parsed.cases.iter().map(Case::text_bytes).sum();
                self.room.cases -= parsed.cases.len().min(self.room.cases);
                self.room.text_bytes -= text_bytes.min(self.room.text_bytes);
                self.left_out += parsed.left_out;
                let path = (self.clean)(&shown, JUNIT_NAME_MAX_BYTES);
                self.collected.reports.push(Report { path, cases: parsed.cases });
            }
            Err(ReportError::Other(_)) if !self.written => {}
            Err(error) => {
                let place = match &error {
                    ReportError::Broken { line, column, .. } => (*line, *column),
                    ReportError::Other(_) => (0, 0),
                };
                let text = format!("The test report `{shown}` does not count: {error}");
                self.collected.warnings.push(Warning { file: shown, place, text });
            }
        }
    }

    /// Whether the job wrote it, and no checkout did.
    fn is_own(&self, opened: &Opened) -> bool {
        let written_ns = opened.written_ns;
        let brought = |(from, to): &(u64, u64)| written_ns > *from && written_ns <= *to;
        written_ns >= self.wanted.since_ns && !self.wanted.checkouts.iter().any(brought)
    }

    /// Reads a file; none: it is another kind, which nobody asked for.
    fn read(&mut self, opened: Opened) -> Result<Option<Vec<u8>>, String> {
        let mut bytes = Vec::new();
        let mut file = opened.file;
        let said = |error: std::io::Error| error.to_string();
        file.by_ref().take(JUNIT_HEAD_BYTES).read_to_end(&mut bytes).map_err(said)?;
        if !self.written && !begins_as_report(&bytes) {
            return Ok(None);
        }
        // It may grow while it is read.
        let most = JUNIT_FILE_MAX_BYTES.min(self.bytes_left);
        if opened.size_bytes <= most {
            let rest = most + 1 - bytes.len() as u64;
            file.take(rest).read_to_end(&mut bytes).map_err(said)?;
        }
        let size_bytes = opened.size_bytes.max(bytes.len() as u64);
        if size_bytes > JUNIT_FILE_MAX_BYTES {
            return Err(format!("it is larger than {} MiB", JUNIT_FILE_MAX_BYTES >> 20));
        }
        if size_bytes > self.bytes_left {
            self.bytes_left = 0;
            return Err(format!("a job's reports are at most {} MiB", JUNIT_TOTAL_MAX_BYTES >> 20));
        }
        self.bytes_left -= size_bytes;
        Ok(Some(bytes))
    }
}
