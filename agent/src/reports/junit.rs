//! Reads one report, from its first byte to its last: nothing but the cases is kept.
//!
//! There is no standard; this reads what the writers have in common (`testsuites`, nested `testsuite`, `testcase` with at most
//! one of `failure`, `error` and `skipped`) and Surefire's reruns. Elements that it does not know mean nothing. A document type
//! is skipped, so there are no entities to expand.

use quick_xml::Reader;
use quick_xml::escape::{resolve_xml_entity, unescape};
use quick_xml::events::{BytesRef, BytesStart, Event};
use thiserror::Error;

use crate::limits::{JUNIT_MESSAGE_MAX_BYTES, REPORTS_NAME_MAX_BYTES};

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing was wrong.
    Passed,
    /// It was not as expected.
    Failed,
    /// It did not get as far as that.
    Error,
    /// It did not run, or was expected to fail.
    Skipped,
    /// It failed first and passed when it ran again.
    Flaky,
}

impl Outcome {
    /// In one word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Error => "error",
            Self::Skipped => "skipped",
            Self::Flaky => "flaky",
        }
    }
}

/// A test case. Texts are empty where a report says nothing; names have at most [`REPORTS_NAME_MAX_BYTES`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// The innermost suite's name.
    pub suite: String,
    /// `classname`
    pub class: String,
    /// `name`
    pub name: String,
    /// The source file.
    pub file: String,
    /// Its line, from 1; 0: not said.
    pub line: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// How long it took, in microseconds.
    pub duration_us: Option<u64>,
    /// Why it failed or was skipped; at most [`JUNIT_MESSAGE_MAX_BYTES`].
    pub message: String,
}

impl Case {
    /// Bytes of its texts.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        [&self.suite, &self.class, &self.name, &self.file, &self.message].into_iter().map(String::len).sum()
    }
}

/// How much a report may bring.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Cases.
    pub cases: usize,
    /// Bytes of all their texts.
    pub text_bytes: usize,
}

/// What a report says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parsed {
    /// Its cases, in order.
    pub cases: Vec<Case>,
    /// How many more there were than there was room for.
    pub left_out: usize,
}

/// Why nothing is taken from a file.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReportError {
    /// It is something else.
    #[error("it is no report: {0}")]
    Other(String),
    /// It begins as one.
    #[error("line {line}, column {column}: {what}")]
    Broken {
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
        /// What is wrong.
        what: String,
    },
}

/// Cuts a text at a character's boundary.
#[must_use]
pub fn cut(mut text: String, max_bytes: usize) -> String {
    if text.len() > max_bytes {
        let boundary = (0..=max_bytes).rev().find(|at| text.is_char_boundary(*at));
        text.truncate(boundary.unwrap_or_default());
    }
    text
}

/// Reads a report. `clean` masks a whole text and cuts the result to so many bytes: in this order, or half a secret would come
/// out at the cut.
///
/// # Errors
/// [`ReportError`]. Nothing is taken from a report that breaks off: half of one would look like all there is.
pub fn parse(bytes: &[u8], room: Room, clean: &dyn Fn(&str, usize) -> String) -> Result<Parsed, ReportError> {
    let mut reading = Reading {
        room,
        clean,
        stack: Vec::new(),
        suites: Vec::new(),
        case: None,
        began: false,
        parsed: Parsed::default(),
    };
    let mut reader = Reader::from_reader(bytes);
    loop {
        let before = reader.buffer_position();
        let result = match reader.read_event() {
            Ok(Event::Eof) if reading.stack.is_empty() => break,
            Ok(Event::Eof) => Err("the file ends in the middle".to_owned()),
            Ok(Event::Start(element)) => reading.begin(&element),
            Ok(Event::Empty(element)) => reading.begin(&element).map(|()| reading.end()),
            Ok(Event::End(_)) => {
                reading.end();
                Ok(())
            }
            Ok(Event::Text(text)) => {
                reading.text(&String::from_utf8_lossy(&text));
                Ok(())
            }
            Ok(Event::CData(text)) => {
                reading.text(&String::from_utf8_lossy(&text));
                Ok(())
            }
            Ok(Event::GeneralRef(reference)) => {
                reading.reference(&reference);
                Ok(())
            }
            Ok(Event::Comment(_) | Event::Decl(_) | Event::PI(_) | Event::DocType(_)) => Ok(()),
            Err(error) => {
                let position = reader.error_position();
                return Err(reading.wrong(bytes, position, error.to_string()));
            }
        };
        result.map_err(|what| reading.wrong(bytes, before, what))?;
    }
    if !reading.began {
        return Err(ReportError::Other("there is no element in it".to_owned()));
    }
    Ok(reading.parsed)
}

