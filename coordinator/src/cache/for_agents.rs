//! What agents are told, whose disks are a first tier of this cache for their jobs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use slipway_cache::Door;
use slipway_cache::remote::service::Places as JobPlaces;
use slipway_cas::cache::Engine;
use slipway_proto::v1;

use super::scopes::Places;
use super::{Cache, gate};
use crate::results::JobOfToken;

/// The most that an agent may say was done since it last told: what it says is added up.
const TOLD_MAX: u64 = 1 << 40;

fn sane(told: u64) -> u64 {
    told.min(TOLD_MAX)
}

/// Bytes of values that were moved between this cache and agents.
#[derive(Debug, Default)]
pub(crate) struct Moved {
    sent: AtomicU64,
    taken: AtomicU64,
}

impl Moved {
    /// So many went to agents, and came from them.
    pub(crate) fn count(&self, sent_bytes: u64, taken_bytes: u64) {
        self.sent.fetch_add(sent_bytes, Ordering::Relaxed);
        self.taken.fetch_add(taken_bytes, Ordering::Relaxed);
    }

    /// Bytes that went to agents, and that came from them.
    pub(crate) fn bytes(&self) -> [u64; 2] {
        [&self.sent, &self.taken].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Cache {
    /// What holds the values.
    pub(crate) fn engine(&self) -> &Arc<dyn Engine> {
        &self.engine
    }

    /// What agents moved.
    pub(crate) fn moved(&self) -> &Moved {
        &self.moved
    }

    /// Where this job reads and writes.
    pub(crate) fn places_of(&self, job: &JobOfToken, instance: &str) -> JobPlaces {
        let Places { read, write } = gate::of_job(job, instance);
        JobPlaces { read, write }
    }

    /// Counts what clients of this job got from their agent.
    pub(crate) fn count_uses(&self, job: &JobOfToken, uses: &[v1::CacheUse]) {
        for told in uses {
            let Some(door) = Door::of_name(&told.door) else { continue };
            let account = self.accounts.of(&job.repository, door, Some(&told.client));
            account.asked(sane(told.hits), sane(told.misses), sane(told.read_bytes));
            account.wrote(sane(told.written_bytes));
        }
    }

    /// What whoever shows no good token is told.
    pub(crate) const REFUSED: &str = gate::REFUSED;
}
