//! LCOV's tracefiles (geninfo(1), "Files"): lines of text, one record for each source file.
//!
//! Branches and functions mean nothing here. What is not known is skipped; what is known has to be right.

use slipway_proto::v1::FileCoverage;

use super::ReportError;
use super::lines::Lines;
use crate::limits::COVERED_LINE_MAX;

/// Whether what begins like this is a tracefile: its first line that is no comment names a test or a source file.
pub(super) fn begins(head: &[u8]) -> bool {
    let mut lines = head.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let first = lines.find(|line| !line.is_empty() && !line.starts_with(b"#"));
    first.is_some_and(|line| line.starts_with(b"TN:") || line.starts_with(b"SF:"))
}

/// Reads one. `name` makes a path what people see.
///
/// # Errors
/// [`ReportError`]; nothing is taken from one that breaks off.
pub fn parse(bytes: &[u8], name: &dyn Fn(&str) -> String) -> Result<Vec<FileCoverage>, ReportError> {
    if !begins(bytes) {
        return Err(ReportError::Other("it does not begin as LCOV's tracefiles do".to_owned()));
    }
    let (mut lines, mut file, mut sums) = (Lines::default(), None::<String>, (0, 0));
    let mut number = 0;
    for raw in bytes.split(|byte| *byte == b'\n') {
        number += 1;
        let text = String::from_utf8_lossy(raw.trim_ascii());
        let broken = |what: &str| ReportError::Broken { line: number, column: 1, what: what.to_owned() };
        if text.is_empty() || text.starts_with('#') {
            continue;
        }
        if text == "end_of_record" {
            let path = file.take().ok_or_else(|| broken("a record ends that did not begin"))?;
            lines.sums(&path, sums.0, sums.1);
            sums = (0, 0);
            continue;
        }
        let (key, value) = text.split_once(':').ok_or_else(|| broken("there is no `:` in it"))?;
        match key {
            "SF" if file.is_some() => return Err(broken("a file begins in the record of another")),
            "SF" if value.is_empty() => return Err(broken("the file has no name")),
            "SF" => file = Some(value.to_owned()),
            "DA" | "LF" | "LH" => {
                let path = file.as_deref().ok_or_else(|| broken("it is in no file's record"))?;
                match key {
                    "DA" => {
                        let (line, hits) = data(value).ok_or_else(|| broken("it is not `DA:LINE,HITS`"))?;
                        lines.line(path, line, hits);
                    }
                    key => {
                        let count = value.trim().parse().map_err(|_| broken("it is no number"))?;
                        *if key == "LF" { &mut sums.0 } else { &mut sums.1 } = count;
                    }
                }
            }
            _ => {}
        }
    }
    if file.is_some() {
        let what = "the file ends in the middle".to_owned();
        return Err(ReportError::Broken { line: number, column: 1, what });
    }
    Ok(lines.finish(name))
}

/// `LINE,HITS[,CHECKSUM]`: the line, and whether it was reached. Some tools write negative counts for none, and others fractions.
fn data(value: &str) -> Option<(u32, bool)> {
    let mut parts = value.split(',');
    let line = parts.next()?.trim().parse().ok().filter(|line| *line <= COVERED_LINE_MAX)?;
    let hits: f64 = parts.next()?.trim().parse().ok()?;
    Some((line, hits > 0.0))
}
