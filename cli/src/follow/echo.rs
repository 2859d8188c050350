//! The beginning of a step's log, in which the runner repeats the script or the action's inputs.
//!
//! Whoever wrote the step knows it, so it is left out for people unless they ask for it. Only what the runner itself
//! says counts: a script that prints a group of the same name keeps it.

use super::marker::Marker;

/// Where in it a step's log is.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Echo {
    state: State,
    last: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum State {
    /// It may come.
    #[default]
    Before,
    Inside,
    Past,
}

impl Echo {
    /// Takes in the step's next line.
    pub(super) fn take(&mut self, line: &str, stream: &str) {
        let (state, last) = match (self.state, stream, Marker::of(line)) {
            (State::Before, "system", Marker::Group(title)) if title.starts_with("Run ") => {
                (State::Inside, true)
            }
            (State::Before, "system", _) => (State::Before, false),
            (State::Inside, "system", Marker::EndGroup) => (State::Past, true),
            (State::Inside, "system", _) => (State::Inside, true),
            _ => (State::Past, false),
        };
        *self = Echo { state, last };
    }

    /// Whether the line taken in last is part of it.
    pub(super) fn holds_last_line(self) -> bool {
        self.last
    }
}
