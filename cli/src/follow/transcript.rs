//! A run's log as lines: each begins with its job's name, steps have a heading, job ends are told.
//!
//! Invariant: a step has one heading, whatever its name becomes while it runs. Every line is safe for a terminal, for
//! what goes into a file or pipe often ends on one.

use std::collections::HashMap;

use super::board::{Board, label};
use super::finding::place;
use super::marker;
use crate::client::types::Event;
use crate::output::{escape, style};

/// How lines are written.
#[derive(Debug, Clone, Copy)]
pub struct Looks {
    /// Colours, the steps' own too.
    pub colours: bool,
    /// Begin each line with the job's name: lines of several jobs come together.
    pub prefix: bool,
    /// Show also the runner's repetition of each step's script.
    pub verbose: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Transcript {
    looks: Looks,
    headings: HashMap<String, StepKey>,
}

/// What a heading is for: the step's number, or its name where the coordinator gives no numbers.
#[derive(Debug, PartialEq, Eq)]
enum StepKey {
    Number(u32),
    Name(String),
}

impl Transcript {
    /// The lines of a run that has not begun.
    pub fn new(looks: Looks) -> Self {
        Transcript { looks, headings: HashMap::new() }
    }

    /// The lines for an event that the board has taken in.
    pub fn lines(&mut self, event: &Event, board: &Board) -> Vec<String> {
        let Some((index, job)) = event.instance().and_then(|instance| board.job(instance)) else {
            return Vec::new();
        };
        let colours = self.looks.colours;
        let prefix = match self.looks.prefix {
            true => {
                let name = escape::name(&label(job));
                format!("{} ", style::paint(&format!("{name} |"), style::job_colour(index), colours))
            }
            false => String::new(),
        };
        let mut lines = Vec::new();
        match event {
            Event::Step { instance, step, number, outcome, conclusion, .. } => {
                self.heading(instance, step, *number, &mut lines);
                if let Some(outcome) = outcome
                    && outcome != "success"
                {
                    let mut told = format!("step {}", style::result(&escape::name(outcome), colours));
                    if conclusion.as_ref().is_some_and(|conclusion| conclusion != outcome) {
                        told.push_str(", and the job goes on (continue-on-error)");
                    }
                    lines.push(told);
                }
            }
            Event::Log { instance, step, number, line, .. } => {
                if !step.is_empty() {
                    self.heading(instance, step, *number, &mut lines);
                }
                if self.looks.verbose || !job.is_echo() {
                    lines.extend(marker::for_people(line, colours));
                }
            }
            // Its text is in the log already; where it points to is not.
            Event::Annotation { title, file, line, .. } => {
                let at = [place(file, *line), title.clone()];
                let at: Vec<String> =
                    at.iter().filter(|part| !part.is_empty()).map(|part| escape::name(part)).collect();
                if !at.is_empty() {
                    lines.push(style::dim(&format!("  --> {}", at.join(", ")), colours));
                }
            }
            Event::Job { instance, result, attempt, cause, .. } => {
                self.headings.remove(instance);
                let cause = cause.as_deref().map(escape::name);
                let why =
                    job.message.as_deref().map_or(String::new(), |why| format!(": {}", escape::name(why)));
                lines.push(match (result, cause) {
                    (Some(result), Some(cause)) => {
                        let result = style::result(&escape::name(result), colours);
                        format!("job {result}, the fleet failed ({cause}){why}")
                    }
                    (Some(result), None) => {
                        format!("job {}{why}", style::result(&escape::name(result), colours))
                    }
                    (None, cause) => {
                        let cause = cause.unwrap_or_else(|| "no cause given".to_owned());
                        format!("attempt {attempt} ended, the fleet failed ({cause}){why}; another follows")
                    }
                });
            }
            Event::Run { .. } | Event::Other => {}
        }
        lines.iter_mut().for_each(|line| line.insert_str(0, &prefix));
        lines
    }

    fn heading(&mut self, instance: &str, step: &str, number: Option<u32>, lines: &mut Vec<String>) {
        let key = number.map_or_else(|| StepKey::Name(step.to_owned()), StepKey::Number);
        if self.headings.get(instance) != Some(&key) {
            self.headings.insert(instance.to_owned(), key);
            lines.push(style::bold(&format!("# {}", escape::name(step)), self.looks.colours));
        }
    }
}
