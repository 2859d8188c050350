//! Looks after deliveries that never came, because this coordinator or the way to it was down: the forge is asked for them once more.
//!
//! A delivery that comes twice does nothing the second time, so that asking once too often is harmless.

use std::collections::BTreeMap;
use std::time::Duration;

use slipway_scheduler::Timestamp;

use super::told::ReportEvent;
use super::{Forge, ForgeError};
use crate::driver::DriverError;
use crate::services::Services;

/// How often is looked.
const EVERY: Duration = Duration::from_secs(5 * 60);

/// How often one delivery is asked for.
const TRIES: u32 = 3;

/// How far back is looked at most: the forge keeps deliveries for three days.
const BACK_MS: u64 = 3 * 24 * 60 * 60 * 1_000;

/// Deliveries that are asked for in one go; the rest comes next time.
const AT_ONCE: usize = 100;

/// Looks now and then, until the driver is gone.
pub(crate) async fn look_after(services: Services) {
    let Some(forge) = services.forge.clone() else { return };
    let mut tries = BTreeMap::new();
    loop {
        match look(&services, &*forge, &mut tries).await {
            Ok(true) => {}
            // This forge does not tell.
            Ok(false) | Err(LookError::Driver(_)) => return,
            Err(LookError::Forge(error)) => {
                tracing::warn!(%error, "missed deliveries cannot be looked after now")
            }
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = services.closing.cancelled() => return,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error(transparent)]
    Forge(#[from] ForgeError),
}

/// Looks once; `false`: this forge does not tell.
async fn look(
    services: &Services,
    forge: &dyn Forge,
    tries: &mut BTreeMap<String, u32>,
) -> Result<bool, LookError> {
    let now = services.clock.unix_ms();
    let Some(since) = services.driver.query(|view| view.ledger.told().looked()).await? else {
        // The first time ever: what was before is nobody's.
        services.driver.report(ReportEvent::Looked { at: Timestamp(now) }).await?;
        return Ok(true);
    };
    let since = since.0.max(now.saturating_sub(BACK_MS));
    let Some(mut missed) = forge.missed(since).await? else { return Ok(false) };
    missed.sort_by_key(|missed| missed.at_ms);
    let mut guids: Vec<String> = missed.iter().map(|missed| missed.guid.clone()).collect();
    guids = services
        .driver
        .query(move |view| {
            guids.retain(|guid| view.ledger.knows_delivery(guid));
            guids
        })
        .await?;
    missed.retain(|missed| !guids.contains(&missed.guid));
    tries.retain(|guid, _| missed.iter().any(|missed| missed.guid == *guid));
    let mut open = Vec::new();
    for one in missed {
        let tried = tries.entry(one.guid.clone()).or_default();
        if *tried >= TRIES {
            continue;
        }
        if open.len() < AT_ONCE {
            *tried += 1;
            match forge.redeliver(one.id).await {
                Ok(()) => {
                    services.metrics.redeliveries.add(1);
                    tracing::info!(delivery = one.guid, "a missed delivery is asked for again");
                }
                Err(ForgeError::Refused(reason) | ForgeError::Forbidden(reason)) => {
                    tracing::warn!(delivery = one.guid, reason, "a missed delivery cannot be had");
                    *tried = TRIES;
                    continue;
                }
                Err(error) => return Err(error.into()),
            }
        }
        open.push(one.at_ms);
    }
    // What is still open is looked at again.
    let mark = open.into_iter().min().unwrap_or(now).min(now);
    if mark != since {
        services.driver.report(ReportEvent::Looked { at: Timestamp(mark) }).await?;
    }
    Ok(true)
}
