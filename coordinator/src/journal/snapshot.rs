//! A state as of a position, packed.
//!
//! Packing is apart from keeping: it takes long for a large state and needs no journal, so it is done beside the driver.

use std::io::{self, BufWriter, Write};

/// Level of zstd: fast, and JSON shrinks well already.
const ZSTD_LEVEL: i32 = 3;

/// How much of a state is handed to zstd at once, in bytes.
const WRITE_BYTES: usize = 64 << 10;

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

    /// Packs a state while it is written, so that it is never whole in memory.
    ///
    /// # Errors
    /// The writer's, and when zstd fails.
    pub fn pack_written(
        position: u64,
        version: u32,
        write: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<Self> {
        let encoder = zstd::stream::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
        let mut out = BufWriter::with_capacity(WRITE_BYTES, Counted { encoder, bytes: 0 });
        write(&mut out)?;
        let Counted { encoder, bytes } = out.into_inner().map_err(io::IntoInnerError::into_error)?;
        Ok(Self { position, version, size_bytes: bytes, packed: encoder.finish()? })
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

/// Counts what goes to zstd.
struct Counted {
    encoder: zstd::stream::Encoder<'static, Vec<u8>>,
    bytes: usize,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = self.encoder.write(bytes)?;
        self.bytes += taken;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.encoder.flush()
    }
}
