//! The runner's markers in a log, `##[group]` and its like, as people expect to see them.
//!
//! A marker is what the agent writes for a workflow command (`::warning::…`) or for itself. A step that prints the
//! text of one gets it shown as one, as on GitHub; nothing but looks depends on it.

use crate::output::{escape, style};

/// What a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Marker<'a> {
    /// A group begins; its title.
    Group(&'a str),
    /// It ends.
    EndGroup,
    /// `error`, `warning`, `notice` or `debug`, and what it says.
    Level(&'static str, &'a str),
    /// A command that an action runs.
    Command(&'a str),
    /// No marker.
    None,
}

/// Levels, and their colours.
const LEVELS: [(&str, u8); 4] = [("error", 31), ("warning", 33), ("notice", 36), ("debug", 2)];

impl<'a> Marker<'a> {
    /// Looks at a line.
    pub(super) fn of(line: &'a str) -> Self {
        let Some((word, rest)) = line.strip_prefix("##[").and_then(|rest| rest.split_once(']')) else {
            return match line.strip_prefix("[command]") {
                Some(command) => Marker::Command(command),
                None => Marker::None,
            };
        };
        match word {
            "group" => Marker::Group(rest),
            "endgroup" => Marker::EndGroup,
            "command" => Marker::Command(rest),
            _ => LEVELS
                .iter()
                .find(|(level, _)| *level == word)
                .map_or(Marker::None, |(level, _)| Marker::Level(level, rest)),
        }
    }
}

/// A log line as people read it, safe for a terminal; `None`: it shows nothing.
pub(super) fn for_people(line: &str, colours: bool) -> Option<String> {
    let bare = |text: &str| escape::log_line(text, false);
    Some(match Marker::of(line) {
        Marker::EndGroup => return None,
        Marker::Group(title) => style::bold(&format!("▸ {}", bare(title)), colours),
        Marker::Level(level, text) => paint(level, &format!("{level}: {}", bare(text)), colours),
        Marker::Command(command) => style::paint(&bare(command), 34, colours),
        Marker::None => escape::log_line(line, colours),
    })
}

/// Text in a level's colour.
pub(super) fn paint(level: &str, text: &str, colours: bool) -> String {
    let known = LEVELS.iter().find(|(known, _)| *known == level);
    known.map_or_else(|| text.to_owned(), |(_, sgr)| style::paint(text, *sgr, colours))
}
