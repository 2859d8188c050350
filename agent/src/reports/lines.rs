//! Which lines of which files were reached, gathered from whatever says so: a line counts once, and is covered if anything
//! reached it.

use std::collections::BTreeMap;

use slipway_proto::v1::FileCoverage;

/// Files and their lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    files: BTreeMap<String, File>,
}

/// A file's lines, and the sums that its tool gives where it names no line.
#[derive(Debug, Default)]
struct File {
    lines: BTreeMap<u32, bool>,
    found: u64,
    hit: u64,
}

impl Lines {
    /// Takes note of a line.
    pub(super) fn line(&mut self, path: &str, number: u32, covered: bool) {
        let file = self.file(path);
        *file.lines.entry(number).or_default() |= covered;
    }

    /// Takes note of a file, and of how many lines it has and how many were reached.
    pub(super) fn sums(&mut self, path: &str, found: u64, hit: u64) {
        let file = self.file(path);
        file.found = file.found.max(found);
        file.hit = file.hit.max(hit).min(file.found);
    }

    fn file(&mut self, path: &str) -> &mut File {
        self.files.entry(path.to_owned()).or_default()
    }

    /// By path, without files that have no line; `name` makes a path what people see.
    pub(super) fn finish(self, name: &dyn Fn(&str) -> String) -> Vec<FileCoverage> {
        let count = |(path, file): (String, File)| {
            let (lines, covered) = match file.lines.len() {
                0 => (file.found, file.hit),
                found => (found as u64, file.lines.values().filter(|covered| **covered).count() as u64),
            };
            (lines > 0).then(|| FileCoverage { path: name(&path), lines, covered })
        };
        self.files.into_iter().filter_map(count).collect()
    }
}
