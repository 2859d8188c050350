//! Sends a job's records until the coordinator has them all.
//!
//! One stream per job, so that a job with much to say does not hold up another. The coordinator says where to go on;
//! at most [`UPLOAD_WINDOW_BATCHES`] batches are under way, and nothing is kept in memory for a resend: it is read from
//! the journal again.

use slipway_kit::backoff::Backoff;
use slipway_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::coordinator::Coordinator;
use crate::journal::Progress;
use crate::journal::reader::{Batch, Reader};
use crate::lease::{Attempt, Lease};
use crate::limits::{
    RECONNECT_FIRST, RECONNECT_MAX, UPLOAD_ACK_TIMEOUT, UPLOAD_BATCH_BYTES, UPLOAD_BATCH_RECORDS,
    UPLOAD_WINDOW_BATCHES,
};

/// Why sending ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UploadEnd {
    /// The lease is not current any more.
    Stale,
    /// The journal can't be read.
    Unreadable(String),
}

/// Sends what `progress` tells of until the lease is stale; who waits for the end watches [`Progress::durable`].
pub async fn upload(coordinator: Coordinator, lease: Lease, progress: Progress) -> UploadEnd {
    let mut backoff = Backoff::new(RECONNECT_FIRST, RECONNECT_MAX);
    loop {
        match stream(&coordinator, lease, &progress, &mut backoff).await {
            Ok(end) => return end,
            Err(why) => {
                let wait = backoff.next_wait();
                tracing::debug!(attempt = %lease.attempt, why, wait_ms = wait.as_millis() as u64, "records wait");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// One connection. An error is the connection's.
async fn stream(
    coordinator: &Coordinator,
    lease: Lease,
    progress: &Progress,
    backoff: &mut Backoff,
) -> Result<UploadEnd, String> {
    let (batches, outgoing) = mpsc::channel(UPLOAD_WINDOW_BATCHES as usize + 1);
    let ask = |first| v1::RecordBatch { lease: Some(lease.to_wire()), first, ..v1::RecordBatch::default() };
    batches.send(ask(1)).await.map_err(|error| error.to_string())?;
    let answer = coordinator.client().records(ReceiverStream::new(outgoing)).await;
    let mut acks = answer.map_err(|status| status.message().to_owned())?.into_inner();
    let mut written = progress.written();
    let mut finished = progress.finished();
    let mut asked = false;
    let mut reader = Reader::new(progress.clone());
    // Number of the next record to send; unknown until the first answer.
    let mut next: Option<u64> = None;
    let mut durable = 0;
    let most = Batch { count: UPLOAD_BATCH_RECORDS, bytes: UPLOAD_BATCH_BYTES };
    // Whether the coordinator takes records in one row.
    let mut delimited = false;
    // Last numbers of the batches under way.
    let mut under_way: std::collections::VecDeque<u64> = std::collections::VecDeque::new();
    loop {
        if let Some(first) = next
            && (under_way.len() as u64) < UPLOAD_WINDOW_BATCHES
        {
            let records = match reader.read(first, most) {
                Ok(records) => records,
                Err(error) => return Ok(UploadEnd::Unreadable(error.to_string())),
            };
            if !records.is_empty() {
                let last = first + records.count() as u64 - 1;
                let batch = match delimited {
                    true => v1::RecordBatch { delimited: records.bytes().clone(), ..ask(first) },
                    false => v1::RecordBatch { records: records.each().collect(), ..ask(first) },
                };
                batches.send(batch).await.map_err(|_| "the stream ended".to_owned())?;
                under_way.push_back(last);
                next = Some(last + 1);
                continue;
            }
        }
        let all_sent = (under_way.len() as u64) < UPLOAD_WINDOW_BATCHES;
        if let Some(first) = next.filter(|_| all_sent)
            && *finished.borrow()
            && !std::mem::replace(&mut asked, true)
        {
            // Asking for what is durable tells a coordinator that collects records not to wait for more.
            batches.send(ask(first)).await.map_err(|_| "the stream ended".to_owned())?;
        }
        let waiting = next.is_none() || !under_way.is_empty();
        tokio::select! {
            ack = acks.message() => {
                let ack = ack.map_err(|status| status.message().to_owned())?.ok_or("the stream ended")?;
                if Attempt::from_wire(ack.attempt.as_ref()).ok() != Some(lease.attempt) {
                    return Err("an answer for another attempt came".to_owned());
                }
                if ack.stale {
                    return Ok(UploadEnd::Stale);
                }
                if ack.durable > *progress.written().borrow() {
                    // Waiting would not help: the journal's end went with the machine that died.
                    let why = "the coordinator has more records than this machine kept: it lost the last ones";
                    return Ok(UploadEnd::Unreadable(why.to_owned()));
                }
                // The first answer alone is no progress: a store that cannot keep anything answers, too.
                if ack.durable > *progress.durable().borrow() {
                    backoff.reset();
                }
                durable = durable.max(ack.durable);
                delimited = ack.takes_delimited;
                progress.release(durable);
                while under_way.front().is_some_and(|last| *last <= durable) {
                    under_way.pop_front();
                }
                next.get_or_insert(durable + 1);
            }
            changed = written.changed(), if !waiting || (under_way.len() as u64) < UPLOAD_WINDOW_BATCHES => {
                changed.map_err(|_| "the journal is closed".to_owned())?;
            }
            changed = finished.changed(), if !asked => {
                changed.map_err(|_| "the journal is closed".to_owned())?;
            }
            () = tokio::time::sleep(UPLOAD_ACK_TIMEOUT), if waiting => {
                return Err("the coordinator does not acknowledge".to_owned());
            }
        }
    }
}
