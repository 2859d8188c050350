//! One frame: its kinds, and how they are written and read.

use crate::fields::{DecodeError, Fields, cut_text, put_bytes};
use crate::limits::{FRAME_MAX_BYTES, HEADER_BYTES, MESSAGE_MAX_BYTES, PAYLOAD_MAX_BYTES};

pub(super) const MARK: u8 = 0x53;

const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const STARTED: u8 = 3;
const SPAWN_FAILED: u8 = 4;
const EXITED: u8 = 5;
const DISCARDED: u8 = 6;

/// Something that happened to a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The agent's number for the step.
    pub step: u32,
    /// When init saw it, by the host's clock: Unix milliseconds.
    pub time_ms: u64,
    /// What it is.
    pub body: Body,
}

/// What a frame tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// Bytes that the step wrote, exactly as it wrote them; cut anywhere, at most [`PAYLOAD_MAX_BYTES`].
    Output {
        /// Where it wrote them.
        stream: Stream,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// The step's program runs. First frame of a step.
    Started {
        /// Process id in the container's pid namespace.
        pid: u32,
    },
    /// The step's program could not be started. The only frame of such a step.
    SpawnFailed {
        /// What failed.
        stage: SpawnStage,
        /// The system's error number.
        errno: i32,
        /// The same for people, with the name of the program or folder.
        message: String,
    },
    /// The step has ended. No output of it follows.
    Exited(Exit),
    /// Background processes of the ended step wrote this much after its end; it was read (so that they did not block)
    /// and thrown away.
    Discarded {
        /// How much.
        bytes: u64,
    },
}

/// A step's output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// What failed when a step could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpawnStage {
    /// Making pipes or the process (limits on descriptors, processes or memory).
    Process,
    /// Entering the working directory.
    WorkingDirectory,
    /// Running the program.
    Program,
}

/// How a step ended and what it used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// How its main process ended.
    pub status: ExitStatus,
    /// Why the step ended then.
    pub end: StepEnd,
    /// CPU time in user mode of the main process and the children it waited for, in microseconds.
    pub user_us: u64,
    /// CPU time in system mode, likewise.
    pub system_us: u64,
    /// Largest resident size of one process among them, in bytes.
    pub max_rss_bytes: u64,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitStatus {
    /// It exited with this code, 0 to 255.
    Code(u8),
    /// This signal killed it.
    Signal(u8),
}

/// Why a step ended when it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepEnd {
    /// Its main process exited and its pipes were closed.
    Normal,
    /// Its main process exited, but background processes keep its pipes open; all that was in them by then is recorded.
    PipesOpen,
    /// The job's stop time came and init killed it.
    StopTime,
    /// Init was told to end (`Shutdown`, or `SIGTERM`) while the step ran.
    Shutdown,
}

impl Frame {
    /// The whole frame.
    ///
    /// # Errors
    /// When output is longer than [`PAYLOAD_MAX_BYTES`]. Messages are cut to [`MESSAGE_MAX_BYTES`].
    pub fn encode(&self) -> Result<Vec<u8>, DecodeError> {
        let mut out = vec![0; HEADER_BYTES];
        let kind = match &self.body {
            Body::Output { stream, bytes } => {
                let limit = PAYLOAD_MAX_BYTES;
                if bytes.len() > limit {
                    return Err(DecodeError::TooLong { what: "output", length: bytes.len(), limit });
                }
                out.extend_from_slice(bytes);
                stream_kind(*stream)
            }
            Body::Started { pid } => {
                out.extend_from_slice(&pid.to_le_bytes());
                STARTED
            }
            Body::SpawnFailed { stage, errno, message } => {
                out.push(match stage {
                    SpawnStage::Process => 0,
                    SpawnStage::WorkingDirectory => 1,
                    SpawnStage::Program => 2,
                });
                out.extend_from_slice(&errno.to_le_bytes());
                put_bytes(&mut out, cut_text(message, MESSAGE_MAX_BYTES).as_bytes());
                SPAWN_FAILED
            }
            Body::Exited(exit) => {
                put_exit(&mut out, exit);
                EXITED
            }
            Body::Discarded { bytes } => {
                out.extend_from_slice(&bytes.to_le_bytes());
                DISCARDED
            }
        };
        seal(&mut out, kind, self.step, self.time_ms);
        Ok(out)
    }
}

/// Makes an output frame in place: `frame` is [`HEADER_BYTES`] of room followed by the output, so that what was read
/// from a pipe can be written without a copy. Output beyond [`PAYLOAD_MAX_BYTES`] is the caller's mistake and gives a
/// frame that readers refuse.
pub fn seal_output(frame: &mut [u8], stream: Stream, step: u32, time_ms: u64) {
    seal(frame, stream_kind(stream), step, time_ms);
}

fn stream_kind(stream: Stream) -> u8 {
    match stream {
        Stream::Stdout => STDOUT,
        Stream::Stderr => STDERR,
    }
}

