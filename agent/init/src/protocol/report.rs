//! What init tells the agent. The agent trusts none of it: a report can only say something about its own job.

use super::{DecodeError, EncodeError, seal};
use crate::fields::{Fields, cut_text, put_bytes, put_count};
use crate::limits::{MESSAGE_MAX_BYTES, REPORT_MAX_BYTES, RUNNING_STEPS_MAX};

const HELLO: u8 = 1;
const WRITTEN: u8 = 2;
const STEP: u8 = 3;
const REJECTED: u8 = 4;
const SPOOL: u8 = 5;
const RELAY: u8 = 6;

/// A message from init to the agent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// The first message of every connection.
    Hello {
        /// Protocol version that this init speaks.
        version: u16,
        /// Logical end of the spool: everything below is complete frames.
        written_offset: u64,
        /// Highest step number ever started in this container; 0 when none was.
        highest_step: u32,
        /// Steps whose end is not in the spool yet.
        running: Vec<RunningStep>,
    },
    /// The spool has complete frames up to this logical offset. Several frames may share one notice.
    Written {
        /// Logical offset in bytes.
        offset: u64,
    },
    /// A step's state, in answer to a repeated `Start`.
    Step(RunningStep),
    /// An order was not followed.
    Rejected {
        /// The step that it was about.
        step: u32,
        /// Why.
        reason: Rejection,
    },
    /// The spool's condition changed.
    Spool(SpoolCondition),
    /// The answer to [`super::Order::Relay`].
    Relay {
        /// The port.
        port: u16,
        /// 0: init listens there. Else the error number that says why not.
        errno: i32,
    },
}

/// A step in init's eyes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningStep {
    /// The agent's number for the step.
    pub step: u32,
    /// Where it is.
    pub phase: StepPhase,
    /// Process id in the container's pid namespace; 0 once the step has ended.
    pub pid: u32,
}

/// Where a step is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepPhase {
    /// Forked, `execve` has not succeeded or failed yet.
    Starting,
    /// Its main process runs.
    Running,
    /// Its main process has exited; its pipes are being drained.
    Draining,
    /// Its end is in the spool.
    Ended,
}

/// Why init did not follow an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejection {
    /// [`RUNNING_STEPS_MAX`] steps run already.
    TooManySteps,
    /// Init is on its way out.
    ShuttingDown,
}

/// Whether steps' output flows into the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SpoolCondition {
    /// It flows.
    Open,
    /// The window is used up; steps that write are blocked until the agent releases some.
    Full,
    /// The spool's file system refuses writes; steps that write are blocked, init keeps trying.
    Refused {
        /// The error number of the write.
        errno: i32,
        /// What it means.
        message: String,
    },
}

impl Report {
    /// The whole message with its length prefix.
    ///
    /// # Errors
    /// When it names more steps than can run.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = vec![0; 4];
        match self {
            Self::Hello { version, written_offset, highest_step, running } => {
                if running.len() > RUNNING_STEPS_MAX {
                    return Err(EncodeError::BadValue("running steps"));
                }
                out.push(HELLO);
                out.extend_from_slice(&version.to_le_bytes());
                out.extend_from_slice(&written_offset.to_le_bytes());
                out.extend_from_slice(&highest_step.to_le_bytes());
                put_count(&mut out, running.len());
                for step in running {
                    put_step(&mut out, step);
                }
            }
            Self::Written { offset } => {
                out.push(WRITTEN);
                out.extend_from_slice(&offset.to_le_bytes());
            }
            Self::Step(step) => {
                out.push(STEP);
                put_step(&mut out, step);
            }
            Self::Rejected { step, reason } => {
                out.push(REJECTED);
                out.extend_from_slice(&step.to_le_bytes());
                out.push(match reason {
                    Rejection::TooManySteps => 1,
                    Rejection::ShuttingDown => 2,
                });
            }
            Self::Spool(condition) => {
                out.push(SPOOL);
                match condition {
                    SpoolCondition::Open => out.push(0),
                    SpoolCondition::Full => out.push(1),
                    SpoolCondition::Refused { errno, message } => {
                        out.push(2);
                        out.extend_from_slice(&errno.to_le_bytes());
                        put_bytes(&mut out, cut_text(message, MESSAGE_MAX_BYTES).as_bytes());
                    }
                }
            }
            Self::Relay { port, errno } => {
                out.push(RELAY);
                out.extend_from_slice(&port.to_le_bytes());
                out.extend_from_slice(&errno.to_le_bytes());
            }
        }
        seal(out, REPORT_MAX_BYTES)
    }

    /// Decodes a message's body (kind and fields).
    ///
    /// # Errors
    /// When the bytes are anything but exactly one valid report.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body);
        let report = match fields.u8()? {
            HELLO => {
                let version = fields.u16()?;
                let written_offset = fields.u64()?;
                let highest_step = fields.u32()?;
                let count = fields.count("running steps", RUNNING_STEPS_MAX, 9)?;
                let mut running = Vec::with_capacity(count);
                for _ in 0..count {
                    running.push(step(&mut fields)?);
                }
                Self::Hello { version, written_offset, highest_step, running }
            }
            WRITTEN => Self::Written { offset: fields.u64()? },
            STEP => Self::Step(step(&mut fields)?),
            REJECTED => {
                let step = fields.u32()?;
                let reason = match fields.u8()? {
                    1 => Rejection::TooManySteps,
                    2 => Rejection::ShuttingDown,
                    _ => return Err(DecodeError::BadValue("rejection")),
                };
                Self::Rejected { step, reason }
            }
            SPOOL => Self::Spool(match fields.u8()? {
                0 => SpoolCondition::Open,
                1 => SpoolCondition::Full,
                2 => {
                    let errno = fields.i32()?;
                    SpoolCondition::Refused { errno, message: fields.text("message", MESSAGE_MAX_BYTES)? }
                }
                _ => return Err(DecodeError::BadValue("spool condition")),
            }),
            RELAY => Self::Relay { port: fields.u16()?, errno: fields.i32()? },
            kind => return Err(DecodeError::UnknownKind(kind)),
        };
        fields.finish()?;
        Ok(report)
    }
}

fn put_step(out: &mut Vec<u8>, step: &RunningStep) {
    out.extend_from_slice(&step.step.to_le_bytes());
    out.push(match step.phase {
        StepPhase::Starting => 0,
        StepPhase::Running => 1,
        StepPhase::Draining => 2,
        StepPhase::Ended => 3,
    });
    out.extend_from_slice(&step.pid.to_le_bytes());
}

fn step(fields: &mut Fields<'_>) -> Result<RunningStep, DecodeError> {
    let step = fields.u32()?;
    let phase = match fields.u8()? {
        0 => StepPhase::Starting,
        1 => StepPhase::Running,
        2 => StepPhase::Draining,
        3 => StepPhase::Ended,
        _ => return Err(DecodeError::BadValue("phase")),
    };
    Ok(RunningStep { step, phase, pid: fields.u32()? })
}
