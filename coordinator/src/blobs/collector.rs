//! Removes the blobs that no run names any more.
//!
//! Specifications, outputs, events, workflows and uploaded working trees are blobs. The scheduler's state and the ledger
//! say which are in use; a run's context says which working tree it is of. What none of these names, and nobody put for
//! some days, goes. The days are for what is on its way: a blob is there before the run that names it.
//!
//! Invariant: nothing that the durable state names is removed. Who names a blob again that nobody named puts or renews it
//! first, which is safe at any time ([`Store::collect`](slipway_cas::Store::collect)); and a run that repeats another
//! names what that one still does.

use std::collections::{BTreeSet, HashSet};
use std::io::{self, Write as _};
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use slipway_cas::{Digest, StoreError};
use slipway_scheduler::state::{Call, FrozenState, Job};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use super::hashes::Hashes;
use crate::driver::ledger::Ledger;
use crate::give_way::give_way;
use crate::services::Services;

/// How long blobs stay that no run names, unless told otherwise.
pub(crate) const KEEP_BLOBS_DAYS: u32 = 7;

/// How often they are looked for, the first time at the start.
const COLLECT_EVERY: Duration = Duration::from_secs(24 * 60 * 60);

/// Contexts that are read at a time.
const READS: usize = 8;

/// Until the coordinator ends, or never where they are kept for ever.
pub(crate) async fn run(services: Services) {
    let Some(keep) = services.options.keep_blobs else { return };
    let mut turns = interval(COLLECT_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if let Err(error) = collect(&services, keep).await {
            tracing::warn!(%error, "blobs that no run names could not be removed; it is tried again tomorrow");
        }
    }
}

async fn collect(services: &Services, keep: Duration) -> Result<(), StoreError> {
    let Ok(_no_backup) = services.backups.try_write() else {
        tracing::info!("blobs that no run names stay until tomorrow: a backup is being made");
        return Ok(());
    };
    let now = UNIX_EPOCH + Duration::from_millis(services.clock.unix_ms());
    let Some(before) = now.checked_sub(keep) else { return Ok(()) };
    let known = services.driver.query(|view| {
        let runs = view.state.runs().flat_map(|run| {
            let called = run.jobs().iter().flat_map(Job::calls).map(Call::context);
            called.chain([run.context()]).collect::<Vec<_>>()
        });
        let contexts: BTreeSet<Digest> = runs.collect();
        (view.state.freeze(), view.ledger.clone(), contexts)
    });
    // It is shutting down.
    let Ok((state, ledger, contexts)) = known.await else { return Ok(()) };
    let named = names_in(state, ledger).await;
    let mut named = named.map_err(|source| StoreError::Io { place: "the state".to_owned(), source })?;
    let mut inside = stream::iter(contexts).map(|context| inside(services, context)).buffer_unordered(READS);
    while let Some(found) = inside.try_next().await? {
        named.extend(found);
    }
    drop(inside);
    let names = named.len();
    let collected = services.store.collect(before, Arc::new(named)).await?;
    services.metrics.blobs_collected.add(collected.blobs);
    services.metrics.blob_bytes_collected.add(collected.bytes);
    if collected.blobs > 0 {
        tracing::info!(
            removed = collected.blobs,
            bytes = collected.bytes,
            names,
            "blobs that no run names were removed"
        );
    } else {
        tracing::debug!(names, "there is no blob that no run names, or none that is old enough");
    }
    Ok(())
}

/// All hashes in what the coordinator knows, read in a thread that gives way to all others.
async fn names_in(state: FrozenState, ledger: Ledger) -> io::Result<HashSet<[u8; 32]>> {
    let (done, names) = oneshot::channel();
    std::thread::Builder::new().name("blob-names".to_owned()).spawn(move || {
        give_way();
        let mut hashes = Hashes::default();
        let read = serde_json::to_writer(&mut hashes, &state).and_then(|()| {
            hashes.end_word();
            serde_json::to_writer(&mut hashes, &ledger)
        });
        // Who asked may be gone.
        let _ = done.send(read.map(|()| hashes.finish()).map_err(io::Error::from));
    })?;
    names.await.unwrap_or_else(|_| Err(io::Error::other("reading it panicked")))
}

/// What a blob names. One that is gone or damaged names nothing that could be used.
async fn inside(services: &Services, context: Digest) -> Result<HashSet<[u8; 32]>, StoreError> {
    let bytes = match services.store.get(context).await {
        Ok(bytes) => bytes,
        Err(StoreError::NotFound(_) | StoreError::Damaged(_)) => return Ok(HashSet::new()),
        Err(error) => return Err(error),
    };
    let mut hashes = Hashes::default();
    // It takes whatever it is given.
    let _ = hashes.write_all(&bytes);
    Ok(hashes.finish())
}
