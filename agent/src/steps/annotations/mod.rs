//! Annotations: what `::error::`, `::warning::` and `::notice::` leave on the run's page.
//!
//! The rules on lines and columns are those of GitHub's runner (`IssueCommandExtension.ValidateLinesAndColumns` and
//! `IssueExtensions.ToAnnotation`). The texts here are not masked yet; [`super::output`] does that.

use serde::{Deserialize, Serialize};

use super::commands::Properties;

/// Longest message, in characters; GitHub cuts there too.
pub const MAX_MESSAGE_CHARS: usize = 4096;

/// Most annotations of one level that a step keeps; further ones appear only in its log (GitHub's figure).
pub const MAX_PER_LEVEL: usize = 10;

/// How grave it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// `notice`
    Notice,
    /// `warning`
    Warning,
    /// `error`
    Error,
}

impl Level {
    /// The command's name, which is also the log's tag.
    pub fn name(self) -> &'static str {
        match self {
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One annotation. Zero and the empty string mean that nothing was said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Annotation {
    /// How grave it is.
    pub level: Level,
    /// At most [`MAX_MESSAGE_CHARS`] characters; may have line ends.
    pub message: String,
    /// `title`
    pub title: String,
    /// `file`, relative to the workspace where it lies inside.
    pub file: String,
    /// `line`, from 1.
    pub line: u32,
    /// `endLine`; `line` where it was not said.
    pub end_line: u32,
    /// `col`, from 1.
    pub column: u32,
    /// `endColumn`; `col` where it was not said.
    pub end_column: u32,
}

impl Annotation {
    /// An annotation that names no place.
    pub fn plain(level: Level, message: &str) -> Self {
        Self {
            level,
            message: message.chars().take(MAX_MESSAGE_CHARS).collect(),
            title: String::new(),
            file: String::new(),
            line: 0,
            end_line: 0,
            column: 0,
            end_column: 0,
        }
    }

    /// From a command's properties and data; `workspace` is the path that the step sees. `debug` gets GitHub's
    /// remarks on impossible places.
    pub fn from_command(
        level: Level,
        properties: &Properties,
        message: &str,
        workspace: &str,
        debug: &mut Vec<String>,
    ) -> Self {
        let place = Place::from_properties(level, properties, debug);
        let line = place.line.unwrap_or(0);
        let column = place.column.unwrap_or(0);
        Self {
            title: properties.get("title").unwrap_or_default().to_owned(),
            file: relative_to(properties.get("file").unwrap_or_default().trim(), workspace).to_owned(),
            line,
            end_line: place.end_line.unwrap_or(line),
            column,
            end_column: place.end_column.unwrap_or(column),
            ..Self::plain(level, message)
        }
    }

    /// An annotation without a message is shown in the log at most.
    pub fn is_shown(&self) -> bool {
        !self.message.trim().is_empty()
    }
}

/// Lines and columns after GitHub's corrections.
struct Place {
    line: Option<u32>,
    end_line: Option<u32>,
    column: Option<u32>,
    end_column: Option<u32>,
}

impl Place {
    fn from_properties(level: Level, properties: &Properties, debug: &mut Vec<String>) -> Self {
        let number = |key| properties.get(key).and_then(parse_number);
        let (mut line, mut end_line) = (number("line"), number("endLine"));
        let (mut column, mut end_column) = (number("col"), number("endColumn"));
        let mut remark = |text: &str| debug.push(format!("Invalid {} command value. {text}", level.name()));
        if end_line.is_some() && line.is_none() {
            remark("'endLine' can only be set if 'line' is provided");
            line = end_line;
        }
        if end_column.is_some() && column.is_none() {
            remark("'endColumn' can only be set if 'col' is provided");
            column = end_column;
        }
        if line.is_none() && column.is_some() {
            remark("'col' and 'endColumn' can only be set if 'line' value is provided.");
            (column, end_column) = (None, None);
        }
        if end_line.is_some() && line != end_line && column.is_some() {
            remark("'col' and 'endColumn' cannot be set if 'line' and 'endLine' are different values.");
            (column, end_column) = (None, None);
        }
        if end_line.is_some() && end_line < line {
            remark("'endLine' cannot be less than 'line'.");
            (line, end_line) = (None, None);
        }
        if end_column.is_some() && end_column < column {
            remark("'endColumn' cannot be less than 'col'.");
            (column, end_column) = (None, None);
        }
        Self { line, end_line, column, end_column }
    }
}

/// A whole number as .NET's `int.TryParse` reads it; below zero counts as not said.
fn parse_number(text: &str) -> Option<u32> {
    text.trim().parse::<i32>().ok().and_then(|number| u32::try_from(number).ok())
}

fn relative_to<'a>(file: &'a str, workspace: &str) -> &'a str {
    match file.strip_prefix(workspace.trim_end_matches('/')).and_then(|rest| rest.strip_prefix('/')) {
        Some(inside) if !workspace.is_empty() && !inside.is_empty() => inside,
        _ => file,
    }
}

#[cfg(test)]
mod tests;
