//! Keeping house: what the cache holds, what nobody uses any more, and whether all of it is whole.

use std::collections::HashMap;

use serde::Serialize;
use slipway_cache::accounts::{Figures as AccountFigures, Who};
use slipway_cas::cache::blobs::{Pruned, Scrubbed, prune};
use slipway_cas::cache::{CacheError, Holding, Stats};

use super::Cache;
use super::scopes::{self, OF_PULL_REQUESTS, OF_REPOSITORIES};

/// Owners that are told at most.
const HELD_MAX: usize = 1_000;

/// What there is to say about the cache for build tools.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CacheState {
    /// `disk`, `redis` or `off`.
    pub(crate) place: &'static str,
    /// Whether what backs it answers.
    pub(crate) up: bool,
    /// The object store behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<StoreState>,
    /// Figures since the coordinator started; none while it cannot be asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) figures: Option<Figures>,
    /// What whose values take, those with most bytes first; of Redis as it was when the leader last walked over all of it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) held: Vec<Held>,
    /// What each repository's clients, and people's, asked for and got since the coordinator started.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) clients: Vec<Client>,
    /// The hits and misses of all of them by the hour, the last week's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) hours: Vec<Hour>,
}

/// What there is to say about the object store behind the cache.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct StoreState {
    /// Its address.
    pub(crate) url: String,
    /// Whether it answers.
    pub(crate) up: bool,
    /// Figures since the coordinator started: values that were found there, those that were not, and so on.
    figures: Figures,
}

/// What is kept for somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Held {
    /// Forge and repository; none: people's tools, or a repository that was not heard of since the coordinator started.
    pub(crate) repository: Option<String>,
    /// `own`: of its branches and tags; `pull_requests`: of these, together; `other`: neither.
    pub(crate) kind: &'static str,
    pub(crate) values: u64,
    pub(crate) stored_bytes: u64,
    /// The most that it may be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quota_bytes: Option<u64>,
}

/// What one kind of client did.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Client {
    /// The repository of a job; none: people and their machines.
    pub(crate) repository: Option<String>,
    pub(crate) door: &'static str,
    /// What it calls itself, without a version.
    pub(crate) client: String,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    hit_rate: Option<f64>,
    pub(crate) read_bytes: u64,
    pub(crate) written_bytes: u64,
}

/// An hour's hits and misses.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Hour {
    /// When it began, Unix seconds.
    pub(crate) start_s: u64,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    pub(crate) hit_rate: Option<f64>,
}

fn rate(hits: u64, misses: u64) -> Option<f64> {
    let asked = hits.saturating_add(misses);
    (asked > 0).then(|| hits as f64 / asked as f64)
}

/// [`Stats`], as the API has them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    /// Values held, where that is known without looking at each.
    pub(crate) values: Option<u64>,
    /// Bytes held.
    pub(crate) stored_bytes: Option<u64>,
    pub(crate) hits: u64,
    pub(crate) misses: u64,
    /// Of those asked for, the share that was there; none were asked for: null.
    pub(crate) hit_rate: Option<f64>,
    pub(crate) puts: u64,
    pub(crate) evicted: u64,
    pub(crate) damaged: u64,
    pub(crate) refused_reads: u64,
    pub(crate) dropped_writes: u64,
}

impl From<Stats> for Figures {
    fn from(stats: Stats) -> Self {
        Self {
            values: stats.values,
            stored_bytes: stats.stored_bytes,
            hits: stats.hits,
            misses: stats.misses,
            hit_rate: rate(stats.hits, stats.misses),
            puts: stats.puts,
            evicted: stats.evicted,
            damaged: stats.damaged,
            refused_reads: stats.refused_reads,
            dropped_writes: stats.dropped_writes,
        }
    }
}

impl CacheState {
    /// There is no cache.
    pub(crate) const OFF: Self = Self {
        place: "off",
        up: false,
        store: None,
        figures: None,
        held: Vec::new(),
        clients: Vec::new(),
        hours: Vec::new(),
    };
}

impl Cache {
    /// What there is to say about it; `repositories` are those whose names may be told, beside those that used it.
    pub(crate) async fn state(&self, repositories: Vec<String>) -> CacheState {
        let place = if self.redis.is_some() { "redis" } else { "disk" };
        let hours = self.accounts.hours().into_iter().map(|hour| Hour {
            start_s: hour.start_s,
            hits: hour.hits,
            misses: hour.misses,
            hit_rate: rate(hour.hits, hour.misses),
        });
        CacheState {
            place,
            up: self.is_up(),
            store: self.store_state().await,
            figures: self.stats().await.map(Figures::from),
            held: self.held(repositories).await,
            clients: self.clients(),
            hours: hours.collect(),
        }
    }

    /// What there is to say about the object store.
    async fn store_state(&self) -> Option<StoreState> {
        let url = self.store.as_ref()?.url.clone();
        let (up, stats) = self.behind().await?;
        Some(StoreState { url, up, figures: Figures::from(stats) })
    }

    /// What each kind of client did.
    pub(crate) fn clients(&self) -> Vec<Client> {
        let client = |(who, figures): (Who, AccountFigures)| Client {
            repository: (!who.repository.is_empty()).then_some(who.repository),
            door: who.door.name(),
            client: who.client,
            hits: figures.hits,
            misses: figures.misses,
            hit_rate: rate(figures.hits, figures.misses),
            read_bytes: figures.read_bytes,
            written_bytes: figures.written_bytes,
        };
        self.accounts.figures().into_iter().map(client).collect()
    }

    /// What is kept for whom; owners are hashes, which are told from the names that are known.
    async fn held(&self, mut repositories: Vec<String>) -> Vec<Held> {
        repositories.extend(self.accounts.figures().into_iter().map(|(who, _)| who.repository));
        let mut names = HashMap::new();
        for repository in repositories.into_iter().filter(|repository| !repository.is_empty()) {
            for kind in [OF_REPOSITORIES, OF_PULL_REQUESTS] {
                names.insert(scopes::owner(kind, &repository), repository.clone());
            }
        }
        let held = |holding: Holding| {
            let (kind, quota_bytes) = match &holding.owner {
                owner if owner.starts_with(OF_REPOSITORIES) => ("own", self.quotas.map(|[own, _]| own)),
                owner if owner.starts_with(OF_PULL_REQUESTS) => {
                    ("pull_requests", self.quotas.map(|[_, pulls]| pulls))
                }
                _ => ("other", None),
            };
            let repository = names.get(&holding.owner).cloned();
            Held { repository, kind, values: holding.values, stored_bytes: holding.size_bytes, quota_bytes }
        };
        self.holdings().await.into_iter().take(HELD_MAX).map(held).collect()
    }

    /// Removes what was not used for so many seconds, of everybody; a dry run only counts. What is in the object store too counts
    /// there once more.
    ///
    /// # Errors
    /// [`CacheError::Unavailable`].
    pub(crate) async fn prune(&self, idle_s: u64, dry_run: bool) -> Result<Pruned, CacheError> {
        let mut pruned = prune(&*self.near, idle_s, dry_run).await?;
        if let Some(store) = &self.store {
            let behind = prune(&*store.guarded, idle_s, dry_run).await?;
            pruned.values += behind.values;
            pruned.size_bytes += behind.size_bytes;
            pruned.seen += behind.seen;
        }
        Ok(pruned)
    }

    /// Reads and checks everything, and removes what is damaged or lists what is gone. It takes as long as reading all of it does.
    ///
    /// # Errors
    /// [`CacheError::Unavailable`].
    pub(crate) async fn check(&self) -> Result<Scrubbed, CacheError> {
        self.blobs.scrub().await
    }
}
