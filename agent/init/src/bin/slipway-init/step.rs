//! A step's life: starting, running, draining, ended; and the pipes that background children keep after it.

use crate::spawn::{STATUS_BYTES, Spawned, decode_status};
use crate::system::Reaped;
use rustix::io::Errno;
use slipway_init::limits::{DRAIN_MAX_MS, DRAIN_QUIET_MS};
use slipway_init::protocol::{RunningStep, Start, StepPhase};
use slipway_init::spool::{Body, Exit, SpawnStage, StepEnd, Stream};
use std::os::fd::OwnedFd;

/// One of a step's two pipes.
pub(crate) struct Pipe {
    /// `None` once it was closed by everyone who could write.
    pub(crate) read: Option<OwnedFd>,
    pub(crate) stream: Stream,
    /// Bytes that were in it when the step's main process had exited and that still have to be read: they are the
    /// step's, whatever the time says.
    owed_bytes: u64,
}

impl Pipe {
    /// Reads once into `buffer`. `Some(0)`: nothing there now, or closed.
    pub(crate) fn read(&mut self, buffer: &mut [u8]) -> usize {
        let Some(read) = &self.read else { return 0 };
        match rustix::io::read(read, buffer) {
            Ok(0) => {
                self.read = None;
                self.owed_bytes = 0;
                0
            }
            Ok(count) => {
                self.owed_bytes = self.owed_bytes.saturating_sub(count as u64);
                count
            }
            Err(Errno::AGAIN | Errno::INTR) => 0,
            Err(_) => {
                self.read = None;
                self.owed_bytes = 0;
                0
            }
        }
    }
}

/// A step whose end is not in the spool yet.
pub(crate) struct Step {
    pub(crate) number: u32,
    pub(crate) pid: i32,
    pub(crate) pipes: [Pipe; 2],
    /// Open until `execve` has succeeded or failed.
    pub(crate) status: Option<OwnedFd>,
    /// What stands in the first frame, until it is in the spool.
    first: Option<Body>,
    exit: Option<Reaped>,
    drain_since_ms: u64,
    quiet_since_ms: u64,
    killed_for: Option<StepEnd>,
    program: String,
    cwd: String,
}

/// What a step has to put into the spool next.
pub(crate) enum Due {
    Nothing,
    /// This, and the step goes on.
    First(Body),
    /// This, and the step is over.
    Last(Body),
}

impl Step {
    pub(crate) fn new(start: &Start, spawned: Spawned) -> Self {
        let pipe = |read, stream| Pipe { read: Some(read), stream, owed_bytes: 0 };
        Self {
            number: start.step,
            pid: spawned.pid,
            pipes: [pipe(spawned.stdout, Stream::Stdout), pipe(spawned.stderr, Stream::Stderr)],
            status: Some(spawned.status),
            ..Self::empty(start)
        }
    }

    /// A step whose process could not even be made.
    pub(crate) fn failed(start: &Start, errno: Errno) -> Self {
        let mut step = Self::empty(start);
        step.first = Some(step.failure(SpawnStage::Process, errno.raw_os_error()));
        step
    }

