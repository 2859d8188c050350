//! What a forge is told of runs, in words of ours: reports on commits, and what a forge asks for in return.
//!
//! The way: [`desired`] reads from the driver's state what there is to tell, [`reporter`] compares it with what was told
//! ([`told`], part of the journal) and lets [`telling`] tell the difference over a [`Forge`]; [`details`] reads steps,
//! annotations, summaries and failing tests from an attempt's records, and [`output`] makes Markdown of them. [`missed`] asks for
//! deliveries that never came, [`asks`] does what people ask for with the buttons of a report, [`rules`] holds commits against what a
//! repository asks of them.
//!
//! Invariants: what is told is a function of the journal and the records. A report is made once: its id is journaled, and one whose
//! making is uncertain (a crash, a lost answer) is looked for at the forge before it is made. A forge that is slow or away holds up
//! nothing but its own reports. GitHub's JSON stops in [`crate::github`]; another forge is another implementation of [`Forge`].

pub(crate) mod asks;
pub(crate) mod commits;
pub(crate) mod contexts;
mod deployments;
pub(crate) mod desired;
mod details;
mod findings;
mod gates;
mod held;
mod item;
pub(crate) mod missed;
mod output;
pub(crate) mod reporter;
pub mod rules;
mod telling;
pub mod told;
mod words;

pub(crate) use deployments::is_ours as is_our_deployment;

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where a report belongs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// `owner/name`.
    pub repository: String,
    /// The commit that people look at: of a pull request its head.
    pub sha: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.repository, self.sha)
    }
}

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conclusion {
    /// Well.
    Success,
    /// Not well.
    Failure,
    /// Somebody or something ended it.
    Cancelled,
    /// It did not run.
    Skipped,
    /// It took too long.
    TimedOut,
    /// Somebody has to let it begin: it is over only as far as the forge goes.
    ActionRequired,
}

/// How far something is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It waits.
    Queued,
    /// It runs.
    Running,
    /// It is over.
    Done(Conclusion),
}

impl Stage {
    /// Whether it is over.
    #[must_use]
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Done(_))
    }

    /// Whether something else will have to be told later, although a forge has it as over.
    #[must_use]
    pub const fn goes_on(self) -> bool {
        matches!(self, Self::Done(Conclusion::ActionRequired))
    }
}

/// How bad what an annotation says is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// For information.
    Notice,
    /// It may be wrong.
    Warning,
    /// It is wrong.
    Failure,
}

/// Something to say about a line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// The file, in the repository.
    pub path: String,
    /// First and last line, from 1.
    pub lines: (u32, u32),
    /// First and last column, from 1; only of one line.
    pub columns: Option<(u32, u32)>,
    /// How bad.
    pub level: Level,
    /// In a few words; may be empty.
    pub title: String,
    /// What.
    pub message: String,
}

/// What a person may ask for at the forge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Button {
    /// Run it again.
    Rerun,
    /// End it.
    Cancel,
}

/// A report on a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// What people see, and rules require.
    pub name: String,
    /// Ours: finds it again.
    pub external_id: String,
    /// A page with more.
    pub details_url: Option<String>,
    /// How far it is.
    pub stage: Stage,
    /// Unix milliseconds.
    pub started_ms: Option<u64>,
    /// Unix milliseconds.
    pub finished_ms: Option<u64>,
    /// In one line.
    pub title: String,
    /// Markdown.
    pub summary: String,
    /// To be added to those that were told before.
    pub annotations: Vec<Annotation>,
    /// What people may ask for.
    pub buttons: Vec<Button>,
}

/// A report as the forge has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The forge's id.
    pub id: u64,
    /// Whether it is over there.
    pub done: bool,
    /// How many annotations it has.
    pub annotations: usize,
}

/// Something that goes to an environment, as the forge is told of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deployment {
    /// The environment's name.
    pub environment: String,
    /// Ours: finds it again.
    pub external_id: String,
    /// In one line.
    pub description: String,
}

/// How far a deployment is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deploying {
    /// It waits for people or for a time.
    Pending,
    /// It waits for an agent.
    Queued,
    /// It runs.
    Running,
    /// It is there.
    Success,
    /// The work failed.
    Failure,
    /// Somebody, or the fleet, ended it on the way.
    Error,
    /// It never began, and never will.
    Inactive,
}

/// What is said of a deployment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeploymentStatus {
    /// How far it is.
    pub state: Deploying,
    /// In one line.
    pub description: String,
    /// The job's page.
    pub log_url: Option<String>,
    /// Where what was deployed can be seen.
    pub environment_url: Option<String>,
}

