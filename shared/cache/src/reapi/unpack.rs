//! zstd that comes in. Never unpacked beyond the length that was announced: what is small on the wire may be huge behind it.

use bytes::Bytes;
use slipway_cas::cache::BlobWriter;
use tonic::Status;
use zstd::zstd_safe::{DCtx, DParameter, InBuffer, OutBuffer};

use super::status;
use crate::limits::ZSTD_WINDOW_LOG_MAX;

/// How much is unpacked at once, in bytes.
const STEP_BYTES: usize = 128 << 10;

fn broken(reason: &str) -> Status {
    Status::invalid_argument(format!("the bytes are not zstd: {reason}"))
}

fn longer(size_bytes: u64) -> Status {
    Status::invalid_argument(format!(
        "the blob unpacks to more than the {size_bytes} bytes that it is said to have"
    ))
}

/// A stream of frames on its way in.
pub(super) struct Unpacker {
    context: DCtx<'static>,
    /// What may still come out.
    left: u64,
    size_bytes: u64,
    /// Whether a frame has begun and not ended.
    open: bool,
}

impl Unpacker {
    /// For a blob of this length.
    pub(super) fn new(size_bytes: u64) -> Result<Self, Status> {
        let mut context =
            DCtx::try_create().ok_or_else(|| Status::resource_exhausted("no memory for zstd"))?;
        context
            .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
            .map_err(|code| Status::internal(zstd::zstd_safe::get_error_name(code)))?;
        Ok(Self { context, left: size_bytes, size_bytes, open: false })
    }

    /// Unpacks the next bytes, and hands each piece on.
    pub(super) async fn feed(&mut self, packed: &[u8], writer: &mut BlobWriter) -> Result<(), Status> {
        let mut at = 0;
        loop {
            let (piece, taken) = self.step(packed.get(at..).unwrap_or_default())?;
            at += taken;
            let filled = piece.len() == STEP_BYTES;
            if !piece.is_empty() {
                writer.write(piece).await.map_err(|error| status::of_cache(&error))?;
            }
            if at >= packed.len() && !filled {
                return Ok(());
            }
        }
    }

    /// Checks that the last frame has ended.
    pub(super) fn finish(&self) -> Result<(), Status> {
        if self.open { Err(broken("its last frame is cut off")) } else { Ok(()) }
    }

    fn step(&mut self, packed: &[u8]) -> Result<(Bytes, usize), Status> {
        let mut out = Vec::with_capacity(STEP_BYTES);
        let mut input = InBuffer::around(packed);
        let mut output = OutBuffer::around(&mut out);
        let hint = self
            .context
            .decompress_stream(&mut output, &mut input)
            .map_err(|code| broken(zstd::zstd_safe::get_error_name(code)))?;
        let (taken, produced) = (input.pos, output.pos());
        if taken > 0 || produced > 0 {
            self.open = hint != 0;
        }
        self.left = self.left.checked_sub(produced as u64).ok_or_else(|| longer(self.size_bytes))?;
        Ok((out.into(), taken))
    }
}

/// A whole blob of a batch.
pub(super) fn whole(packed: &[u8], size_bytes: u64) -> Result<Bytes, Status> {
    let mut unpacker = Unpacker::new(size_bytes)?;
    let mut all = Vec::new();
    let mut at = 0;
    loop {
        let (piece, taken) = unpacker.step(packed.get(at..).unwrap_or_default())?;
        at += taken;
        all.extend_from_slice(&piece);
        if at >= packed.len() && piece.len() < STEP_BYTES {
            break;
        }
    }
    unpacker.finish()?;
    Ok(all.into())
}