/// Whether what begins like this is a report, as far as its first element says so.
#[must_use]
pub(super) fn begins_as_report(head: &[u8]) -> bool {
    matches!(first_element(head).as_deref(), Some(b"testsuites" | b"testsuite"))
}

/// The name of the first element of what begins like this; none: there is none, or it is no XML.
pub(super) fn first_element(head: &[u8]) -> Option<Vec<u8>> {
    let mut reader = Reader::from_reader(head);
    loop {
        match reader.read_event() {
            Ok(Event::Start(element) | Event::Empty(element)) => {
                return Some(element.local_name().as_ref().to_vec());
            }
            Ok(Event::Eof) | Err(_) => return None,
            Ok(_) => {}
        }
    }
}

/// An element that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Suites,
    Suite,
    Case,
    /// How the case ended; its text is wanted.
    Verdict,
    Other,
}

#[derive(Debug, Default)]
struct Suite {
    name: String,
    file: String,
}

/// A case whose element is open.
struct Building {
    case: Case,
    /// An element within it has said how it ended.
    said: bool,
    /// The attribute `message` of what says how it ended, and its text.
    message: String,
    text: String,
}

struct Reading<'a> {
    room: Room,
    clean: &'a dyn Fn(&str, usize) -> String,
    stack: Vec<Open>,
    suites: Vec<Suite>,
    case: Option<Building>,
    began: bool,
    parsed: Parsed,
}

impl Reading<'_> {
    fn wrong(&self, bytes: &[u8], position: u64, what: String) -> ReportError {
        if !self.began {
            return ReportError::Other(what);
        }
        let before = bytes.get(..usize::try_from(position).unwrap_or(usize::MAX)).unwrap_or(bytes);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
        ReportError::Broken { line, column, what }
    }

    fn name(&self, text: &str) -> String {
        (self.clean)(text, REPORTS_NAME_MAX_BYTES)
    }

    fn begin(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        let name = element.local_name();
        let open = match (self.stack.last(), name.as_ref()) {
            (None | Some(Open::Suites | Open::Suite), b"testsuites") => Open::Suites,
            (None | Some(Open::Suites | Open::Suite), b"testsuite") => {
                let attributes = Attributes::of(element)?;
                let suite = Suite { name: self.name(&attributes.name), file: self.name(&attributes.file) };
                self.suites.push(suite);
                Open::Suite
            }
            (None, other) if !self.began => {
                return Err(format!("its root element is `{}`", String::from_utf8_lossy(other)));
            }
            (Some(Open::Suites | Open::Suite), b"testcase") => {
                self.begin_case(Attributes::of(element)?);
                Open::Case
            }
            (Some(Open::Case), other) => self.verdict(other, element)?,
            _ => Open::Other,
        };
        self.began = true;
        self.stack.push(open);
        Ok(())
    }

    fn begin_case(&mut self, attributes: Attributes) {
        let named = self.suites.iter().rev().find(|suite| !suite.name.is_empty());
        let placed = self.suites.iter().rev().find(|suite| !suite.file.is_empty());
        let file = match placed {
            Some(suite) if attributes.file.is_empty() => suite.file.clone(),
            _ => self.name(&attributes.file),
        };
        let not_run = ["notrun", "disabled", "skipped"].contains(&attributes.status.as_str())
            || ["skipped", "suppressed"].contains(&attributes.result.as_str());
        let case = Case {
            suite: named.map(|suite| suite.name.clone()).unwrap_or_default(),
            class: self.name(&attributes.class),
            name: self.name(&attributes.name),
            file,
            line: attributes.line.trim().parse().unwrap_or(0),
            // GoogleTest says it so.
            outcome: if not_run { Outcome::Skipped } else { Outcome::Passed },
            duration_us: microseconds(&attributes.time),
            message: String::new(),
        };
        self.case = Some(Building { case, said: false, message: String::new(), text: String::new() });
    }

    /// An element within a case.
    fn verdict(&mut self, name: &[u8], element: &BytesStart<'_>) -> Result<Open, String> {
        let outcome = match name {
            b"failure" => Outcome::Failed,
            b"error" => Outcome::Error,
            b"skipped" => Outcome::Skipped,
            b"flakyFailure" | b"flakyError" => Outcome::Flaky,
            // `rerunFailure` stands beside the `failure` of a case that failed each time.
            _ => return Ok(Open::Other),
        };
        let Some(building) = &mut self.case else { return Ok(Open::Other) };
        // Of several, the worst counts, and of equal ones the first.
        if building.said && grave(outcome) <= grave(building.case.outcome) {
            return Ok(Open::Other);
        }
        building.said = true;
        building.case.outcome = outcome;
        building.message = Attributes::of(element)?.message;
        building.text.clear();
        Ok(Open::Verdict)
    }

    fn text(&mut self, text: &str) {
        if self.stack.last() == Some(&Open::Verdict)
            && let Some(building) = &mut self.case
        {
            building.text.push_str(text);
        }
    }

    fn reference(&mut self, reference: &BytesRef<'_>) {
        if self.stack.last() != Some(&Open::Verdict) {
            return;
        }
        let name = String::from_utf8_lossy(reference);
        match (reference.resolve_char_ref(), resolve_xml_entity(&name)) {
            (Ok(Some(character)), _) => self.text(character.encode_utf8(&mut [0; 4])),
            (_, Some(text)) => self.text(text),
            // One of a document type, or none at all: as it stands.
            _ => self.text(&format!("&{name};")),
        }
    }

    fn end(&mut self) {
        match self.stack.pop() {
            Some(Open::Suite) => drop(self.suites.pop()),
            Some(Open::Case) => self.end_case(),
            _ => {}
        }
    }

    fn end_case(&mut self) {
        let Some(Building { mut case, message, text, .. }) = self.case.take() else { return };
        let (message, text) = (message.trim(), text.trim());
        // Most writers repeat the message as the first words of the text.
        let whole = match (message, text) {
            (message, text) if message.is_empty() || text.starts_with(message) => text.to_owned(),
            (message, "") => message.to_owned(),
            (message, text) => format!("{message}\n{text}"),
        };
        case.message = (self.clean)(&whole, JUNIT_MESSAGE_MAX_BYTES);
        let text_bytes = case.text_bytes();
        if self.room.cases == 0 || self.room.text_bytes < text_bytes {
            self.room.cases = 0;
            self.parsed.left_out += 1;
            return;
        }
        self.room.cases -= 1;
        self.room.text_bytes -= text_bytes;
        self.parsed.cases.push(case);
    }
}

