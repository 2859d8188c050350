//! What is fuzzed. Each target has good inputs, a dictionary, and promises that it checks.

mod commands;
mod env_files;
mod expressions;
mod junit;
mod parser;

/// A reader of outsiders' text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Workflow files: YAML, syntax and plan.
    Parser,
    /// Expressions, templates and conditions.
    Expressions,
    /// Workflow commands in a step's output, and its masking.
    Commands,
    /// A step's environment files.
    EnvFiles,
    /// Test reports.
    Junit,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Parser, Self::Expressions, Self::Commands, Self::EnvFiles, Self::Junit];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parser => "parser",
            Self::Expressions => "expressions",
            Self::Commands => "commands",
            Self::EnvFiles => "env-files",
            Self::Junit => "junit",
        }
    }

    pub(crate) fn corpus(self) -> &'static [&'static [u8]] {
        match self {
            Self::Parser => parser::CORPUS,
            Self::Expressions => expressions::CORPUS,
            Self::Commands => commands::CORPUS,
            Self::EnvFiles => env_files::CORPUS,
            Self::Junit => junit::CORPUS,
        }
    }

    pub(crate) fn dictionary(self) -> &'static [&'static [u8]] {
        match self {
            Self::Parser => parser::DICTIONARY,
            Self::Expressions => expressions::DICTIONARY,
            Self::Commands => commands::DICTIONARY,
            Self::EnvFiles => env_files::DICTIONARY,
            Self::Junit => junit::DICTIONARY,
        }
    }

    /// Reads an input. Panics when a promise is broken.
    pub fn run(self, input: &[u8]) {
        match self {
            Self::Parser => parser::run(input),
            Self::Expressions => expressions::run(input),
            Self::Commands => commands::run(input),
            Self::EnvFiles => env_files::run(input),
            Self::Junit => junit::run(input),
        }
    }
}
