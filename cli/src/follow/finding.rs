//! What a person wants to read after a run: which steps failed and how, and what was annotated where.
//!
//! Invariant: bounded. Beyond the limits findings are counted, not kept.

use std::collections::VecDeque;

use super::marker;
use crate::output::{escape, style};

/// Failed steps told.
const FAILED_STEPS_TOLD: usize = 20;

/// Annotations told.
const ANNOTATIONS_TOLD: usize = 50;

/// Jobs told of one annotation.
const JOBS_TOLD: usize = 5;

/// Characters of an annotation's message that are told.
const MESSAGE_CHARS: usize = 1000;

/// A step that failed.
#[derive(Debug)]
pub(super) struct FailedStep {
    pub(super) instance: String,
    /// The name of its job.
    pub(super) name: String,
    pub(super) step: String,
    pub(super) exit_code: Option<i32>,
    /// Its job went on: `continue-on-error`.
    pub(super) tolerated: bool,
    /// Its last lines.
    pub(super) tail: VecDeque<String>,
}

/// A warning or an error that a step annotated.
#[derive(Debug)]
pub(super) struct Annotation {
    pub(super) instance: String,
    /// The name of its job.
    pub(super) name: String,
    pub(super) level: String,
    pub(super) message: String,
    pub(super) title: String,
    pub(super) place: String,
}

/// An annotation that several jobs of a matrix made, or several attempts of one.
#[derive(Debug)]
struct Repeated {
    annotation: Annotation,
    /// Instances and the names of their jobs.
    jobs: Vec<(String, String)>,
}

impl Annotation {
    fn says_the_same(&self, other: &Annotation) -> bool {
        let key = |annotation: &Annotation| {
            [&annotation.level, &annotation.place, &annotation.title, &annotation.message].map(String::clone)
        };
        key(self) == key(other)
    }
}

/// All of a run.
#[derive(Debug, Default)]
pub(super) struct Findings {
    failed: Vec<FailedStep>,
    failed_untold: usize,
    annotations: Vec<Repeated>,
    annotations_untold: usize,
}

impl Findings {
    pub(super) fn failed(&mut self, step: FailedStep) {
        if self.failed.len() < FAILED_STEPS_TOLD {
            self.failed.push(step);
        } else {
            self.failed_untold += 1;
        }
    }

    /// Keeps an annotation, unless it only says what the failed step says anyway.
    pub(super) fn annotation(&mut self, annotation: Annotation) {
        let told_elsewhere = annotation.place.is_empty() && is_exit_message(&annotation.message);
        if told_elsewhere || !matches!(annotation.level.as_str(), "warning" | "error") {
            return;
        }
        let job = (annotation.instance.clone(), annotation.name.clone());
        if let Some(same) =
            self.annotations.iter_mut().find(|other| other.annotation.says_the_same(&annotation))
        {
            if !same.jobs.contains(&job) {
                same.jobs.push(job);
            }
        } else if self.annotations.len() < ANNOTATIONS_TOLD {
            self.annotations.push(Repeated { annotation, jobs: vec![job] });
        } else {
            self.annotations_untold += 1;
        }
    }

    /// Forgets an instance's: another attempt begins.
    pub(super) fn forget(&mut self, instance: &str) {
        self.failed.retain(|failed| failed.instance != instance);
        for repeated in &mut self.annotations {
            repeated.jobs.retain(|(other, _)| other != instance);
        }
        self.annotations.retain(|repeated| !repeated.jobs.is_empty());
    }

    /// As text, each part with an empty line before it.
    pub(super) fn render(&self, colours: bool) -> String {
        let mut text = String::new();
        if !self.annotations.is_empty() {
            text.push('\n');
        }
        for annotation in &self.annotations {
            text.push_str(&format!("{}\n", annotation.render(colours)));
        }
        text.push_str(&untold(self.annotations_untold, "annotations"));
        for failed in &self.failed {
            let code = failed.exit_code.map_or(String::new(), |code| format!(" with exit code {code}"));
            let went_on = if failed.tolerated { ", and its job went on (continue-on-error)" } else { "" };
            let (name, step) = (escape::name(&failed.name), escape::name(&failed.step));
            let title = format!("{name}: step `{step}` failed{code}{went_on}");
            text.push_str(&format!("\n{}\n", style::paint(&title, 31, colours)));
            let said = |line: &&String| {
                let text = line.strip_prefix("##[error]");
                failed.exit_code.is_none() || !text.is_some_and(is_exit_message)
            };
            for line in failed.tail.iter().filter(said) {
                if let Some(line) = marker::for_people(line, colours) {
                    text.push_str(&format!("    {line}\n"));
                }
            }
        }
        text.push_str(&untold(self.failed_untold, "failed steps"));
        text
    }
}

impl Repeated {
    fn render(&self, colours: bool) -> String {
        let Annotation { level, message, title, place, .. } = &self.annotation;
        let level = marker::paint(level, &format!("{}:", escape::name(level)), colours);
        let mut text = format!("{level} ");
        for part in [place, title].into_iter().filter(|part| !part.is_empty()) {
            text.push_str(&format!("{}: ", escape::name(part)));
        }
        let message = escape::paragraph(&escape::fit(message.trim_end(), MESSAGE_CHARS));
        text.push_str(&message.replace('\n', "\n    "));
        let mut jobs: Vec<String> =
            self.jobs.iter().take(JOBS_TOLD).map(|(_, name)| escape::name(name)).collect();
        if self.jobs.len() > JOBS_TOLD {
            jobs.push("…".to_owned());
        }
        format!("{text}  {}", style::dim(&format!("({})", jobs.join(", ")), colours))
    }
}

/// `file:line`, as editors open it; empty without a file.
pub(super) fn place(file: &str, line: u32) -> String {
    match (file, line) {
        ("", _) => String::new(),
        (file, 0) => file.to_owned(),
        (file, line) => format!("{file}:{line}"),
    }
}

/// What the runner says of every process that fails.
fn is_exit_message(message: &str) -> bool {
    let code = message.strip_prefix("Process completed with exit code ");
    code.is_some_and(|code| code.trim_end_matches('.').parse::<i32>().is_ok())
}

fn untold(count: usize, what: &str) -> String {
    if count == 0 { String::new() } else { format!("… and {count} more {what}\n") }
}
