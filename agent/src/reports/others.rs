//! What all reports of a job but its test reports say, within the job's limits.

use slipway_proto::v1;

use super::place::Named;
use super::{ReportError, cobertura, json, lcov, sarif, sbom};
use crate::limits::{COMPONENTS_MAX, COVERED_FILES_MAX, FINDINGS_MAX, REPORTS_TEXT_MAX_BYTES};

/// A report of coverage.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Covered {
    /// Its path in the workspace.
    pub path: String,
    /// By path.
    pub files: Vec<v1::FileCoverage>,
    /// Files beyond the limit, their lines, and those that were reached.
    pub more: (u64, u64, u64),
}

/// A report of findings.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Found {
    /// Its path in the workspace.
    pub path: String,
    /// In the report's order.
    pub findings: Vec<v1::Finding>,
    /// How many are beyond the limit.
    pub left_out: u64,
}

/// A bill of components.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bill {
    /// Its path in the workspace.
    pub path: String,
    /// In the bill's order.
    pub components: Vec<v1::Component>,
    /// How many are beyond the limit.
    pub left_out: u64,
}

/// All of them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Others {
    /// Of coverage.
    pub coverage: Vec<Covered>,
    /// Of findings.
    pub findings: Vec<Found>,
    /// Of components.
    pub components: Vec<Bill>,
}

/// What a file is, as far as its beginning says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Lcov,
    Cobertura,
    Json,
}

impl Kind {
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        match super::junit::first_element(head).as_deref() {
            Some(b"coverage") => Some(Self::Cobertura),
            Some(_) => None,
            None if lcov::begins(head) => Some(Self::Lcov),
            None => json::begins(head).then_some(Self::Json),
        }
    }
}

/// How much more of each kind there is room for: entries, and bytes of their texts.
#[derive(Debug)]
pub(super) struct Rooms {
    coverage: (usize, usize),
    findings: (usize, usize),
    components: (usize, usize),
}

impl Default for Rooms {
    fn default() -> Self {
        Self {
            coverage: (COVERED_FILES_MAX, REPORTS_TEXT_MAX_BYTES),
            findings: (FINDINGS_MAX, REPORTS_TEXT_MAX_BYTES),
            components: (COMPONENTS_MAX, REPORTS_TEXT_MAX_BYTES),
        }
    }
}

impl Others {
    /// Reads a file; the number is of entries that found no room.
    pub(super) fn take(
        &mut self,
        kind: Kind,
        path: String,
        bytes: &[u8],
        named: &Named<'_>,
        rooms: &mut Rooms,
    ) -> Result<u64, ReportError> {
        match kind {
            Kind::Lcov => {
                self.cover(path, lcov::parse(bytes, &|path| named.path(path))?, rooms);
                Ok(0)
            }
            Kind::Cobertura => {
                self.cover(path, cobertura::parse(bytes, &|path| named.path(path))?, rooms);
                Ok(0)
            }
            Kind::Json => match sarif::parse(bytes, named) {
                Ok((findings, beyond)) => {
                    let (findings, rest) = fitting(findings, &mut rooms.findings, |one| {
                        one.tool.len()
                            + one.rule.len()
                            + one.path.len()
                            + one.message.len()
                            + one.fingerprint.len()
                    });
                    let left_out = rest.len() as u64 + beyond;
                    self.findings.push(Found { path, findings, left_out });
                    Ok(left_out)
                }
                Err(ReportError::Other(_)) => {
                    let (components, beyond) = sbom::parse(bytes, named)?;
                    let (components, rest) = fitting(components, &mut rooms.components, |one| {
                        let licences: usize = one.licences.iter().map(String::len).sum();
                        one.name.len() + one.version.len() + one.purl.len() + licences
                    });
                    let left_out = rest.len() as u64 + beyond;
                    self.components.push(Bill { path, components, left_out });
                    Ok(left_out)
                }
                Err(error) => Err(error),
            },
        }
    }

    /// Files beyond the limit are told together, so that the sum is right.
    fn cover(&mut self, path: String, files: Vec<v1::FileCoverage>, rooms: &mut Rooms) {
        let (files, rest) = fitting(files, &mut rooms.coverage, |file| file.path.len());
        let add = |(files, lines, covered), file: &v1::FileCoverage| {
            (files + 1, lines + file.lines, covered + file.covered)
        };
        let more = rest.iter().fold((0, 0, 0), add);
        self.coverage.push(Covered { path, files, more });
    }
}

/// Those that there is room for, and the rest.
fn fitting<T>(
    mut all: Vec<T>,
    (count, bytes): &mut (usize, usize),
    size: impl Fn(&T) -> usize,
) -> (Vec<T>, Vec<T>) {
    let mut fits = 0;
    for one in &all {
        let size = size(one);
        if *count == 0 || *bytes < size {
            *count = 0;
            break;
        }
        *count -= 1;
        *bytes -= size;
        fits += 1;
    }
    let rest = all.split_off(fits);
    (all, rest)
}
