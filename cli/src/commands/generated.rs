//! `slipway completions SHELL`, `slipway manual FOLDER`: what packages install beside the programs, made from the same flags that
//! the programs read.

use std::path::PathBuf;

use clap::{Args, CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use crate::failure::{Exit, Failure};
use crate::output::Out;

/// Flags of `slipway completions`.
#[derive(Debug, Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
    /// Of which program
    #[arg(long, value_name = "PROGRAM", default_value = "slipway")]
    program: Program,
}

/// Flags of `slipway manual`.
#[derive(Debug, Args)]
pub struct Manual {
    /// A folder; files that are there under the same names are replaced
    folder: PathBuf,
}

/// The programs of this project.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Program {
    /// The command line
    Slipway,
    /// The coordinator
    SlipwayCoordinator,
    /// The agent
    SlipwayAgent,
}

impl Program {
    fn command(self) -> clap::Command {
        match self {
            Self::Slipway => crate::cli::command(),
            Self::SlipwayCoordinator => {
                let command = clap::Command::new("slipway-coordinator")
                    .about("Takes commands and webhooks, decides, keeps the journal, leases jobs to agents");
                slipway_coordinator::options::Flags::augment_args(command)
            }
            Self::SlipwayAgent => slipway_agent::options::Arguments::command().name("slipway-agent"),
        }
        .version(env!("CARGO_PKG_VERSION"))
    }
}

impl Completions {
    pub(crate) fn run(self, out: &mut Out) -> Result<Exit, Failure> {
        let mut command = self.program.command();
        let (name, mut script) = (command.get_name().to_owned(), Vec::new());
        clap_complete::generate(self.shell, &mut command, name, &mut script);
        out.text(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Success)
    }
}

impl Manual {
    /// A page for each program and one for each of its commands, as git has them: `slipway-agents-drain.1`.
    pub(crate) fn run(self, out: &mut Out) -> Result<Exit, Failure> {
        let cannot = |error| Failure::usage(format!("{}: {error}", self.folder.display()));
        std::fs::create_dir_all(&self.folder).map_err(cannot)?;
        for program in Program::value_variants() {
            // What `help` would say is on the pages themselves.
            let command = program.command().disable_help_subcommand(true);
            clap_mangen::generate_to(command, &self.folder).map_err(cannot)?;
        }
        out.line(&format!("the manual pages are in {}", self.folder.display()))?;
        Ok(Exit::Success)
    }
}
