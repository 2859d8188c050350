//! What is on its way to the engine behind: bounded, and of each key one value after the other.
//!
//! A value that waits for its turn is replaced by a newer one of its key, so that the newest is what stays. A removal forgets what waits
//! and comes after what is being stored: nothing that was removed comes back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use crate::cache::engine::{Engine, Keep, Put};
use crate::cache::key::Key;

/// What one value takes of the room beside its bytes.
const OVERHEAD_BYTES: usize = 4 << 10;

/// Values on their way.
pub(super) struct Sending {
    behind: Arc<dyn Engine>,
    room: Arc<Semaphore>,
    slots: Arc<Mutex<Slots>>,
}

type Slots = HashMap<Key, Slot>;

/// What happens about one key.
struct Slot {
    /// What is stored next, and its room.
    next: Option<(Put, OwnedSemaphorePermit)>,
    /// Held by whoever changes the engine behind.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Sending {
    /// To this engine, with room for so many bytes.
    pub(super) fn new(behind: Arc<dyn Engine>, room_bytes: usize) -> Self {
        let room = Arc::new(Semaphore::new(room_bytes.min(Semaphore::MAX_PERMITS)));
        Self { behind, room, slots: Arc::default() }
    }

    /// Takes a value along; `false`: there is no room, and it is not sent.
    pub(super) fn send(&self, put: Put) -> bool {
        let bytes = u32::try_from(put.value.data.len() + OVERHEAD_BYTES).unwrap_or(u32::MAX);
        let Ok(place) = Arc::clone(&self.room).try_acquire_many_owned(bytes) else {
            // What waits of this key is older than what was refused.
            if let Some(slot) = lock(&self.slots).get_mut(&put.key) {
                slot.next = None;
            }
            return false;
        };
        let key = put.key.clone();
        let mut slots = lock(&self.slots);
        if let Some(slot) = slots.get_mut(&key) {
            let normal_waits = slot.next.as_ref().is_some_and(|(waiting, _)| waiting.keep == Keep::Normal);
            if !(put.keep == Keep::Temporary && normal_waits) {
                slot.next = Some((put, place));
            }
            return true;
        }
        let turn = Arc::new(tokio::sync::Mutex::new(()));
        slots.insert(key.clone(), Slot { next: Some((put, place)), turn: Arc::clone(&turn) });
        drop(slots);
        let (behind, slots) = (Arc::clone(&self.behind), Arc::clone(&self.slots));
        tokio::spawn(async move {
            loop {
                let _turn = turn.lock().await;
                let Some((put, _place)) = take_next(&slots, &key) else { return };
                // The engine counts what it refuses.
                let _ = behind.put_many(vec![put]).await;
            }
        });
        true
    }

    /// Forgets what waits of these keys, waits for what is being stored, and keeps others from it as long as the answer is held.
    pub(super) async fn stop(&self, keys: &[Key]) -> Vec<OwnedMutexGuard<()>> {
        let turns: Vec<_> = {
            let mut slots = lock(&self.slots);
            let stop = |key| {
                let slot: &mut Slot = slots.get_mut(key)?;
                slot.next = None;
                Some((key, Arc::clone(&slot.turn)))
            };
            let mut turns: Vec<_> = keys.iter().filter_map(stop).collect();
            // All take turns in one order, and each once: nobody waits for another who waits for him.
            turns.sort_by_key(|(key, _)| *key);
            turns.dedup_by_key(|(key, _)| *key);
            turns.into_iter().map(|(_, turn)| turn).collect()
        };
        let mut held = Vec::with_capacity(turns.len());
        for turn in turns {
            held.push(turn.lock_owned().await);
        }
        held
    }

    /// How many keys something happens about.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        lock(&self.slots).len()
    }
}

/// What is to be stored next under this key; if it is nothing, its slot is gone.
fn take_next(slots: &Mutex<Slots>, key: &Key) -> Option<(Put, OwnedSemaphorePermit)> {
    let mut slots = lock(slots);
    let next = slots.get_mut(key)?.next.take();
    if next.is_none() {
        slots.remove(key);
    }
    next
}

fn lock(slots: &Mutex<Slots>) -> MutexGuard<'_, Slots> {
    // Nothing that can panic runs while it is held.
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}