fn grave(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Passed => 0,
        Outcome::Flaky => 1,
        Outcome::Skipped => 2,
        Outcome::Failed => 3,
        Outcome::Error => 4,
    }
}

/// Seconds as reports write them; some put a comma between thousands.
fn microseconds(text: &str) -> Option<u64> {
    let seconds: f64 = text.trim().replace(',', "").parse().ok()?;
    let microseconds = (seconds * 1e6).round();
    // Whole numbers up to here are exact.
    (0.0..9e15).contains(&microseconds).then_some(microseconds as u64)
}

/// Those that mean something somewhere.
#[derive(Debug, Default)]
struct Attributes {
    name: String,
    class: String,
    file: String,
    line: String,
    time: String,
    status: String,
    result: String,
    message: String,
}

impl Attributes {
    fn of(element: &BytesStart<'_>) -> Result<Self, String> {
        let mut found = Self::default();
        let mut attributes = element.attributes();
        // Looking for doubled ones takes the square of how many there are.
        for attribute in attributes.with_checks(false) {
            let attribute = attribute.map_err(|error| error.to_string())?;
            let slot = match attribute.key.local_name().as_ref() {
                b"name" => &mut found.name,
                b"classname" => &mut found.class,
                b"class" if found.class.is_empty() => &mut found.class,
                b"file" => &mut found.file,
                b"line" => &mut found.line,
                b"time" => &mut found.time,
                b"status" => &mut found.status,
                b"result" => &mut found.result,
                b"message" => &mut found.message,
                _ => continue,
            };
            let raw = String::from_utf8_lossy(&attribute.value);
            // What is no entity stands as it is.
            *slot = unescape(&raw).map_or_else(|_| raw.to_string(), std::borrow::Cow::into_owned);
        }
        Ok(found)
    }
}
