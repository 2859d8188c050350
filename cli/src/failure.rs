//! How a command ends: its exit code and, when it did not work, the one message for the person who typed it.
//!
//! The codes are part of the contract with scripts; nothing here prints.

use std::process::ExitCode;

/// The exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// 0: it worked.
    Success,
    /// 1: the workflow failed or was cancelled, also by Ctrl-C; `lint` found errors.
    WorkFailed,
    /// 2: wrong usage, or an invalid workflow, file or expression.
    Usage,
    /// 3: the fleet failed, cannot be reached, or has no agent for the job.
    FleetFailed,
    /// 70: a defect of this program (`EX_SOFTWARE` of sysexits.h).
    Defect,
}

impl Exit {
    /// The number the process ends with.
    pub fn code(self) -> u8 {
        match self {
            Exit::Success => 0,
            Exit::WorkFailed => 1,
            Exit::Usage => 2,
            Exit::FleetFailed => 3,
            Exit::Defect => 70,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit.code())
    }
}

/// Why a command did not work. Each message says where and what to do, in one line where it can.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line, a file, an expression or a workflow is wrong. Exit 2.
    #[error("{0}")]
    Usage(String),
    /// The fleet failed: no engine, no agent, no coordinator in reach. Exit 3.
    #[error("{0}")]
    Fleet(String),
    /// Whoever read our output is gone (`slipway runs | head`). Not an error to anyone: exit 0, nothing said.
    #[error("the reader of the output is gone")]
    ReaderGone,
}

impl Failure {
    /// Wrong usage or invalid input.
    pub fn usage(message: impl Into<String>) -> Self {
        Failure::Usage(message.into())
    }

    /// The fleet failed.
    pub fn fleet(message: impl Into<String>) -> Self {
        Failure::Fleet(message.into())
    }

    /// The code to end with.
    pub fn exit(&self) -> Exit {
        match self {
            Failure::Usage(_) => Exit::Usage,
            Failure::Fleet(_) => Exit::FleetFailed,
            Failure::ReaderGone => Exit::Success,
        }
    }
}