/// A commit, as the forge has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub sha: String,
    /// Its whole message.
    pub message: String,
    /// Who made it: their account, or else the name that the commit says.
    pub author: String,
    /// Whether it has several parents.
    pub is_merge: bool,
    /// Whether the forge verified its signature; else why not.
    pub verified: Result<(), String>,
}

/// What is between two commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commits {
    /// Oldest first, [`rules::COMMITS_MAX`] at most.
    pub list: Vec<Commit>,
    /// How many there are.
    pub total: usize,
}

/// A delivery that did not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// The forge's id of this try.
    pub id: u64,
    /// The delivery's own, the same in each try.
    pub guid: String,
    /// When it was tried, Unix milliseconds.
    pub at_ms: u64,
}

/// What became of a request that did not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ForgeError {
    /// The forge refuses it, and would again.
    #[error("refused: {0}")]
    Refused(String),
    /// The same, and because we may not do such a thing there at all.
    #[error("not allowed: {0}")]
    Forbidden(String),
    /// It was not done; later it may be. With a time the forge said when, for all requests.
    #[error("not now: {message}")]
    Later {
        /// How long to wait, if the forge said so.
        wait: Option<Duration>,
        /// Why.
        message: String,
    },
    /// Nobody knows whether it was done.
    #[error("no answer: {0}")]
    Uncertain(String),
}

/// A forge that can be told of runs.
#[async_trait::async_trait]
pub trait Forge: fmt::Debug + Send + Sync {
    /// Its host, as runs name it.
    fn host(&self) -> &str;

    /// How long a request may go on at the forge after whoever sent it is gone.
    fn answers_within(&self) -> Duration;

    /// The most annotations of one request.
    fn annotations_at_once(&self) -> usize;

    /// Whether there is room for what can be left out.
    fn has_room(&self) -> bool;

    /// Finds a report by what we call it.
    ///
    /// # Errors
    /// [`ForgeError`].
    async fn find(&self, place: &Place, name: &str, external_id: &str) -> Result<Option<Seen>, ForgeError>;

    /// Looks at a report.
    ///
    /// # Errors
    /// [`ForgeError`].
    async fn look(&self, place: &Place, id: u64) -> Result<Seen, ForgeError>;

    /// Makes a report; gives the forge's id.
    ///
    /// # Errors
    /// [`ForgeError`].
    async fn make(&self, place: &Place, report: &Report) -> Result<u64, ForgeError>;

    /// Changes a report.
    ///
    /// # Errors
    /// [`ForgeError`].
    async fn change(&self, place: &Place, id: u64, report: &Report) -> Result<(), ForgeError>;

    /// Finds a deployment by what we call it.
    ///
    /// # Errors
    /// [`ForgeError`].
    async fn find_deployment(&self, place: &Place, wanted: &Deployment) -> Result<Option<u64>, ForgeError>;

    /// Makes a deployment; gives the forge's id.
    ///
    /// # Errors
    /// [`ForgeError`].
    async fn deploy(&self, place: &Place, wanted: &Deployment) -> Result<u64, ForgeError>;

    /// How far a deployment is there; `None`: nothing was said of it yet, or something that we never say.
    ///
    /// # Errors
    /// [`ForgeError`].
    async fn deployed(&self, place: &Place, id: u64) -> Result<Option<Deploying>, ForgeError>;

    /// Says how far a deployment is.
    ///
    /// # Errors
    /// [`ForgeError`].
    async fn say_deployed(
        &self,
        place: &Place,
        id: u64,
        environment: &str,
        status: &DeploymentStatus,
    ) -> Result<(), ForgeError>;

    /// The commits that `head` has and `base` (a commit or a branch) has not.
    ///
    /// # Errors
    /// [`ForgeError`].
    async fn commits(&self, repository: &str, base: &str, head: &str) -> Result<Commits, ForgeError>;

    /// Deliveries since this time that did not get through in any try; `None`: this forge does not tell.
    ///
    /// # Errors
    /// [`ForgeError`].
    async fn missed(&self, since_ms: u64) -> Result<Option<Vec<Missed>>, ForgeError>;

    /// Asks for a delivery once more.
    ///
    /// # Errors
    /// [`ForgeError`].
    async fn redeliver(&self, id: u64) -> Result<(), ForgeError>;

    /// Whether a delivery's payload is about a report that this program made itself.
    fn is_own(&self, event: &str, payload: &serde_json::Value) -> bool;
}
