//! Deals with accepted deliveries, those of an earlier process first.

use std::collections::BTreeSet;

use tokio::task::JoinSet;

use super::start::deal_with;
use crate::driver::payload::DeliveryEvent;
use crate::services::Services;

/// How many deliveries are dealt with at a time: one whose git server is away does not hold up the others.
const CONCURRENCY: usize = 8;

/// Deals with deliveries until the driver is gone.
pub(crate) async fn react(services: Services) {
    let mut busy: BTreeSet<String> = BTreeSet::new();
    let mut work = JoinSet::new();
    loop {
        let taken = busy.clone();
        let pending = services.driver.query(move |view| {
            let open = view.ledger.pending().filter(|(id, _)| !taken.contains(*id)).take(CONCURRENCY);
            open.map(|(id, delivery)| (id.to_owned(), delivery.clone())).collect::<Vec<_>>()
        });
        let Ok(pending) = pending.await else { return };
        for (id, delivery) in pending {
            if work.len() >= CONCURRENCY {
                break;
            }
            busy.insert(id.clone());
            let services = services.clone();
            work.spawn(async move {
                let outcome = deal_with(&services, &id, &delivery).await;
                tracing::info!(delivery = id, outcome, "webhook dealt with");
                // A driver that is gone leaves the delivery to the next start.
                let _ = services.driver.delivery(DeliveryEvent::Done { id: id.clone(), outcome }).await;
                id
            });
        }
        tokio::select! {
            () = services.deliveries.notified() => {}
            Some(done) = work.join_next() => match done {
                Ok(id) => {
                    busy.remove(&id);
                }
                // It stays busy: a delivery that makes this program panic is not tried again before the next start.
                Err(panic) => tracing::error!(%panic, "dealing with a webhook panicked"),
            },
        }
    }
}
