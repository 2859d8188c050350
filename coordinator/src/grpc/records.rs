//! Record uploads: batches come, acknowledgements go, as fast as the disk makes them durable.
//!
//! One stream may carry several attempts. Batches are written in the order in which they come; acknowledgements follow
//! from each attempt's progress, so that many batches share one sync and one acknowledgement.

use std::collections::HashMap;

use prost::Message as _;
use slipway_proto::v1::{AttemptRef, RecordAck, RecordBatch};
use slipway_scheduler::AgentId;
use slipway_wire::limits::MAX_BATCH_BYTES;
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming};

use super::to_wire;
use crate::driver::message::RunLease;
use crate::records::{AttemptKey, AttemptLog, Progress, RecordsError};
use crate::services::Services;

/// How many acknowledgements may wait for a slow reader.
const ACK_QUEUE: usize = 64;

/// The most attempts one stream may carry at a time: an agent's slots.
const MAX_ATTEMPTS: usize = slipway_wire::limits::MAX_LEASES_PER_MESSAGE;

pub(super) fn take(
    services: Services,
    caller: Option<AgentId>,
    inbound: Streaming<RecordBatch>,
) -> impl Stream<Item = Result<RecordAck, Status>> {
    let (acks, stream) = mpsc::channel(ACK_QUEUE);
    let tasks = services.tasks.clone();
    tasks.spawn(async move {
        let closing = services.closing.clone();
        let taken = tokio::select! {
            taken = take_all(services, caller, inbound, acks.clone()) => taken,
            () = acks.closed() => Ok(()),
            () = closing.cancelled() => Ok(()),
        };
        if let Err(status) = taken {
            // A client that is gone needs no reason.
            let _ = acks.send(Err(status)).await;
        }
    });
    ReceiverStream::new(stream)
}

/// An attempt on this stream.
struct Upload {
    log: AttemptLog,
    lease: RunLease,
    acknowledger: AbortHandle,
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.acknowledger.abort();
    }
}

async fn take_all(
    services: Services,
    caller: Option<AgentId>,
    mut inbound: Streaming<RecordBatch>,
    acks: mpsc::Sender<Result<RecordAck, Status>>,
) -> Result<(), Status> {
    let mut uploads: HashMap<AttemptKey, Upload> = HashMap::new();
    // Dropped with this function, which ends them.
    let mut acknowledgers = JoinSet::new();
    while let Some(batch) = inbound.message().await? {
        let size_bytes = batch.encoded_len();
        if size_bytes > MAX_BATCH_BYTES + 4_096 {
            return Err(Status::invalid_argument(format!("a batch has at most {MAX_BATCH_BYTES} bytes")));
        }
        let batch = slipway_wire::record::from_wire(batch)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let lease = to_wire::from_wire_lease(&batch.lease);
        let key = AttemptKey { run: lease.run, instance: lease.lease.instance, attempt: lease.lease.attempt };
        let live = services.driver.leases().is_live_for(&lease, caller);
        if !live {
            uploads.remove(&key);
            let ack = over(&services, &lease, key, batch.records.is_empty()).await?;
            services.metrics.records_stale.add(u64::from(ack.stale));
            send(&acks, ack).await?;
            continue;
        }
        if uploads
            .get(&key)
            .is_none_or(|upload| upload.lease != lease || upload.log.progress().borrow().broken)
        {
            // A stream may live for months: what is over lets its files go. Nothing of it is left to acknowledge, because
            // a report comes after the last acknowledgement.
            uploads.retain(|_, upload| services.driver.leases().is_live(&upload.lease));
            if uploads.len() >= MAX_ATTEMPTS {
                let message = format!("one stream carries at most {MAX_ATTEMPTS} attempts at a time");
                return Err(Status::resource_exhausted(message));
            }
            let log = services.records.attempt(key).await.map_err(|error| status(&error))?;
            // What is durable from now on is told: the task itself may begin only when the first append already is.
            let told = log.durable();
            let acknowledger = acknowledgers.spawn(acknowledge(log.progress(), told, key, acks.clone()));
            uploads.insert(key, Upload { log, lease, acknowledger });
        }
        let Some(upload) = uploads.get(&key) else { continue };
        if batch.records.is_empty() {
            // Whoever asks may be waiting for the last of them.
            upload.log.flush();
            send(&acks, ack(key, upload.log.durable(), false)).await?;
            continue;
        }
        services.metrics.records.add(batch.records.count() as u64);
        services.metrics.record_bytes.add(size_bytes as u64);
        let last = batch.first.saturating_add(batch.records.count() as u64 - 1);
        match upload.log.append(batch.first, batch.records).await {
            // All of it was there before: no progress will tell.
            Ok(()) if upload.log.durable() >= last => {
                send(&acks, ack(key, upload.log.durable(), false)).await?;
            }
            Ok(()) => {}
            // The sender is told where to go on.
            Err(RecordsError::Gap { .. }) => send(&acks, ack(key, upload.log.durable(), false)).await?,
            Err(error) => return Err(status(&error)),
        }
        while acknowledgers.try_join_next().is_some() {}
    }
    // The client said all it has to say; what it said last still becomes durable and is acknowledged.
    for (&key, upload) in &uploads {
        let mut progress = upload.log.progress();
        let written = upload.log.written();
        upload.log.flush();
        let reached = progress.wait_for(|progress| progress.durable >= written || progress.broken).await;
        if let Ok(progress) = reached.map(|progress| *progress) {
            send(&acks, ack(key, progress.durable, false)).await?;
        }
    }
    Ok(())
}

