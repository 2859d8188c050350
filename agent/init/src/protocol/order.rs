//! What the agent tells init.

use super::{DecodeError, EncodeError, seal};
use crate::fields::{Fields, put_bytes, put_count};
use crate::limits::{ORDER_MAX_BYTES, SHUTDOWN_GRACE_MAX_MS, STRINGS_MAX};
use std::net::{Ipv4Addr, SocketAddrV4};

const WELCOME: u8 = 1;
const START: u8 = 2;
const SIGNAL: u8 = 3;
const STOP_TIME: u8 = 4;
const WINDOW: u8 = 5;
const SHUTDOWN: u8 = 6;
const RELAY: u8 = 7;
const START_ASKED: u8 = 8;

const TO_AGENT: u8 = 1;
const TO_ADDRESS: u8 = 2;

/// Highest signal number of Linux.
const SIGNAL_MAX: u8 = 64;

/// A message from the agent to init.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// The first order, which answers `Hello`. The spool's descriptor travels with it (`SCM_RIGHTS`).
    Welcome {
        /// Protocol version that the agent chose; init refuses another than its own.
        version: u16,
        /// See [`Order::Window`].
        limit_offset: u64,
        /// See [`Order::StopTime`]; `None` leaves what init has.
        stop_boottime_ms: Option<u64>,
    },
    /// Start a step, once: a repeated order for a step that was started does nothing but announce its state again.
    Start(Start),
    /// Send a signal to the step's process group. Does nothing when the step is not running.
    Signal {
        /// The step.
        step: u32,
        /// Signal number, 1 to 64.
        signal: u8,
    },
    /// At this time of `CLOCK_BOOTTIME`, kill everything and exit. Replaces the former stop time, earlier or later.
    StopTime {
        /// Milliseconds.
        boottime_ms: u64,
    },
    /// Init may write the spool up to this logical offset. Only grows; a lower one is ignored.
    Window {
        /// Logical offset in bytes.
        limit_offset: u64,
    },
    /// `SIGTERM` to all steps, `SIGKILL` after the grace, then exit with code 0.
    Shutdown {
        /// Milliseconds, at most [`SHUTDOWN_GRACE_MAX_MS`].
        grace_ms: u32,
    },
    /// Listen on this port of the container's loopback and relay each connection to the target. Repeated for a port, it
    /// sets the target of later connections. Answered by [`super::Report::Relay`]. From version 2 on.
    Relay {
        /// Port, not 0.
        port: u16,
        /// Where connections go.
        target: RelayTarget,
    },
    /// Start a step, once, as soon as somebody connects to a socket. The listening socket travels with this (`SCM_RIGHTS`); the step
    /// gets it as descriptor 3, and init has it no longer. From version 3 on; one such step waits at a time.
    StartAsked(Start),
}

/// Where init relays connections to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayTarget {
    /// The agent's socket [`crate::limits::RELAY_SOCKET_NAME`] beside the control socket.
    Agent,
    /// An address of the job's network.
    Address(SocketAddrV4),
}

/// How to start a step. Nothing is interpreted by a shell: this is `execve`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Start {
    /// The agent's number for the step, from 1; each new step has a higher one than all before it in this container.
    pub step: u32,
    /// Program and arguments; at least the program. Without a slash it is looked up in the `PATH` of `env`.
    pub argv: Vec<Vec<u8>>,
    /// The whole environment as `NAME=value`; nothing is added to it.
    pub env: Vec<Vec<u8>>,
    /// Absolute working directory.
    pub cwd: Vec<u8>,
}

impl Start {
    fn check(&self) -> Result<(), &'static str> {
        if self.step == 0 {
            return Err("step number (the first is 1)");
        }
        if self.argv.first().is_none_or(Vec::is_empty) {
            return Err("argv (the program is missing)");
        }
        if self.argv.len() > STRINGS_MAX {
            return Err("argv (too many arguments)");
        }
        if self.argv.iter().any(|text| text.contains(&0)) {
            return Err("argv (NUL in an argument)");
        }
        if self.env.len() > STRINGS_MAX {
            return Err("environment (too many variables)");
        }
        if self.env.iter().any(|text| text.contains(&0) || !text.contains(&b'=') || text.starts_with(b"=")) {
            return Err("environment (NUL, or no name)");
        }
        if !self.cwd.starts_with(b"/") || self.cwd.contains(&0) {
            return Err("working directory (must be absolute, without NUL)");
        }
        Ok(())
    }
}

