//! What is fuzzed. Each target has good inputs, a dictionary, and promises that it checks.

mod archives;
mod commands;
mod env_files;
mod expressions;
mod junit;
mod parser;
mod report_files;
mod resource_names;
mod results;
mod webhooks;

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
    /// Coverage in LCOV's form.
    Lcov,
    /// Coverage in Cobertura's form.
    Cobertura,
    /// Findings in SARIF.
    Sarif,
    /// Bills of materials, in CycloneDX's and SPDX's forms.
    Sbom,
    /// Bodies of webhooks.
    Webhooks,
    /// Names of blobs in ByteStream.
    ResourceNames,
    /// What clients of the cache and artifact services send.
    Results,
    /// Archives of artifacts.
    Archives,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Parser,
        Self::Expressions,
        Self::Commands,
        Self::EnvFiles,
        Self::Junit,
        Self::Lcov,
        Self::Cobertura,
        Self::Sarif,
        Self::Sbom,
        Self::Webhooks,
        Self::ResourceNames,
        Self::Results,
        Self::Archives,
    ];

    /// Its name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Parser => "parser",
            Self::Expressions => "expressions",
            Self::Commands => "commands",
            Self::EnvFiles => "env-files",
            Self::Junit => "junit",
            Self::Lcov => "lcov",
            Self::Cobertura => "cobertura",
            Self::Sarif => "sarif",
            Self::Sbom => "sbom",
            Self::Webhooks => "webhooks",
            Self::ResourceNames => "resource-names",
            Self::Results => "results",
            Self::Archives => "archives",
        }
    }

    pub(crate) fn corpus(self) -> &'static [&'static [u8]] {
        match self {
            Self::Parser => parser::CORPUS,
            Self::Expressions => expressions::CORPUS,
            Self::Commands => commands::CORPUS,
            Self::EnvFiles => env_files::CORPUS,
            Self::Junit => junit::CORPUS,
            Self::Lcov => report_files::LCOV_CORPUS,
            Self::Cobertura => report_files::COBERTURA_CORPUS,
            Self::Sarif => report_files::SARIF_CORPUS,
            Self::Sbom => report_files::SBOM_CORPUS,
            Self::Webhooks => webhooks::CORPUS,
            Self::ResourceNames => resource_names::CORPUS,
            Self::Results => results::CORPUS,
            Self::Archives => archives::CORPUS,
        }
    }

    pub(crate) fn dictionary(self) -> &'static [&'static [u8]] {
        match self {
            Self::Parser => parser::DICTIONARY,
            Self::Expressions => expressions::DICTIONARY,
            Self::Commands => commands::DICTIONARY,
            Self::EnvFiles => env_files::DICTIONARY,
            Self::Junit => junit::DICTIONARY,
            Self::Lcov => report_files::LCOV_DICTIONARY,
            Self::Cobertura => report_files::COBERTURA_DICTIONARY,
            Self::Sarif => report_files::SARIF_DICTIONARY,
            Self::Sbom => report_files::SBOM_DICTIONARY,
            Self::Webhooks => webhooks::DICTIONARY,
            Self::ResourceNames => resource_names::DICTIONARY,
            Self::Results => results::DICTIONARY,
            Self::Archives => archives::DICTIONARY,
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
            Self::Lcov => report_files::lcov(input),
            Self::Cobertura => report_files::cobertura(input),
            Self::Sarif => report_files::sarif(input),
            Self::Sbom => report_files::sbom(input),
            Self::Webhooks => webhooks::run(input),
            Self::ResourceNames => resource_names::run(input),
            Self::Results => results::run(input),
            Self::Archives => archives::run(input),
        }
    }
}