    fn empty(start: &Start) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes.get(..512).unwrap_or(bytes)).into_owned();
        let closed = |stream| Pipe { read: None, stream, owed_bytes: 0 };
        Self {
            number: start.step,
            pid: 0,
            pipes: [closed(Stream::Stdout), closed(Stream::Stderr)],
            status: None,
            first: None,
            exit: None,
            drain_since_ms: 0,
            quiet_since_ms: 0,
            killed_for: None,
            program: start.argv.first().map(|program| text(program)).unwrap_or_default(),
            cwd: text(&start.cwd),
        }
    }

    fn failure(&self, stage: SpawnStage, errno: i32) -> Body {
        let reason = std::io::Error::from_raw_os_error(errno);
        let message = match stage {
            SpawnStage::Process => format!("cannot make a process for `{}`: {reason}", self.program),
            SpawnStage::WorkingDirectory => {
                format!("cannot enter the working directory `{}`: {reason}", self.cwd)
            }
            SpawnStage::Program => format!("cannot run `{}`: {reason}", self.program),
        };
        Body::SpawnFailed { stage, errno, message }
    }

    /// Looks whether `execve` has succeeded or failed by now.
    pub(crate) fn read_status(&mut self) {
        let Some(status) = &self.status else { return };
        let mut record = [0_u8; STATUS_BYTES];
        let count = match rustix::io::read(status, &mut record) {
            Ok(count) => count,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => 0,
        };
        self.status = None;
        self.first = Some(if count == STATUS_BYTES {
            let (stage, errno) = decode_status(&record);
            self.failure(stage, errno)
        } else {
            Body::Started { pid: u32::try_from(self.pid).unwrap_or(0) }
        });
    }

    /// Output may be read: the first frame is in the spool.
    pub(crate) fn is_announced(&self) -> bool {
        self.status.is_none() && self.first.is_none()
    }

    /// The main process was reaped.
    pub(crate) fn exited(&mut self, reaped: Reaped, now_ms: u64) {
        // The pipe was closed by execve or by the exit, so this settles it.
        self.read_status();
        for pipe in &mut self.pipes {
            pipe.owed_bytes =
                pipe.read.as_ref().map_or(0, |read| rustix::io::ioctl_fionread(read).unwrap_or(0));
        }
        self.exit = Some(reaped);
        self.drain_since_ms = now_ms;
        self.quiet_since_ms = now_ms;
    }

    /// Output came, or could not be read because the spool takes none: neither is silence.
    pub(crate) fn heard(&mut self, now_ms: u64) {
        self.quiet_since_ms = now_ms;
    }

    /// The spool takes no output, so that the time for draining must not run.
    pub(crate) fn hold(&mut self, now_ms: u64) {
        self.quiet_since_ms = now_ms;
        self.drain_since_ms = now_ms;
    }

    /// Init kills the step for this reason, unless its main process has ended already.
    pub(crate) fn killed(&mut self, reason: StepEnd) {
        if self.exit.is_none() && self.killed_for.is_none() {
            self.killed_for = Some(reason);
        }
    }

    /// Whether the main process lives, so that its group may be signalled.
    pub(crate) fn is_alive(&self) -> bool {
        self.pid > 0 && self.exit.is_none()
    }

    fn drained(&self) -> Option<StepEnd> {
        if self.pipes.iter().all(|pipe| pipe.read.is_none()) {
            Some(StepEnd::Normal)
        } else if self.pipes.iter().all(|pipe| pipe.owed_bytes == 0) {
            Some(StepEnd::PipesOpen)
        } else {
            None
        }
    }

    /// When a step that drains ends at the latest, if nothing happens.
    pub(crate) fn drain_until_ms(&self) -> Option<u64> {
        self.exit.as_ref()?;
        let quiet = self.quiet_since_ms.saturating_add(DRAIN_QUIET_MS);
        Some(quiet.min(self.drain_since_ms.saturating_add(DRAIN_MAX_MS)))
    }

    /// What has to go to the spool now. `hurry`: init is about to exit, so silence is not waited for.
    pub(crate) fn due(&self, now_ms: u64, hurry: bool) -> Due {
        match &self.first {
            Some(failed @ Body::SpawnFailed { .. }) => return Due::Last(failed.clone()),
            Some(body) => return Due::First(body.clone()),
            None if self.status.is_some() => return Due::Nothing,
            None => {}
        }
        let (Some(exit), Some(until_ms)) = (&self.exit, self.drain_until_ms()) else { return Due::Nothing };
        let end = match self.drained() {
            None => return Due::Nothing,
            Some(StepEnd::PipesOpen) if now_ms < until_ms && !hurry => return Due::Nothing,
            Some(end) => self.killed_for.unwrap_or(end),
        };
        Due::Last(Body::Exited(Exit {
            status: exit.status,
            end,
            user_us: exit.user_us,
            system_us: exit.system_us,
            max_rss_bytes: exit.max_rss_bytes,
        }))
    }

    /// The first frame is in the spool.
    pub(crate) fn announced(&mut self) {
        self.first = None;
    }

    pub(crate) fn state(&self) -> RunningStep {
        let phase = match (&self.exit, self.is_announced()) {
            (Some(_), _) => StepPhase::Draining,
            (None, true) => StepPhase::Running,
            (None, false) => StepPhase::Starting,
        };
        RunningStep { step: self.number, phase, pid: u32::try_from(self.pid).unwrap_or(0) }
    }
}

/// Pipes of an ended step that background children still hold. They are read, so that nobody blocks or dies of
/// `SIGPIPE`, and what comes is thrown away and counted: it belongs to no running step.
pub(crate) struct Lingering {
    pub(crate) number: u32,
    pub(crate) pipes: [Pipe; 2],
    discarded_bytes: u64,
}

impl Lingering {
    /// What remains of an ended step, if anything.
    pub(crate) fn of(step: Step) -> Option<Self> {
        let open = step.pipes.iter().any(|pipe| pipe.read.is_some());
        open.then_some(Self { number: step.number, pipes: step.pipes, discarded_bytes: 0 })
    }

    pub(crate) fn discard(&mut self, index: usize, buffer: &mut [u8]) {
        if let Some(pipe) = self.pipes.get_mut(index) {
            self.discarded_bytes = self.discarded_bytes.saturating_add(pipe.read(buffer) as u64);
        }
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.pipes.iter().all(|pipe| pipe.read.is_none())
    }

    /// What to record when the last pipe was closed.
    pub(crate) fn summary(&self) -> Option<Body> {
        (self.discarded_bytes > 0).then_some(Body::Discarded { bytes: self.discarded_bytes })
    }
}
