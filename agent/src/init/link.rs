//! A live connection to a job's init: orders out, events in.

use super::{InitError, Spool};
use rustix::io::IoSlice;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use slipway_init::limits::{PROTOCOL_VERSION, PROTOCOL_VERSION_OLDEST, RELAYS_MAX, REPORT_MAX_BYTES};
use slipway_init::protocol::{
    MessageBuffer, Order, Rejection, RelayTarget, Report, RunningStep, SpoolCondition, Start,
};
use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{mpsc, oneshot, watch};

/// Orders that wait for the socket.
const ORDERS_MAX: usize = 64;

/// Events that wait to be taken. They answer orders one by one, so an init that sends more is broken.
const EVENTS_MAX: usize = 256;

/// Bytes of one read from the socket.
const READ_BYTES: usize = 16 * 1024;

/// First version that has relays.
const RELAY_VERSION: u16 = 2;

/// First version whose steps can wait for a client.
const ASKED_VERSION: u16 = 3;

/// Of each port that init was asked to relay on this connection: how often it answered, and its last error number (0:
/// none).
type RelayAnswers = BTreeMap<u16, (u64, i32)>;

/// What [`super::JobSocket::accept`] gives.
#[derive(Debug)]
pub struct Connection {
    /// Sends orders.
    pub link: InitLink,
    /// Receives events.
    pub events: InitEvents,
    /// Where init was when it connected.
    pub ready: Ready,
}

/// Where init was when it connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ready {
    /// Logical end of the spool.
    pub written_offset: u64,
    /// Highest step number ever started in this container; 0 when none was.
    pub highest_step: u32,
    /// Steps whose end was not in the spool yet.
    pub running: Vec<RunningStep>,
}

/// An order on its way.
#[derive(Debug)]
struct Outgoing {
    message: Vec<u8>,
    /// What travels with it, and who waits for it to be sent.
    attached: Option<(OwnedFd, oneshot::Sender<()>)>,
}

/// Sends orders to init. Clones send over the same connection, which closes when the last one is dropped (init then
/// goes on alone and connects again).
///
/// An order that was sent just before a connection broke may be lost: after the next [`super::JobSocket::accept`],
/// repeat the starts that `ready` doesn't know. Repeating too much does no harm.
#[derive(Debug, Clone)]
pub struct InitLink {
    orders: mpsc::Sender<Outgoing>,
    condition: watch::Receiver<SpoolCondition>,
    relays: watch::Receiver<RelayAnswers>,
    version: u16,
}

impl InitLink {
    /// Starts a step, once: a number that was started before is answered by [`InitEvent::Step`]. The step's frames tell
    /// the rest, beginning with `Started` or `SpawnFailed`.
    ///
    /// # Errors
    /// [`InitError::Order`] when it can't be sent (too large, NUL bytes, relative folder); [`InitError::Closed`].
    pub async fn start(&self, start: Start) -> Result<(), InitError> {
        self.send(&Order::Start(start)).await
    }

    /// Starts a step, once, as soon as somebody connects to a listening socket, which the step gets as descriptor 3. Returns when the
    /// kernel has order and socket for init: should this agent die then, init finds them all the same.
    ///
    /// # Errors
    /// [`InitError::Version`] when the container's init can't; as [`Self::start`].
    pub async fn start_asked(&self, start: Start, socket: OwnedFd) -> Result<(), InitError> {
        self.needs(ASKED_VERSION)?;
        let message = Order::StartAsked(start).encode()?;
        let (sent, was_sent) = oneshot::channel();
        let outgoing = Outgoing { message, attached: Some((socket, sent)) };
        self.orders.send(outgoing).await.map_err(|_| InitError::Closed)?;
        was_sent.await.map_err(|_| InitError::Closed)
    }

