//! All reports of a job.

use std::collections::HashSet;
use std::io::Read as _;
use std::path::PathBuf;
use std::time::Instant;

use sha2::{Digest as _, Sha256};
use slipway_workflow::settings;

use super::find::{Opened, Root};
use super::junit::{Case, ReportError, Room, begins_as_report, parse};
use super::others::{Kind, Others, Rooms};
use super::patterns::{Patterns, Sets};
use super::place::Named;
use crate::limits::{
    JUNIT_CASES_MAX, JUNIT_TEXT_MAX_BYTES, REPORTS_FILE_MAX_BYTES, REPORTS_FILES_MAX, REPORTS_HEAD_BYTES,
    REPORTS_NAME_MAX_BYTES, REPORTS_TIME, REPORTS_TOTAL_MAX_BYTES,
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
    /// What [`super::OTHERS_VARIABLE`] says, or else `.slipway.yml`, in the same form.
    pub others: Option<String>,
    /// When the job began, Unix nanoseconds: older files are not its own.
    pub since_ns: u64,
    /// From when to when checkouts went on, likewise: what was written then came from a repository.
    pub checkouts: Vec<(u64, u64)>,
}

/// A file of test cases.
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
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Collected {
    /// Test reports in the order of their paths, folders first met first.
    pub reports: Vec<Report>,
    /// All others.
    pub others: Others,
    /// In order.
    pub warnings: Vec<Warning>,
}

impl Collected {
    fn warn(&mut self, file: &str, text: String) {
        self.warnings.push(Warning { file: file.to_owned(), place: (0, 0), text });
    }
}

