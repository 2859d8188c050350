//! The hash of a blob that still comes, computed beside the task that takes it in.
//!
//! Pieces are gathered and hashed in their order by another task, one job at a time: a client that sends slowly holds no
//! thread meanwhile. What waits is bounded; whoever sends faster than it can be hashed waits.

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use tokio::task::JoinHandle;

use super::fetch::hashing;
use crate::cache::engine::EngineError;
use crate::cache::limits::{HASH_BEHIND_BYTES, HASH_FROM_BYTES, HASH_PIECES};

/// A hash under way.
#[derive(Default)]
pub(super) struct Whole {
    /// Of what came before the job that runs.
    hash: Sha256,
    job: Option<JoinHandle<Option<Sha256>>>,
    waiting: Vec<Bytes>,
    waiting_bytes: usize,
}

fn ended() -> EngineError {
    EngineError::unavailable("this process", "the hashing was ended")
}

/// Hashes these on after what `hash` has.
async fn hashed(mut hash: Sha256, pieces: Vec<Bytes>, length: usize) -> Option<Sha256> {
    let work = move || {
        pieces.iter().for_each(|piece| hash.update(piece));
        hash
    };
    hashing(length, work).await
}

impl Whole {
    /// Takes the next bytes. Waits when too many do.
    ///
    /// # Errors
    /// [`EngineError::Unavailable`]: the process ends.
    pub(super) async fn update(&mut self, piece: Bytes) -> Result<(), EngineError> {
        self.waiting_bytes += piece.len();
        self.waiting.push(piece);
        if self.waiting_bytes < HASH_FROM_BYTES && self.waiting.len() < HASH_PIECES {
            return Ok(());
        }
        let runs = self.job.as_ref().is_some_and(|job| !job.is_finished());
        if runs && self.waiting_bytes < HASH_BEHIND_BYTES && self.waiting.len() < HASH_PIECES {
            return Ok(());
        }
        self.settle().await?;
        let (hash, length) = (std::mem::take(&mut self.hash), std::mem::take(&mut self.waiting_bytes));
        let pieces = std::mem::take(&mut self.waiting);
        self.job = Some(tokio::spawn(hashed(hash, pieces, length)));
        Ok(())
    }

    /// Waits for the job that runs.
    async fn settle(&mut self) -> Result<(), EngineError> {
        if let Some(job) = &mut self.job {
            let done = job.await;
            self.job = None;
            self.hash = done.ok().flatten().ok_or_else(ended)?;
        }
        Ok(())
    }

    /// The SHA-256 of all that came.
    ///
    /// # Errors
    /// As [`Whole::update`].
    pub(super) async fn finish(mut self) -> Result<[u8; 32], EngineError> {
        self.settle().await?;
        let hash = hashed(self.hash, self.waiting, self.waiting_bytes).await;
        Ok(hash.ok_or_else(ended)?.finalize().into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Digest;

    #[tokio::test]
    async fn pieces_of_any_length_are_hashed_in_their_order() {
        let mut random = fastrand::Rng::with_seed(7);
        for length in [0, 1, 1000, HASH_FROM_BYTES, 3 * HASH_BEHIND_BYTES + 1] {
            let mut bytes = vec![0; length];
            random.fill(&mut bytes);
            let bytes = Bytes::from(bytes);
            let (mut whole, mut rest) = (Whole::default(), bytes.clone());
            while !rest.is_empty() {
                let piece = random.usize(1..=rest.len().min(HASH_FROM_BYTES * 2));
                whole.update(rest.split_to(piece)).await.unwrap();
                assert!(whole.waiting_bytes < HASH_BEHIND_BYTES, "what waits is bounded");
            }
            assert_eq!(&whole.finish().await.unwrap(), Digest::of(&bytes).hash(), "{length}");
        }
    }

    #[tokio::test]
    async fn bytes_that_come_one_by_one_do_not_pile_up() {
        let (mut whole, bytes) = (Whole::default(), Bytes::from(vec![7; 3 * HASH_PIECES]));
        for at in 0..bytes.len() {
            whole.update(bytes.slice(at..=at)).await.unwrap();
            assert!(whole.waiting.len() < HASH_PIECES);
        }
        assert_eq!(&whole.finish().await.unwrap(), Digest::of(&bytes).hash());
    }
}