impl Order {
    /// The whole message with its length prefix.
    ///
    /// # Errors
    /// When it exceeds [`ORDER_MAX_BYTES`], or carries what [`Self::decode`] would refuse.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        let mut out = vec![0; 4];
        match self {
            Self::Welcome { version, limit_offset, stop_boottime_ms } => {
                out.push(WELCOME);
                out.extend_from_slice(&version.to_le_bytes());
                out.extend_from_slice(&limit_offset.to_le_bytes());
                out.push(u8::from(stop_boottime_ms.is_some()));
                out.extend_from_slice(&stop_boottime_ms.unwrap_or(0).to_le_bytes());
            }
            Self::Start(start) | Self::StartAsked(start) => {
                start.check().map_err(EncodeError::BadValue)?;
                out.push(if matches!(self, Self::Start(_)) { START } else { START_ASKED });
                out.extend_from_slice(&start.step.to_le_bytes());
                for list in [&start.argv, &start.env] {
                    put_count(&mut out, list.len());
                    for text in list {
                        put_bytes(&mut out, text);
                    }
                }
                put_bytes(&mut out, &start.cwd);
            }
            Self::Signal { step, signal } => {
                if !(1..=SIGNAL_MAX).contains(signal) {
                    return Err(EncodeError::BadValue("signal"));
                }
                out.push(SIGNAL);
                out.extend_from_slice(&step.to_le_bytes());
                out.push(*signal);
            }
            Self::StopTime { boottime_ms } => {
                out.push(STOP_TIME);
                out.extend_from_slice(&boottime_ms.to_le_bytes());
            }
            Self::Window { limit_offset } => {
                out.push(WINDOW);
                out.extend_from_slice(&limit_offset.to_le_bytes());
            }
            Self::Shutdown { grace_ms } => {
                if *grace_ms > SHUTDOWN_GRACE_MAX_MS {
                    return Err(EncodeError::BadValue("grace"));
                }
                out.push(SHUTDOWN);
                out.extend_from_slice(&grace_ms.to_le_bytes());
            }
            Self::Relay { port, target } => {
                if *port == 0 {
                    return Err(EncodeError::BadValue("relayed port"));
                }
                out.push(RELAY);
                out.extend_from_slice(&port.to_le_bytes());
                match target {
                    RelayTarget::Agent => out.push(TO_AGENT),
                    RelayTarget::Address(address) => {
                        out.push(TO_ADDRESS);
                        out.extend_from_slice(&u32::from(*address.ip()).to_le_bytes());
                        out.extend_from_slice(&address.port().to_le_bytes());
                    }
                }
            }
        }
        seal(out, ORDER_MAX_BYTES)
    }

    /// Decodes a message's body (kind and fields).
    ///
    /// # Errors
    /// When the bytes are anything but exactly one valid order.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        let mut fields = Fields::new(body);
        let order = match fields.u8()? {
            WELCOME => {
                let version = fields.u16()?;
                let limit_offset = fields.u64()?;
                let stop_boottime_ms = match (fields.u8()?, fields.u64()?) {
                    (0, 0) => None,
                    (1, time) => Some(time),
                    _ => return Err(DecodeError::BadValue("stop time")),
                };
                Self::Welcome { version, limit_offset, stop_boottime_ms }
            }
            kind @ (START | START_ASKED) => {
                let step = fields.u32()?;
                let argv = strings(&mut fields, "argv")?;
                let env = strings(&mut fields, "environment")?;
                let cwd = fields.bytes("working directory", ORDER_MAX_BYTES)?.to_vec();
                let start = Start { step, argv, env, cwd };
                start.check().map_err(DecodeError::BadValue)?;
                if kind == START { Self::Start(start) } else { Self::StartAsked(start) }
            }
            SIGNAL => {
                let (step, signal) = (fields.u32()?, fields.u8()?);
                if !(1..=SIGNAL_MAX).contains(&signal) {
                    return Err(DecodeError::BadValue("signal"));
                }
                Self::Signal { step, signal }
            }
            STOP_TIME => Self::StopTime { boottime_ms: fields.u64()? },
            WINDOW => Self::Window { limit_offset: fields.u64()? },
            SHUTDOWN => {
                let grace_ms = fields.u32()?;
                if grace_ms > SHUTDOWN_GRACE_MAX_MS {
                    return Err(DecodeError::BadValue("grace"));
                }
                Self::Shutdown { grace_ms }
            }
            RELAY => {
                let port = fields.u16()?;
                if port == 0 {
                    return Err(DecodeError::BadValue("relayed port"));
                }
                let target = match fields.u8()? {
                    TO_AGENT => RelayTarget::Agent,
                    TO_ADDRESS => {
                        let ip = Ipv4Addr::from(fields.u32()?);
                        RelayTarget::Address(SocketAddrV4::new(ip, fields.u16()?))
                    }
                    _ => return Err(DecodeError::BadValue("relay target")),
                };
                Self::Relay { port, target }
            }
            kind => return Err(DecodeError::UnknownKind(kind)),
        };
        fields.finish()?;
        Ok(order)
    }
}

fn strings(fields: &mut Fields<'_>, what: &'static str) -> Result<Vec<Vec<u8>>, DecodeError> {
    let count = fields.count(what, STRINGS_MAX, 4)?;
    let mut list = Vec::with_capacity(count);
    for _ in 0..count {
        list.push(fields.bytes(what, ORDER_MAX_BYTES)?.to_vec());
    }
    Ok(list)
}
