//! The differences that `docs/DIFFERENCES.md` lists.

const FILE: &str = include_str!("../../docs/DIFFERENCES.md");

/// The lines of a section.
pub(crate) fn section(heading: &str) -> impl Iterator<Item = &'static str> {
    FILE.lines().skip_while(move |line| *line != heading).skip(1).take_while(|line| !line.starts_with("## "))
}

/// The cells in backquotes of a section's table, row by row.
pub(crate) fn rows(heading: &str) -> Vec<Vec<String>> {
    section(heading)
        .filter(|line| line.starts_with("| `"))
        .map(|line| line.split('`').skip(1).step_by(2).map(str::to_owned).collect())
        .collect()
}

/// Whether an entry of a list, which begins with `prefix` and its text in backquotes, occurs in a message.
pub(crate) fn contains(prefix: &str, message: &str) -> bool {
    FILE.lines()
        .filter_map(|line| line.strip_prefix(prefix)?.split("` — ").next())
        .any(|entry| message.contains(entry))
}
