//! Cobertura's XML (its `coverage-04.dtd`), which coverage.py, gcovr, Istanbul, Coverlet and others write: classes with a file
//! name and lines. Classes of one file are added up, and lines that a method repeats count once.
//!
//! A document type is skipped, so there are no entities to expand. Clover's XML has the same root and is something else.

use quick_xml::Reader;
use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};
use slipway_proto::v1::FileCoverage;

use super::ReportError;
use super::lines::Lines;
use crate::limits::{COVERED_LINE_MAX, REPORTS_NAME_MAX_BYTES};

/// Reads one. `name` makes a path what people see.
///
/// # Errors
/// [`ReportError`]; nothing is taken from one that breaks off.
pub fn parse(bytes: &[u8], name: &dyn Fn(&str) -> String) -> Result<Vec<FileCoverage>, ReportError> {
    let mut reader = Reader::from_reader(bytes);
    let mut reading = Reading::default();
    loop {
        let before = reader.buffer_position();
        let result = match reader.read_event() {
            Ok(Event::Eof) if reading.depth == 0 => break,
            Ok(Event::Eof) => Err("the file ends in the middle".to_owned()),
            Ok(Event::Start(element)) => reading.begin(&element).map(|()| reading.depth += 1),
            Ok(Event::Empty(element)) => reading.begin(&element).map(|()| reading.end(&element)),
            Ok(Event::End(element)) => {
                reading.depth = reading.depth.saturating_sub(1);
                reading.end_of(element.local_name().as_ref());
                Ok(())
            }
            Ok(Event::Text(text)) if reading.in_source => {
                reading.source(&String::from_utf8_lossy(&text));
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => {
                return Err(wrong(bytes, reader.error_position(), error.to_string(), reading.known));
            }
        };
        result.map_err(|what| wrong(bytes, before, what, reading.known))?;
    }
    if !reading.known {
        return Err(ReportError::Other("it has no classes as Cobertura's reports do".to_owned()));
    }
    // Where the one source folder is, names are below it.
    let prefix = match reading.sources.as_slice() {
        [one] if one.starts_with('/') => one.trim_end_matches('/').to_owned(),
        _ => String::new(),
    };
    Ok(reading.lines.finish(&|path| {
        if prefix.is_empty() || path.starts_with('/') {
            name(path)
        } else {
            name(&format!("{prefix}/{path}"))
        }
    }))
}

fn wrong(bytes: &[u8], position: u64, what: String, known: bool) -> ReportError {
    if !known {
        return ReportError::Other(what);
    }
    let before = bytes.get(..usize::try_from(position).unwrap_or(usize::MAX)).unwrap_or(bytes);
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    let column = 1 + before.iter().rev().take_while(|byte| **byte != b'\n').count();
    ReportError::Broken { line, column, what }
}

#[derive(Default)]
struct Reading {
    depth: usize,
    /// `packages` was there: it is Cobertura's.
    known: bool,
    began: bool,
    in_source: bool,
    sources: Vec<String>,
    /// The open class's file.
    file: Option<String>,
    lines: Lines,
}

/// More source folders than this say nothing.
const SOURCES_MAX: usize = 100;

impl Reading {
    fn begin(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        let name = element.local_name();
        if !self.began {
            self.began = true;
            return match name.as_ref() {
                b"coverage" => Ok(()),
                other => Err(format!("its root element is `{}`", String::from_utf8_lossy(other))),
            };
        }
        match name.as_ref() {
            b"packages" if self.depth == 1 => self.known = true,
            b"source" => self.in_source = true,
            b"class" if self.known => {
                let path = attribute(element, b"filename")?.ok_or("a class has no `filename`")?;
                if path.len() > REPORTS_NAME_MAX_BYTES {
                    return Err("a file's name is too long".to_owned());
                }
                self.lines.sums(&path, 0, 0);
                self.file = Some(path);
            }
            b"line" => {
                let Some(path) = &self.file else { return Ok(()) };
                let number: Option<u32> = attribute(element, b"number")?.and_then(|text| text.parse().ok());
                let number = number.filter(|number| *number <= COVERED_LINE_MAX);
                let hits: Option<f64> = attribute(element, b"hits")?.and_then(|text| text.parse().ok());
                let (Some(number), Some(hits)) = (number, hits) else {
                    return Err("a line has no `number` or no `hits`".to_owned());
                };
                self.lines.line(path, number, hits > 0.0);
            }
            _ => {}
        }
        Ok(())
    }

    /// An element without content.
    fn end(&mut self, element: &BytesStart<'_>) {
        self.end_of(element.local_name().as_ref());
    }

    fn end_of(&mut self, name: &[u8]) {
        match name {
            b"class" => self.file = None,
            b"source" => self.in_source = false,
            _ => {}
        }
    }

    fn source(&mut self, text: &str) {
        let text = text.trim();
        if !text.is_empty() && self.sources.len() < SOURCES_MAX {
            self.sources.push(text.chars().take(REPORTS_NAME_MAX_BYTES).collect());
        }
    }
}

fn attribute(element: &BytesStart<'_>, wanted: &[u8]) -> Result<Option<String>, String> {
    let mut attributes = element.attributes();
    // Looking for doubled ones takes the square of how many there are.
    for attribute in attributes.with_checks(false) {
        let attribute = attribute.map_err(|error| error.to_string())?;
        if attribute.key.local_name().as_ref() == wanted {
            let raw = String::from_utf8_lossy(&attribute.value);
            // What is no entity stands as it is.
            return Ok(Some(unescape(&raw).map_or_else(|_| raw.to_string(), std::borrow::Cow::into_owned)));
        }
    }
    Ok(None)
}