/// Acknowledges as more of the attempt's records become durable than were `told`.
async fn acknowledge(
    mut progress: watch::Receiver<Progress>,
    mut told: u64,
    key: AttemptKey,
    acks: mpsc::Sender<Result<RecordAck, Status>>,
) {
    loop {
        let now = *progress.borrow_and_update();
        if now.broken {
            let status = Status::unavailable("the records could not be made durable; send them again");
            // A client that is gone sends them again anyway.
            let _ = acks.send(Err(status)).await;
            return;
        }
        // It also tells what came and is not durable.
        if now.durable != told {
            told = now.durable;
            if acks.send(Ok(ack(key, told, false))).await.is_err() {
                return;
            }
        }
        if progress.changed().await.is_err() {
            return;
        }
    }
}

/// The lease is not live: either it ended with a report that this sender made, and it only asks what is durable, or it is
/// stale.
async fn over(
    services: &Services,
    lease: &RunLease,
    key: AttemptKey,
    asks: bool,
) -> Result<RecordAck, Status> {
    let lease = *lease;
    let ended_here = services
        .driver
        .query(move |view| {
            let attempts = view.state.instance(lease.lease.instance).map(|instance| instance.attempts());
            attempts.unwrap_or_default().iter().any(|attempt| {
                attempt.number == lease.lease.attempt
                    && attempt.token == lease.lease.token
                    && attempt.end.is_some_and(|end| end.reported)
            })
        })
        .await
        .map_err(|error| super::driver_status(&error))?;
    if !(ended_here && asks) {
        return Ok(ack(key, 0, true));
    }
    let log = services.records.attempt(key).await.map_err(|error| status(&error))?;
    Ok(ack(key, log.durable(), false))
}

fn ack(key: AttemptKey, durable: u64, stale: bool) -> RecordAck {
    let attempt = AttemptRef {
        run_id: key.run.to_string(),
        instance_id: key.instance.to_string(),
        attempt: key.attempt,
    };
    RecordAck { attempt: Some(attempt), durable, stale, takes_delimited: true }
}

async fn send(acks: &mpsc::Sender<Result<RecordAck, Status>>, ack: RecordAck) -> Result<(), Status> {
    acks.send(Ok(ack)).await.map_err(|_| Status::cancelled("the client is gone"))
}

fn status(error: &RecordsError) -> Status {
    match error {
        RecordsError::TooLong { what: "an attempt's records", .. } => {
            Status::resource_exhausted(error.to_string())
        }
        RecordsError::Zero | RecordsError::TooLong { .. } => Status::invalid_argument(error.to_string()),
        RecordsError::Gap { .. } | RecordsError::Closed | RecordsError::Removed { .. } => {
            Status::failed_precondition(error.to_string())
        }
        RecordsError::Damaged { .. } | RecordsError::Missing { .. } | RecordsError::Differs { .. } => {
            Status::data_loss(error.to_string())
        }
        RecordsError::Io { .. } | RecordsError::Vanished { .. } | RecordsError::Broken => {
            Status::unavailable(error.to_string())
        }
    }
}
