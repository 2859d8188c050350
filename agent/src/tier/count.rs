//! What clients of a job got here, told to the coordinator: it counts for all agents.
//!
//! Told again and again while something is done, and once more at the end. What a lost answer was about counts twice.

use std::collections::BTreeMap;
use std::sync::Arc;

use slipway_cache::accounts::{Figures, Who};
use slipway_cache::limits::REMOTE_USES;
use slipway_proto::v1;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::gate::JobGate;
use crate::limits::TIER_TELLS;

/// Tells until the guard is dropped, and then the rest.
pub(super) fn tell(gate: &Arc<JobGate>) -> DropGuard {
    let over = CancellationToken::new();
    let (gate, until) = (Arc::clone(gate), over.clone());
    tokio::spawn(async move {
        let mut told = BTreeMap::new();
        while until.run_until_cancelled(tokio::time::sleep(TIER_TELLS)).await.is_some() {
            some(&gate, &mut told).await;
        }
        while some(&gate, &mut told).await {}
    });
    over.drop_guard()
}

/// Tells as much as one call takes; whether there was something, and it was taken.
async fn some(gate: &JobGate, told: &mut BTreeMap<Who, Figures>) -> bool {
    let mut news = gate.accounts.figures();
    news.retain(|(who, figures)| told.get(who) != Some(figures));
    news.truncate(REMOTE_USES);
    if news.is_empty() {
        return false;
    }
    let uses = news.iter().map(|(who, figures)| since(who, figures, told.get(who))).collect();
    let taken = gate.ask("", uses).await.is_ok();
    if taken {
        told.extend(news);
    }
    taken
}

fn since(who: &Who, now: &Figures, told: Option<&Figures>) -> v1::CacheUse {
    let told = told.copied().unwrap_or_default();
    v1::CacheUse {
        door: who.door.name().to_owned(),
        client: who.client.clone(),
        hits: now.hits - told.hits,
        misses: now.misses - told.misses,
        read_bytes: now.read_bytes - told.read_bytes,
        written_bytes: now.written_bytes - told.written_bytes,
    }
}
