//! The environment files of a step: `GITHUB_ENV`, `GITHUB_OUTPUT`, `GITHUB_PATH`, `GITHUB_STATE`,
//! `GITHUB_STEP_SUMMARY`.
//!
//! Each step gets new, empty files; when it has ended, however it ended, the runner reads them and [`process`] says
//! what they ask for, in GitHub's order (path, env, summary, state, output). What is wrong in a file fails the step and
//! is told with GitHub's text.

mod parse;

pub use parse::{FormatError, Pairs, parse_pairs};

use super::annotations::Level;
use super::commands::{Effect, LineOutcome};

/// Most bytes of one file that are read; the runner hands over at most one byte more, which shows the excess.
pub const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes of a step's summary (GitHub's figure).
pub const MAX_SUMMARY_BYTES: usize = 1024 * 1024;

/// Most bytes of a summary in one [`Effect::Summary`].
pub const MAX_SUMMARY_PIECE_BYTES: usize = 256 * 1024;

/// One of the five files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EnvFile {
    /// `GITHUB_PATH`
    Path,
    /// `GITHUB_ENV`
    Env,
    /// `GITHUB_STEP_SUMMARY`
    StepSummary,
    /// `GITHUB_STATE`
    State,
    /// `GITHUB_OUTPUT`
    Output,
}

impl EnvFile {
    /// All of them, in the order in which they are processed.
    pub const ALL: [Self; 5] = [Self::Path, Self::Env, Self::StepSummary, Self::State, Self::Output];

    /// Member of the `github` context that holds the file's path; `GITHUB_<upper case>` in the environment.
    pub fn context_name(self) -> &'static str {
        match self {
            Self::Path => "path",
            Self::Env => "env",
            Self::StepSummary => "step_summary",
            Self::State => "state",
            Self::Output => "output",
        }
    }

    /// How the file's name starts, in the folder `_runner_file_commands` of the temporary directory.
    pub fn file_prefix(self) -> &'static str {
        match self {
            Self::Path => "add_path_",
            Self::Env => "set_env_",
            Self::StepSummary => "step_summary_",
            Self::State => "save_state_",
            Self::Output => "set_output_",
        }
    }
}

/// The folder below the temporary directory that holds the files.
pub const FOLDER: &str = "_runner_file_commands";

/// What one file asks for. Call it for each of [`EnvFile::ALL`] in order; `bytes` is empty for a file that is gone.
pub fn process(file: EnvFile, bytes: &[u8]) -> LineOutcome {
    let mut outcome = LineOutcome::default();
    let result = if file == EnvFile::StepSummary {
        summary(bytes, &mut outcome);
        Ok(())
    } else if bytes.len() > MAX_FILE_BYTES {
        Err(format!("The file is larger than {} MiB", MAX_FILE_BYTES / 1024 / 1024))
    } else {
        let text = parse::decode(bytes);
        match file {
            EnvFile::Path => path(&text, &mut outcome),
            EnvFile::Env => pairs(&text, &mut outcome, set_env),
            EnvFile::State => pairs(&text, &mut outcome, |name, value, outcome| {
                outcome.effects.push(Effect::SaveState { name, value });
            }),
            EnvFile::Output => pairs(&text, &mut outcome, |name, value, outcome| {
                outcome.effects.push(Effect::SetOutput { name, value });
            }),
            EnvFile::StepSummary => Ok(()),
        }
    };
    if let Err(reason) = result {
        let name = file.context_name();
        outcome.remark(Level::Error, &format!("Unable to process file command '{name}' successfully."));
        outcome.remark(Level::Error, &reason);
        outcome.effects.push(Effect::FailStep);
    }
    outcome
}

fn pairs(
    text: &str,
    outcome: &mut LineOutcome,
    mut each: impl FnMut(String, String, &mut LineOutcome),
) -> Result<(), String> {
    let parsed = parse_pairs(text);
    for (name, value) in parsed.pairs {
        each(name, value, outcome);
    }
    parsed.error.map_or(Ok(()), |error| Err(error.to_string()))
}

fn set_env(name: String, value: String, outcome: &mut LineOutcome) {
    if name.eq_ignore_ascii_case("NODE_OPTIONS") {
        outcome
            .remark(Level::Error, "Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command.");
    } else {
        outcome.effects.push(Effect::SetEnv { name, value });
    }
}

/// Lines end at LF, CR or CRLF here, as .NET's `ReadAllLines` has it.
fn path(text: &str, outcome: &mut LineOutcome) -> Result<(), String> {
    for line in text.split(['\n', '\r']).filter(|line| !line.is_empty()) {
        if line.contains('\0') {
            return Err("Invalid value. A directory holds a NUL character".to_owned());
        }
        outcome.effects.push(Effect::AddPath(line.to_owned()));
    }
    Ok(())
}

/// A summary that is too large is told and dropped; the step goes on.
fn summary(bytes: &[u8], outcome: &mut LineOutcome) {
    if bytes.len() > MAX_SUMMARY_BYTES {
        outcome.remark(
            Level::Error,
            &format!(
                "$GITHUB_STEP_SUMMARY upload aborted, supports content up to a size of {}k, got {}k. For more \
                 information see: \
                 https://docs.github.com/actions/using-workflows/workflow-commands-for-github-actions#adding-a-markdown-summary",
                MAX_SUMMARY_BYTES / 1024,
                bytes.len() / 1024
            ),
        );
    } else if !bytes.is_empty() {
        outcome.effects.push(Effect::Summary(bytes.to_vec()));
    }
}

#[cfg(test)]
mod tests;
