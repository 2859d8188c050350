//! The agent's disk: how much room there is, and what is done when there is too little.
//!
//! The free room of the file systems of the data directory and of the engine is looked at all the time ([`space`]). Below a first
//! mark the agent takes no new jobs and says why; below a second one it ends the job that uses most, so that the others go on
//! ([`decide`], which is pure). A job that passes a limit of its own ([`usage`]) is ended, too. What this leads to is a [`DiskState`], which
//! the session tells the coordinator and the jobs. What earlier jobs left is collected before it comes to that ([`collect`]).
//!
//! Invariant: running jobs are ended only when new ones are kept away already; each of them hears why before its files are taken.
//!
//! Deliberately absent: quotas of the file system. They need a file system and mount options that most machines do not have; so a
//! job may pass a mark or limit for as long as it takes to look.

pub mod collect;
pub mod decide;
pub mod images;
pub mod mark;
pub mod space;
pub mod usage;
mod walk;
pub mod watch;

use std::collections::BTreeMap;

use crate::failure::{Cause, Failure};
use mark::Marks;

/// What an agent may use of its disk, and a job of it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DiskOptions {
    /// When there is too little room for new jobs, and for those that run.
    pub marks: Marks,
    /// Bytes that one job may use; none: what there is.
    pub job_bytes: Option<u64>,
    /// Bytes of images that jobs brought which may stay; none: any number.
    pub images_bytes: Option<u64>,
}

/// What the disk has to say to the rest of the agent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DiskState {
    /// Why the agent takes no new jobs.
    pub paused: Option<String>,
    /// Jobs that have to end, by the names of their folders.
    pub over: BTreeMap<String, Over>,
}

/// Why a job has to end, with a sentence for its log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Over {
    /// It passed its own limit: the work's failure, for it would do so anywhere.
    Limit(String),
    /// The disk is full, and it uses most of it: the fleet's failure, for nobody told it how much there is, and another agent may have
    /// room for it.
    Full(String),
}

impl Over {
    /// The sentence.
    #[must_use]
    pub fn message(&self) -> &str {
        match self {
            Self::Limit(message) | Self::Full(message) => message,
        }
    }

    /// The fleet's failure, where it is one.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        match self {
            Self::Limit(_) => None,
            Self::Full(message) => Some(Failure::new(Cause::DiskFull, message.clone())),
        }
    }
}
