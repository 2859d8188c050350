//! A leased job's token.

use serde_json::Value as Json;
use slipway_scheduler::command::Trust;

use super::Results;
use super::error::ResultsError;
use super::kept::family;
use super::limits::TOKEN_FOR;
use super::scopes;
use super::token::{Claims, Grant};
use crate::driver::message::RunLease;
use crate::services::Services;

impl Results {
    /// The token of a job whose lease is live. It is the same whenever it is asked for: an agent that goes on with a job
    /// masks the token that the job's processes have had from the beginning.
    ///
    /// # Errors
    /// [`ResultsError`], when the run or its event can't be read.
    pub async fn token(&self, services: &Services, lease: RunLease) -> Result<String, ResultsError> {
        let run = services
            .driver
            .query(move |view| {
                let run = view.state.run(lease.run)?;
                let attempts = view.state.instance(lease.lease.instance)?.attempts();
                let attempt = attempts.iter().find(|attempt| attempt.token == lease.lease.token)?;
                Some((run.meta().clone(), run.event(), attempt.started_at.0))
            })
            .await
            .map_err(|error| ResultsError::Failed(error.to_string()))?;
        let (meta, event, leased_ms) =
            run.ok_or_else(|| ResultsError::NotFound(format!("run {} has no such lease", lease.run)))?;
        let failed =
            |error: &dyn std::fmt::Display| ResultsError::Failed(format!("the run's event: {error}"));
        let event = services.store.get(event).await.map_err(|error| failed(&error))?;
        let event: Json = serde_json::from_slice(&event).map_err(|error| failed(&error))?;
        let known = services.repositories.find(&meta.repository);
        let default_branch = known.map(|known| known.default_branch).unwrap_or_default();
        let grant = Grant {
            lease,
            scopes: scopes::of_run(&meta, &event, &default_branch),
            repository: format!("{}/{}", meta.forge, meta.repository),
            family: family(&meta.workflow_file, meta.run_number),
            run_attempt: meta.run_attempt,
            outside: meta.trust == Trust::Untrusted,
        };
        Ok(Claims::new(&grant, leased_ms / 1_000, TOKEN_FOR.as_secs()).token(&self.0.tokens))
    }
}
