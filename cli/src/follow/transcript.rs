//! A run's log as lines: each begins with its job's name, steps have a heading, job ends are told.

use std::collections::HashMap;

use super::board::{Board, label};
use crate::client::types::Event;
use crate::output::{escape, style};

/// How lines are written.
#[derive(Debug)]
pub struct Transcript {
    colours: bool,
    /// Make log text safe for a terminal; a file or pipe gets it as the step wrote it.
    terminal: bool,
    /// Begin each line with the job's name.
    prefix: bool,
    headings: HashMap<String, String>,
}

impl Transcript {
    /// `prefix`: lines of several jobs come together.
    pub fn new(colours: bool, terminal: bool, prefix: bool) -> Self {
        Transcript { colours, terminal, prefix, headings: HashMap::new() }
    }

    /// The lines for an event that the board has taken in.
    pub fn lines(&mut self, event: &Event, board: &Board) -> Vec<String> {
        let Some((index, job)) = event.instance().and_then(|instance| board.job(instance)) else {
            return Vec::new();
        };
        let prefix = match self.prefix {
            true => {
                let name = escape::name(&label(job));
                format!("{} ", style::paint(&format!("{name} |"), style::job_colour(index), self.colours))
            }
            false => String::new(),
        };
        let mut lines = Vec::new();
        match event {
            Event::Step { instance, step, outcome, conclusion, .. } => {
                self.heading(instance, step, &prefix, &mut lines);
                if let Some(outcome) = outcome
                    && outcome != "success"
                {
                    let mut told = format!("step {}", style::result(&escape::name(outcome), self.colours));
                    if conclusion.as_ref().is_some_and(|conclusion| conclusion != outcome) {
                        told.push_str(", and the job goes on (continue-on-error)");
                    }
                    lines.push(format!("{prefix}{told}"));
                }
            }
            Event::Log { instance, step, line, .. } => {
                if !step.is_empty() {
                    self.heading(instance, step, &prefix, &mut lines);
                }
                if self.terminal {
                    lines.extend(self.for_people(line).map(|line| format!("{prefix}{line}")));
                } else {
                    lines.push(format!("{prefix}{line}"));
                }
            }
            Event::Job { instance, result, attempt, cause, message, .. } => {
                self.headings.remove(instance);
                let cause = cause.as_deref().map(escape::name);
                let why = message.as_deref().filter(|message| !message.is_empty());
                let why = why.map_or(String::new(), |why| format!(": {}", escape::name(why)));
                lines.push(match (result, cause) {
                    (Some(result), Some(cause)) => {
                        let result = style::result(&escape::name(result), self.colours);
                        format!("{prefix}job {result}, the fleet failed ({cause}){why}")
                    }
                    (Some(result), None) => {
                        format!("{prefix}job {}{why}", style::result(&escape::name(result), self.colours))
                    }
                    (None, cause) => {
                        let cause = cause.unwrap_or_else(|| "no cause given".to_owned());
                        format!("{prefix}attempt {attempt} ended, the fleet failed ({cause}){why}; another follows")
                    }
                });
            }
            Event::Annotation { .. } | Event::Run { .. } | Event::Other => {}
        }
        lines
    }

    /// A log line on a terminal: runner commands as what they mean, the rest made safe.
    fn for_people(&self, line: &str) -> Option<String> {
        let safe = escape::log_line(line, self.colours);
        let command = safe.strip_prefix("##[").and_then(|rest| rest.split_once(']'));
        Some(match command {
            Some(("endgroup", _)) => return None,
            Some(("group", title)) => style::dim(title, self.colours),
            Some(("error", text)) => format!("{} {text}", style::paint("error:", 31, self.colours)),
            Some(("warning", text)) => format!("{} {text}", style::paint("warning:", 33, self.colours)),
            _ => safe,
        })
    }

    fn heading(&mut self, instance: &str, step: &str, prefix: &str, lines: &mut Vec<String>) {
        if self.headings.get(instance).map(String::as_str) != Some(step) {
            self.headings.insert(instance.to_owned(), step.to_owned());
            lines
                .push(format!("{prefix}{}", style::bold(&format!("# {}", escape::name(step)), self.colours)));
        }
    }
}