    /// Sends a signal to a running step's process group.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub async fn signal(&self, step: u32, signal: u8) -> Result<(), InitError> {
        self.send(&Order::Signal { step, signal }).await
    }

    /// Sets the time of `CLOCK_BOOTTIME`, in milliseconds, at which init kills the job and exits with
    /// [`slipway_init::limits::exit_code::STOP_TIME`].
    ///
    /// # Errors
    /// [`InitError::Closed`].
    pub async fn stop_time(&self, boottime_ms: u64) -> Result<(), InitError> {
        self.send(&Order::StopTime { boottime_ms }).await
    }

    /// `SIGTERM` to everything in the container, `SIGKILL` after the grace; then init exits with code 0.
    ///
    /// # Errors
    /// [`InitError::Order`] when the grace exceeds [`slipway_init::limits::SHUTDOWN_GRACE_MAX_MS`];
    /// [`InitError::Closed`].
    pub async fn shutdown(&self, grace_ms: u32) -> Result<(), InitError> {
        self.send(&Order::Shutdown { grace_ms }).await
    }

    /// Makes init listen on this port of the container's 127.0.0.1 and relay each connection to the target; for a port
    /// that it relays already, later connections go to the new target. Relays live as long as the container, so that
    /// repeating this after an adoption does no harm. Returns once init listens.
    ///
    /// # Errors
    /// [`InitError::Relay`] when init can't listen there; [`InitError::Version`] when the container's init has no relays;
    /// as [`Self::start`].
    pub async fn relay(&self, port: u16, target: RelayTarget) -> Result<(), InitError> {
        self.needs(RELAY_VERSION)?;
        let mut answers = self.relays.clone();
        let count = |answers: &RelayAnswers| answers.get(&port).map_or(0, |(count, _)| *count);
        // An answer to an earlier order for the port tells nothing about this one.
        let known = count(&answers.borrow_and_update());
        self.send(&Order::Relay { port, target }).await?;
        let answers = answers.wait_for(|answers| count(answers) > known).await;
        match answers.map_err(|_| InitError::Closed)?.get(&port) {
            Some((_, 0)) => Ok(()),
            Some((_, errno)) => {
                Err(InitError::Relay { port, source: std::io::Error::from_raw_os_error(*errno) })
            }
            None => Err(InitError::Closed),
        }
    }

    /// Whether steps' output flows into the spool, now and whenever it changes.
    pub fn spool_condition(&self) -> watch::Receiver<SpoolCondition> {
        self.condition.clone()
    }

    async fn send(&self, order: &Order) -> Result<(), InitError> {
        let outgoing = Outgoing { message: order.encode()?, attached: None };
        self.orders.send(outgoing).await.map_err(|_| InitError::Closed)
    }

    fn needs(&self, oldest: u16) -> Result<(), InitError> {
        match self.version {
            version if version >= oldest => Ok(()),
            theirs => Err(InitError::Version { theirs, oldest, ours: PROTOCOL_VERSION }),
        }
    }
}

/// Something that init said besides what is in the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InitEvent {
    /// A step's state, in answer to a repeated start.
    Step(RunningStep),
    /// Init did not start a step.
    Rejected {
        /// The step.
        step: u32,
        /// Why.
        reason: Rejection,
    },
}

/// Receives events.
#[derive(Debug)]
pub struct InitEvents {
    events: mpsc::Receiver<Result<InitEvent, InitError>>,
}

impl InitEvents {
    /// The next event; waits for it. May be cancelled.
    ///
    /// # Errors
    /// When the connection has ended; [`InitError::Closed`] when nothing more is known. Accept again, unless the
    /// container has ended too.
    pub async fn next(&mut self) -> Result<InitEvent, InitError> {
        self.events.recv().await.unwrap_or(Err(InitError::Closed))
    }
}

/// Takes init's hello and hands it the spool.
pub(super) async fn greet(
    mut stream: UnixStream,
    spool: &Spool,
    stop_boottime_ms: Option<u64>,
) -> Result<Connection, InitError> {
    let mut received = MessageBuffer::new(REPORT_MAX_BYTES);
    let report = loop {
        if let Some(body) = received.next_message()? {
            break Report::decode(body)?;
        }
        let mut bytes = [0; 1024];
        let count = stream.read(&mut bytes).await.map_err(closed)?;
        if count == 0 {
            return Err(InitError::Closed);
        }
        received.push(bytes.get(..count).unwrap_or_default());
    };
    let Report::Hello { version, written_offset, highest_step, running } = report else {
        return Err(InitError::Impossible("its first message is no hello"));
    };
    if !(PROTOCOL_VERSION_OLDEST..=PROTOCOL_VERSION).contains(&version) {
        return Err(InitError::Version {
            theirs: version,
            oldest: PROTOCOL_VERSION_OLDEST,
            ours: PROTOCOL_VERSION,
        });
    }
    let known = spool.written();
    if written_offset < known {
        return Err(InitError::Restarted { written: written_offset, known });
    }
    take_announcement(spool, written_offset)?;
    let mut limit = spool.limit();
    let limit_offset = *limit.borrow_and_update();
    let welcome = Order::Welcome { version, limit_offset, stop_boottime_ms }.encode()?;
    let writer = spool.writer().map_err(InitError::Socket)?;
    let sent = send_with(&stream, &welcome, writer.as_fd()).await.map_err(closed)?;
    stream.write_all(welcome.get(sent..).unwrap_or_default()).await.map_err(closed)?;

    let (read, write) = stream.into_split();
    let (orders, orders_out) = mpsc::channel(ORDERS_MAX);
    let (events_in, events) = mpsc::channel(EVENTS_MAX);
    let (condition_in, condition) = watch::channel(SpoolCondition::Open);
    let (relays_in, relays) = watch::channel(RelayAnswers::new());
    let sender = tokio::spawn(send_orders(write, orders_out, limit));
    let spool = spool.clone();
    tokio::spawn(async move {
        let Err(error) = receive_reports(read, received, &spool, &events_in, &condition_in, &relays_in).await;
        sender.abort();
        // A full channel closes all the same, which the receiver takes for `Closed`.
        let _ = events_in.try_send(Err(error));
    });
    Ok(Connection {
        link: InitLink { orders, condition, relays, version },
        events: InitEvents { events },
        ready: Ready { written_offset, highest_step, running },
    })
}

