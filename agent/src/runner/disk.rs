//! Jobs that have to end for the disk's sake ([`crate::disk`]).

use tokio::sync::watch;

use super::attempt::{Attempt, End};
use crate::disk::DiskState;

/// Waits until this job has to end.
pub(super) async fn over(disk: &mut watch::Receiver<DiskState>, job: &str) {
    if disk.wait_for(|state| state.over.contains_key(job)).await.is_err() {
        // Nobody looks at the disk any more: the agent ends.
        std::future::pending().await
    }
}

impl Attempt {
    /// An error when the job has to end.
    pub(super) fn check_disk(&self) -> Result<(), End> {
        self.for_disk().map_or(Ok(()), Err)
    }

    /// A job that ends hears the cause, not what followed from it: its container is killed, and its files go.
    pub(super) fn or_for_disk(&self, end: End) -> End {
        match end {
            End::Stopped(_) => end,
            _ => self.for_disk().unwrap_or(end),
        }
    }

    fn for_disk(&self) -> Option<End> {
        let job = self.saved.lease.attempt.folder_name();
        let over = self.machine.disk.borrow().over.get(&job).cloned()?;
        Some(match over.failure() {
            Some(failure) => End::Fleet(failure),
            None => End::Work(over.message().to_owned()),
        })
    }
}
