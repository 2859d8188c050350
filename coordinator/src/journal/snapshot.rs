//! A state as of a position, packed.
//!
//! Packing is apart from keeping: it takes long for a large state and needs no journal, so it is done beside the driver.

use std::io;

/// Level of zstd: fast, and JSON shrinks well already.
const ZSTD_LEVEL: i32 = 3;

/// The largest state a snapshot may unpack to, in bytes.
const MAX_STATE_BYTES: usize = 4 << 30;

/// State as of a position, so that start-up replays only what came after.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last record the state includes.
    pub position: u64,
    /// Version of the state's form; a build that does not know it replays instead.
    pub version: u32,
    /// Length of the state, unpacked, in bytes.
    pub size_bytes: usize,
    /// The state as one zstd frame.
    pub packed: Vec<u8>,
}

impl Snapshot {
    /// Packs a state.
    ///
    /// # Errors
    /// When zstd fails, for want of memory.
    pub fn pack(position: u64, version: u32, state: &[u8]) -> io::Result<Self> {
        let packed = zstd::bulk::compress(state, ZSTD_LEVEL)?;
        Ok(Self { position, version, size_bytes: state.len(), packed })
    }

    /// The state.
    ///
    /// # Errors
    /// When it is not what was packed, or larger than a state may be.
    pub fn unpack(&self) -> io::Result<Vec<u8>> {
        if self.size_bytes > MAX_STATE_BYTES {
            let reason = format!("a state of {} bytes; at most {MAX_STATE_BYTES} are read", self.size_bytes);
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        zstd::bulk::decompress(&self.packed, self.size_bytes)
    }
}
