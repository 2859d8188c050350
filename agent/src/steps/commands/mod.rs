//! Workflow commands: lines of a step's output that tell the runner something.
//!
//! [`Commands::interpret`] takes one line and says what to write to the log instead of it and what it asks for; it
//! applies nothing itself. The rules and texts are those of GitHub's `ActionCommandManager`. Lines that are no command
//! pass through byte for byte, UTF-8 or not.
//!
//! One value serves one step: GitHub's stop token and echo switch do not outlive a step either.

mod interpret;
mod parse;

use serde::{Deserialize, Serialize};

pub use parse::Properties;

use super::annotations::{Annotation, Level};

/// What is fixed for a step before it runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommandOptions {
    /// Debug messages go to the log, and commands are echoed (`ACTIONS_STEP_DEBUG`).
    pub debug: bool,
    /// `ACTIONS_ALLOW_UNSECURE_COMMANDS` is true: `set-env` and `add-path` work.
    pub allow_unsecure_commands: bool,
    /// `ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS` is true.
    pub allow_unsecure_stop_tokens: bool,
    /// The workspace as the step sees it; annotations' files become relative to it.
    pub workspace: String,
}

impl CommandOptions {
    /// Reads the two `ACTIONS_ALLOW_…` switches from the step's `env` context.
    pub fn new<'a>(debug: bool, workspace: &str, env: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut options = Self { debug, workspace: workspace.to_owned(), ..Self::default() };
        for (key, value) in env {
            let value = value.trim();
            match key {
                "ACTIONS_ALLOW_UNSECURE_COMMANDS" => {
                    options.allow_unsecure_commands = value.eq_ignore_ascii_case("true");
                }
                "ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS" => {
                    options.allow_unsecure_stop_tokens =
                        ["true", "1", "$true"].iter().any(|yes| value.eq_ignore_ascii_case(yes));
                }
                _ => {}
            }
        }
        options
    }
}

/// What a command or an environment file asks for. In the order given, applied at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// An output of this step; names ignore case.
    SetOutput {
        /// Never empty.
        name: String,
        /// Any text.
        value: String,
    },
    /// State for the same action's post step (`STATE_<name>`).
    SaveState {
        /// Never empty.
        name: String,
        /// Any text.
        value: String,
    },
    /// A variable for the steps after this one.
    SetEnv {
        /// Never empty, without NUL.
        name: String,
        /// Without NUL.
        value: String,
    },
    /// A directory to put in front of `PATH` for the steps after this one.
    AddPath(String),
    /// A value to mask, whole and by lines, in everything that follows.
    AddMask(String),
    /// An annotation, not masked yet.
    Annotate(Annotation),
    /// A piece of the step's summary (Markdown), not masked yet.
    Summary(Vec<u8>),
    /// The problem matchers of this file count from here on.
    AddMatchers(String),
    /// The problem matcher of this owner counts no more.
    RemoveMatcher(String),
    /// Those of this file count no more.
    RemoveMatchers(String),
    /// The step has failed, whatever its exit code.
    FailStep,
}

/// What becomes of a line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LineOutcome {
    /// What to write to the log, line by line, not masked yet. A plain line stands here as it came.
    pub texts: Vec<Vec<u8>>,
    /// What it asks for. Masks apply to this line's texts already.
    pub effects: Vec<Effect>,
}

impl LineOutcome {
    /// A message with a tag; a message of several lines makes several, the first of them tagged.
    pub(super) fn say(&mut self, tag: &str, message: &str) {
        let text = format!("##[{tag}]{message}");
        self.texts.extend(text.lines().map(|line| line.as_bytes().to_vec()));
    }

    /// An annotation and its line in the log.
    pub(super) fn annotate(&mut self, annotation: Annotation) {
        if !annotation.message.is_empty() {
            self.say(annotation.level.name(), &annotation.message);
        }
        if annotation.is_shown() {
            self.effects.push(Effect::Annotate(annotation));
        }
    }

    /// A message of the runner, shown and annotated.
    pub(crate) fn remark(&mut self, level: Level, message: &str) {
        self.annotate(Annotation::plain(level, message));
    }
}

/// The commands of one step: where its interpretation stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commands {
    /// Set by `::echo::`; unset, commands are echoed when debugging.
    echo: Option<bool>,
    /// Commands are stopped until this one comes.
    stop_token: Option<String>,
    /// The long line under way on standard output, standard error is a refused command: its pieces are swallowed.
    swallowing: [bool; 2],
}

#[cfg(test)]
mod tests;