async fn send_orders(
    mut write: OwnedWriteHalf,
    mut orders: mpsc::Receiver<Outgoing>,
    mut limit: watch::Receiver<u64>,
) {
    loop {
        let Outgoing { message, attached } = tokio::select! {
            order = orders.recv() => match order {
                Some(outgoing) => outgoing,
                None => return,
            },
            changed = limit.changed() => {
                let limit_offset = *limit.borrow_and_update();
                match (changed, Order::Window { limit_offset }.encode()) {
                    (Ok(()), Ok(message)) => Outgoing { message, attached: None },
                    _ => return,
                }
            }
        };
        // The receiving half learns of a broken connection by itself.
        let sent = match &attached {
            None => 0,
            Some((socket, _)) => match send_with(write.as_ref(), &message, socket.as_fd()).await {
                Ok(sent) => sent,
                Err(_) => return,
            },
        };
        if write.write_all(message.get(sent..).unwrap_or_default()).await.is_err() {
            return;
        }
        if let Some((_, waits)) = attached {
            // Whoever waited may have gone.
            let _ = waits.send(());
        }
    }
}

async fn receive_reports(
    mut read: OwnedReadHalf,
    mut received: MessageBuffer,
    spool: &Spool,
    events: &mpsc::Sender<Result<InitEvent, InitError>>,
    condition: &watch::Sender<SpoolCondition>,
    relays: &watch::Sender<RelayAnswers>,
) -> Result<std::convert::Infallible, InitError> {
    let mut bytes = vec![0; READ_BYTES];
    loop {
        while let Some(body) = received.next_message()? {
            let event = match Report::decode(body)? {
                Report::Written { offset } => {
                    take_announcement(spool, offset)?;
                    continue;
                }
                Report::Spool(new) => {
                    condition.send_replace(new);
                    continue;
                }
                Report::Relay { port, errno } => {
                    relays.send_modify(|answers| {
                        let answer = answers.entry(port).or_default();
                        *answer = (answer.0 + 1, errno);
                    });
                    // One more than init can listen on: a refusal counts too.
                    if relays.borrow().len() > 2 * RELAYS_MAX {
                        return Err(InitError::Impossible("it relays more than was asked"));
                    }
                    continue;
                }
                Report::Step(state) => InitEvent::Step(state),
                Report::Rejected { step, reason } => InitEvent::Rejected { step, reason },
                Report::Hello { .. } => return Err(InitError::Impossible("it said hello twice")),
            };
            if let Err(mpsc::error::TrySendError::Full(_)) = events.try_send(Ok(event)) {
                return Err(InitError::Impossible("it reports more than was asked"));
            }
        }
        let count = read.read(&mut bytes).await.map_err(closed)?;
        if count == 0 {
            return Err(InitError::Closed);
        }
        received.push(bytes.get(..count).unwrap_or_default());
    }
}

fn take_announcement(spool: &Spool, written: u64) -> Result<(), InitError> {
    match spool.announce(written) {
        Ok(true) => Ok(()),
        Ok(false) => Err(InitError::Impossible("it announces more than the spool has")),
        Err(error) => Err(InitError::Socket(error)),
    }
}

/// Sends a message, or the beginning of one, with a descriptor attached to its first byte; how much was sent.
async fn send_with(
    stream: &UnixStream,
    message: &[u8],
    descriptor: BorrowedFd<'_>,
) -> std::io::Result<usize> {
    let sent = stream.async_io(Interest::WRITABLE, || {
        let descriptors = [descriptor];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
        let parts = [IoSlice::new(message)];
        Ok(sendmsg(stream, &parts, &mut ancillary, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)?)
    });
    sent.await
}

/// A peer that exits with orders unread resets the connection; what it sent before has been read by then.
fn closed(error: std::io::Error) -> InitError {
    match error.kind() {
        std::io::ErrorKind::BrokenPipe | std::io::ErrorKind::ConnectionReset => InitError::Closed,
        _ => InitError::Socket(error),
    }
}
