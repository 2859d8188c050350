//! Snapshots of what the driver knows, made while it goes on.

use std::io;

use super::core::Core;
use super::{SNAPSHOT_EVERY, SNAPSHOT_EVERY_MAX, SNAPSHOT_EVERY_PER_INSTANCE, recover};
use crate::journal::Snapshot;

impl Core {
    /// Has a snapshot packed when enough was journaled since the last, and keeps it once it is packed. Here the state is only
    /// frozen: writing a large one as JSON would hold everybody up.
    pub(super) fn keep_snapshots(&mut self) {
        if let Some(packed) = self.packing.take_if(|packing| packing.is_finished()) {
            self.keep(packed.join().unwrap_or_else(|_| Err(io::Error::other("packing it panicked"))));
        }
        let position = self.journal.end();
        let instances = SNAPSHOT_EVERY_PER_INSTANCE * self.state.instances_len() as u64;
        let every = instances.clamp(SNAPSHOT_EVERY, SNAPSHOT_EVERY_MAX);
        if self.packing.is_none() && position >= self.snapshot + every {
            self.snapshot = position;
            let (state, ledger) = (self.state.freeze(), self.ledger.clone());
            let pack = move || recover::snapshot(position, &state, &ledger);
            match std::thread::Builder::new().name("snapshot".to_owned()).spawn(pack) {
                Ok(packing) => self.packing = Some(packing),
                Err(error) => self.keep(Err(error)),
            }
        }
    }

    /// Nothing else is waiting any more.
    pub(super) fn save_last_snapshot(&mut self) {
        let last = recover::snapshot(self.journal.end(), &self.state.freeze(), &self.ledger);
        self.keep(last);
    }

    /// A snapshot only saves time at the next start, so failing to make one is no reason to stop.
    fn keep(&mut self, snapshot: io::Result<Snapshot>) {
        let kept = snapshot.map_err(|error| error.to_string()).and_then(|snapshot| {
            self.journal.save_snapshot(&snapshot).map_err(|error| error.to_string())?;
            Ok(snapshot.position)
        });
        match kept {
            Ok(position) => tracing::debug!(position, "snapshot saved"),
            Err(error) => tracing::warn!(error, "no snapshot could be saved"),
        }
    }
}