fn seal(frame: &mut [u8], kind: u8, step: u32, time_ms: u64) {
    let length = u32::try_from(frame.len()).unwrap_or(u32::MAX).to_le_bytes();
    let Some((header, payload)) = frame.split_first_chunk_mut::<HEADER_BYTES>() else { return };
    let mut fields = Vec::with_capacity(HEADER_BYTES);
    fields.extend_from_slice(&length);
    fields.extend_from_slice(&[0; 4]);
    fields.extend_from_slice(&[MARK, kind, 0, 0]);
    fields.extend_from_slice(&step.to_le_bytes());
    fields.extend_from_slice(&time_ms.to_le_bytes());
    header.copy_from_slice(&fields);
    let crc = checksum(header, payload).to_le_bytes();
    if let Some(room) = header.get_mut(4..8) {
        room.copy_from_slice(&crc);
    }
}

fn checksum(header: &[u8; HEADER_BYTES], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(header.get(..4).unwrap_or_default());
    hasher.update(header.get(8..).unwrap_or_default());
    hasher.update(payload);
    hasher.finalize()
}

/// Decodes the frame at the front of `bytes`: the frame and its length, or `None` when the frame is longer than `bytes`.
///
/// # Errors
/// When the front of `bytes` is not a frame, for instance zeros of a hole.
pub fn decode(bytes: &[u8]) -> Result<Option<(Frame, usize)>, DecodeError> {
    let Some(prefix) = bytes.first_chunk::<4>() else { return Ok(None) };
    let length = u32::from_le_bytes(*prefix) as usize;
    if length > FRAME_MAX_BYTES {
        return Err(DecodeError::TooLong { what: "frame", length, limit: FRAME_MAX_BYTES });
    }
    if length < HEADER_BYTES {
        return Err(DecodeError::BadValue("frame length"));
    }
    let Some(frame) = bytes.get(..length) else { return Ok(None) };
    let Some((header, payload)) = frame.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let mut fields = Fields::new(header);
    let (_, crc) = (fields.u32()?, fields.u32()?);
    if crc != checksum(header, payload) {
        return Err(DecodeError::Checksum);
    }
    if fields.u8()? != MARK {
        return Err(DecodeError::BadValue("frame mark"));
    }
    let kind = fields.u8()?;
    if fields.u16()? != 0 {
        return Err(DecodeError::BadValue("frame header"));
    }
    let (step, time_ms) = (fields.u32()?, fields.u64()?);
    let body = body(kind, payload)?;
    Ok(Some((Frame { step, time_ms, body }, length)))
}

fn body(kind: u8, payload: &[u8]) -> Result<Body, DecodeError> {
    let mut fields = Fields::new(payload);
    let body = match kind {
        STDOUT => Body::Output { stream: Stream::Stdout, bytes: fields.rest().to_vec() },
        STDERR => Body::Output { stream: Stream::Stderr, bytes: fields.rest().to_vec() },
        STARTED => Body::Started { pid: fields.u32()? },
        SPAWN_FAILED => {
            let stage = match fields.u8()? {
                0 => SpawnStage::Process,
                1 => SpawnStage::WorkingDirectory,
                2 => SpawnStage::Program,
                _ => return Err(DecodeError::BadValue("spawn stage")),
            };
            let errno = fields.i32()?;
            Body::SpawnFailed { stage, errno, message: fields.text("message", MESSAGE_MAX_BYTES)? }
        }
        EXITED => Body::Exited(exit(&mut fields)?),
        DISCARDED => Body::Discarded { bytes: fields.u64()? },
        kind => return Err(DecodeError::UnknownKind(kind)),
    };
    fields.finish()?;
    Ok(body)
}

fn put_exit(out: &mut Vec<u8>, exit: &Exit) {
    let (kind, value) = match exit.status {
        ExitStatus::Code(code) => (0, code),
        ExitStatus::Signal(signal) => (1, signal),
    };
    out.extend_from_slice(&[kind, value]);
    out.push(match exit.end {
        StepEnd::Normal => 0,
        StepEnd::PipesOpen => 1,
        StepEnd::StopTime => 2,
        StepEnd::Shutdown => 3,
    });
    for value in [exit.user_us, exit.system_us, exit.max_rss_bytes] {
        out.extend_from_slice(&value.to_le_bytes());
    }
}

fn exit(fields: &mut Fields<'_>) -> Result<Exit, DecodeError> {
    let status = match (fields.u8()?, fields.u8()?) {
        (0, code) => ExitStatus::Code(code),
        (1, signal) => ExitStatus::Signal(signal),
        _ => return Err(DecodeError::BadValue("exit status")),
    };
    let end = match fields.u8()? {
        0 => StepEnd::Normal,
        1 => StepEnd::PipesOpen,
        2 => StepEnd::StopTime,
        3 => StepEnd::Shutdown,
        _ => return Err(DecodeError::BadValue("end of step")),
    };
    let (user_us, system_us, max_rss_bytes) = (fields.u64()?, fields.u64()?, fields.u64()?);
    Ok(Exit { status, end, user_us, system_us, max_rss_bytes })
}