/// Finds and reads. Blocks; takes [`REPORTS_TIME`] at most, unless the disk hangs. `clean` as for [`parse`].
#[must_use]
pub fn collect(wanted: &Wanted, clean: &dyn Fn(&str, usize) -> String) -> Collected {
    let mut collected = Collected::default();
    if off(&wanted.variable) && off(&wanted.others) {
        return collected;
    }
    let root = match Root::open(&wanted.work, &wanted.workspace) {
        Ok(root) => root,
        Err(error) => {
            // A step may have removed its own workspace, or put a link there. Nobody who asked for nothing is told.
            if wanted.variable.is_some() || wanted.others.is_some() {
                collected.warn("", format!("The workspace can't be read for reports: {error}"));
            }
            return collected;
        }
    };
    let asked = wanted.others.clone().or_else(|| of_repository(&root, &mut collected));
    let mut use_or_warn = |found: Result<Option<Patterns>, _>, variable: &str, what: &str| match found {
        Ok(patterns) => patterns,
        Err(error) => {
            let error: slipway_glob::PatternError = error;
            collected.warn("", format!("{variable}: {error} No {what} are read."));
            None
        }
    };
    let tests = Patterns::tests(wanted.variable.as_deref(), &wanted.seen);
    let tests = use_or_warn(tests, super::VARIABLE, "test reports");
    let others = Patterns::others(asked.as_deref(), &wanted.seen);
    let others = use_or_warn(others, super::OTHERS_VARIABLE, "other reports");
    let sets = Sets { tests, others };
    if sets.tests.is_none() && sets.others.is_none() {
        return collected;
    }
    let deadline = Instant::now() + REPORTS_TIME;
    let walked = root.walk(&sets, deadline);
    if let Some(why) = walked.broke_off {
        let text = format!(
            "Not all reports are read: {why}. Name them in {} and {}",
            super::VARIABLE,
            super::OTHERS_VARIABLE
        );
        collected.warn("", text);
    }
    let mut files = Files {
        wanted,
        sets,
        clean,
        room: Room { cases: JUNIT_CASES_MAX, text_bytes: JUNIT_TEXT_MAX_BYTES },
        bytes_left: REPORTS_TOTAL_MAX_BYTES,
        contents: HashSet::new(),
        left_out: 0,
        rooms: Rooms::default(),
        others_left_out: 0,
        collected,
    };
    for path in walked.files {
        let full =
            files.full().or_else(|| (Instant::now() >= deadline).then(|| "it took too long".to_owned()));
        if let Some(why) = full {
            let text =
                format!("Not all reports are read: {why}. `{}` and what follows is left out", path.join("/"));
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
    if files.others_left_out > 0 {
        let text = format!(
            "{} findings or components are left out: there is no room for more",
            files.others_left_out
        );
        files.collected.warn("", text);
    }
    files.collected
}

/// Whether a variable says that nothing is read.
fn off(variable: &Option<String>) -> bool {
    variable.as_ref().is_some_and(|text| text.trim().is_empty())
}

/// The patterns of the repository's own file, as the workspace has it; what is wrong with that is told.
fn of_repository(root: &Root, collected: &mut Collected) -> Option<String> {
    let opened = root.file(&[settings::FILE.to_owned()]).ok()??;
    let mut text = String::new();
    let most = settings::MAX_FILE_BYTES as u64 + 1;
    if let Err(error) = opened.file.take(most).read_to_string(&mut text) {
        collected.warn(settings::FILE, format!("{} can't be read: {error}", settings::FILE));
        return None;
    }
    match settings::parse(settings::FILE, &text) {
        Ok(settings) => settings.patterns.map(|patterns| patterns.join("\n")),
        Err(found) => {
            for one in found.into_iter().take(1) {
                let place = (one.line as usize, one.column as usize);
                let text = format!("{one}. The usual reports are read");
                collected.warnings.push(Warning { file: settings::FILE.to_owned(), place, text });
            }
            None
        }
    }
}

struct Files<'a> {
    wanted: &'a Wanted,
    /// Whoever wrote patterns hears of files that are no reports.
    sets: Sets,
    clean: &'a dyn Fn(&str, usize) -> String,
    room: Room,
    bytes_left: u64,
    /// Digests of what was read: a copy says nothing new.
    contents: HashSet<[u8; 32]>,
    left_out: usize,
    rooms: Rooms,
    others_left_out: u64,
    collected: Collected,
}

/// What a file is read as, and whether somebody named it.
struct Kept {
    /// None: test cases.
    kind: Option<Kind>,
    named: bool,
    bytes: Vec<u8>,
}

impl Files<'_> {
    /// Why no further file is read.
    fn full(&self) -> Option<String> {
        if self.contents.len() >= REPORTS_FILES_MAX {
            return Some(format!("a job's reports are at most {REPORTS_FILES_MAX} files"));
        }
        let full = self.bytes_left == 0;
        full.then(|| format!("a job's reports are at most {} MiB", REPORTS_TOTAL_MAX_BYTES >> 20))
    }

    fn take(&mut self, root: &Root, path: &[String]) {
        let shown = path.join("/");
        let opened = match root.file(path) {
            Ok(Some(opened)) if self.is_own(&opened) => opened,
            Ok(_) => return,
            Err(error) => {
                self.collected.warn(&shown, format!("The report `{shown}` can't be read: {error}"));
                return;
            }
        };
        let kept = match self.read(opened, path) {
            Ok(Some(kept)) => kept,
            Ok(None) => return,
            Err(why) => {
                self.collected.warn(&shown, format!("The report `{shown}` is not read: {why}"));
                return;
            }
        };
        if !self.contents.insert(Sha256::digest(&kept.bytes).into()) {
            return;
        }
        let result = match kept.kind {
            None => self.take_tests(&shown, &kept.bytes),
            Some(kind) => self.take_other(kind, &shown, &kept.bytes),
        };
        match result {
            Ok(()) => {}
            Err(ReportError::Other(_)) if !kept.named => {}
            Err(error) => {
                let place = match &error {
                    ReportError::Broken { line, column, .. } => (*line, *column),
                    ReportError::Other(_) => (0, 0),
                };
                let what = if kept.kind.is_none() { "test report" } else { "report" };
                let text = format!("The {what} `{shown}` does not count: {error}");
                self.collected.warnings.push(Warning { file: shown, place, text });
            }
        }
    }

    fn take_tests(&mut self, shown: &str, bytes: &[u8]) -> Result<(), ReportError> {
        let parsed = parse(bytes, self.room, self.clean)?;
        let text_bytes: usize = parsed.cases.iter().map(Case::text_bytes).sum();
        self.room.cases -= parsed.cases.len().min(self.room.cases);
        self.room.text_bytes -= text_bytes.min(self.room.text_bytes);
        self.left_out += parsed.left_out;
        let path = (self.clean)(shown, REPORTS_NAME_MAX_BYTES);
        self.collected.reports.push(Report { path, cases: parsed.cases });
        Ok(())
    }

    fn take_other(&mut self, kind: Kind, shown: &str, bytes: &[u8]) -> Result<(), ReportError> {
        let named = Named { clean: self.clean, workspace: &self.wanted.seen };
        let path = named.name(shown);
        self.others_left_out += self.collected.others.take(kind, path, bytes, &named, &mut self.rooms)?;
        Ok(())
    }

    /// Whether the job wrote it, and no checkout did.
    fn is_own(&self, opened: &Opened) -> bool {
        let written_ns = opened.written_ns;
        let brought = |(from, to): &(u64, u64)| written_ns > *from && written_ns <= *to;
        written_ns >= self.wanted.since_ns && !self.wanted.checkouts.iter().any(brought)
    }

    /// Reads a file; none: it is another kind, which nobody asked for.
    fn read(&mut self, opened: Opened, path: &[String]) -> Result<Option<Kept>, String> {
        let mut bytes = Vec::new();
        let mut file = opened.file;
        let said = |error: std::io::Error| error.to_string();
        file.by_ref().take(REPORTS_HEAD_BYTES).read_to_end(&mut bytes).map_err(said)?;
        let wanted_in =
            |set: &Option<Patterns>| set.as_ref().filter(|set| set.wants_file(path)).map(|set| set.written);
        let (tests, others) = (wanted_in(&self.sets.tests), wanted_in(&self.sets.others));
        let (is_tests, kind) = (begins_as_report(&bytes), Kind::of(&bytes));
        // Whoever named a file hears why it is no report.
        let (kind, named) = match (tests, others) {
            (Some(named), _) if is_tests => (None, named),
            (_, Some(named)) if kind.is_some() => (kind, named),
            (Some(true), _) => (None, true),
            (_, Some(true)) if !is_tests => return Err("it is no report of a kind that is known".to_owned()),
            _ => return Ok(None),
        };
        // It may grow while it is read.
        let most = REPORTS_FILE_MAX_BYTES.min(self.bytes_left);
        if opened.size_bytes <= most {
            let rest = most + 1 - bytes.len() as u64;
            file.take(rest).read_to_end(&mut bytes).map_err(said)?;
        }
        let size_bytes = opened.size_bytes.max(bytes.len() as u64);
        if size_bytes > REPORTS_FILE_MAX_BYTES {
            return Err(format!("it is larger than {} MiB", REPORTS_FILE_MAX_BYTES >> 20));
        }
        if size_bytes > self.bytes_left {
            self.bytes_left = 0;
            return Err(format!("a job's reports are at most {} MiB", REPORTS_TOTAL_MAX_BYTES >> 20));
        }
        self.bytes_left -= size_bytes;
        Ok(Some(Kept { kind, named, bytes }))
    }
}
