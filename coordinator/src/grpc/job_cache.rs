//! `slipway.v1.JobCache`: who of the agents asks for which job.

use slipway_cache::remote::service::Places;
use slipway_cache::remote::{JobCacheService, Jobs};
use slipway_proto::v1;
use tonic::{Extensions, Status};

use super::auth::Caller;
use crate::cache::Cache;
use crate::results::JobOfToken;
use crate::services::Services;

struct Leased {
    services: Services,
    cache: Cache,
}

/// The service; none: the cache is off.
pub(super) fn service(services: &Services) -> Option<JobCacheService> {
    let cache = services.cache.clone()?;
    let engine = cache.engine().clone();
    Some(JobCacheService::new(engine, std::sync::Arc::new(Leased { services: services.clone(), cache })))
}

impl Leased {
    /// The job that goes on with this token.
    fn job(&self, token: &str) -> Result<JobOfToken, Status> {
        let authorization = format!("Bearer {token}");
        let job = self.services.results.job_of(Some(authorization.as_bytes()));
        job.map_err(|_| Status::unauthenticated(Cache::REFUSED))
    }
}

impl Jobs for Leased {
    fn places(&self, caller: &Extensions, token: &str, instance: &str) -> Result<Places, Status> {
        let agent = Caller::agent_of(caller)?;
        let job = self.job(token)?;
        if !self.services.driver.leases().is_live_for(&job.lease, agent) {
            return Err(Status::unauthenticated(Cache::REFUSED));
        }
        Ok(self.cache.places_of(&job, instance))
    }

    fn count(&self, token: &str, uses: &[v1::CacheUse]) {
        if let Ok(job) = self.job(token) {
            self.cache.count_uses(&job, uses);
        }
    }

    fn moved(&self, sent_bytes: u64, taken_bytes: u64) {
        self.cache.moved().count(sent_bytes, taken_bytes);
    }
}
