//! Where the projections come from: the journal, attempts' records, and what is known of agents.

use slipway_scheduler::AgentId;
use slipway_scheduler::fleet::AgentStatus;

use super::sql;
use super::steps::{self, Steps};
use super::tables::{HistoryError, Statement};
use crate::driver::{DriverError, Stretch};
use crate::records::AttemptKey;
use crate::services::Services;

/// An agent as it is known now. It is not in the journal: of one that is gone, the row that there is stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgentRow {
    pub(crate) agent: AgentId,
    pub(crate) name: String,
    pub(crate) arch: String,
    pub(crate) labels: String,
    pub(crate) seen_ms: u64,
}

impl AgentRow {
    /// What writes it.
    pub(crate) fn statement(&self) -> Statement {
        let Self { agent, name, arch, labels, seen_ms } = self;
        let agent = agent.to_string();
        Statement::new(
            sql::AGENT,
            [(&agent).into(), name.into(), arch.into(), labels.into(), (*seen_ms).into()],
        )
    }
}

/// What a projector reads.
pub(crate) trait Source: Send + Sync {
    /// At most `most` records after a position.
    fn stretch(
        &self,
        position: u64,
        most: usize,
    ) -> impl Future<Output = Result<Stretch, HistoryError>> + Send;

    /// The steps and test cases of an attempt that has ended; `None`: its records are gone.
    fn steps(&self, key: AttemptKey) -> impl Future<Output = Result<Option<Steps>, HistoryError>> + Send;

    /// Those of the agents that are known.
    fn agents(
        &self,
        agents: Vec<AgentId>,
    ) -> impl Future<Output = Result<Vec<AgentRow>, HistoryError>> + Send;
}

impl From<DriverError> for HistoryError {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Stopped => Self::Stopped,
            DriverError::Follows(_) => Self::Fenced,
            other => Self::Source(other.to_string()),
        }
    }
}

impl Source for Services {
    async fn stretch(&self, position: u64, most: usize) -> Result<Stretch, HistoryError> {
        Ok(self.driver.stretch(position, most).await?)
    }

    async fn steps(&self, key: AttemptKey) -> Result<Option<Steps>, HistoryError> {
        let read = steps::read(&self.records, key).await;
        read.map_err(|error| HistoryError::Source(format!("steps of run {}: {error}", key.run)))
    }

    async fn agents(&self, agents: Vec<AgentId>) -> Result<Vec<AgentRow>, HistoryError> {
        let rows = self.driver.query(move |view| {
            let known = agents.into_iter().filter_map(|agent| view.fleet.agent(agent));
            let row = |agent: AgentStatus<'_>| AgentRow {
                agent: agent.profile.id,
                name: agent.profile.name.clone(),
                arch: crate::view::arch(&agent.profile.labels).to_owned(),
                labels: agent.profile.labels.to_string(),
                seen_ms: view.now.0,
            };
            known.map(row).collect()
        });
        Ok(rows.await?)
    }
}
