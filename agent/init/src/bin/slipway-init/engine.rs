//! The loop: what init holds, and what it does each time something happened.

use crate::link::Link;
use crate::relay::Relays;
use crate::spawn::OomScore;
use crate::spool::SpoolWriter;
use crate::step::{Due, Lingering, Step};
use crate::system::{
    Reap, monotonic_ms, read_signals, reap, seal_inherited_descriptors, signal_all, signal_descriptor,
    tells_signals, unix_ms,
};
use crate::turn::{Ready, wait};
use rustix::fs::{Mode, OFlags, open};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::time::{
    ClockId, Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, clock_gettime,
    timerfd_create, timerfd_settime,
};
use slipway_init::limits::{
    FINAL_RECORD_MS, FRAME_MAX_BYTES, HEADER_BYTES, LINGERING_STEPS_MAX, PROTOCOL_VERSION, REAP_LOOK_MS,
    RELAY_SOCKET_NAME, TERMINATE_GRACE_MS, exit_code,
};
use slipway_init::protocol::{Report, SpoolCondition, Start};
use slipway_init::spool::{Body, Frame, StepEnd, seal_output};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// Everything that init holds.
pub(crate) struct Engine {
    pub(crate) link: Link,
    pub(crate) relays: Relays,
    pub(crate) spool: SpoolWriter,
    pub(crate) signals: OwnedFd,
    /// Whether `signals` says when a child ends; without, init looks by itself.
    told_of_signals: bool,
    pub(crate) stop_timer: OwnedFd,
    pub(crate) stdin: OwnedFd,
    pub(crate) oom: Option<OomScore>,
    pub(crate) steps: Vec<Step>,
    pub(crate) lingering: VecDeque<Lingering>,
    pub(crate) highest_step: u32,
    pub(crate) asked: Option<Asked>,
    pub(crate) ending: Option<Ending>,
    stop_boottime_ms: Option<u64>,
    told_written: u64,
    told_condition: SpoolCondition,
    buffer: Vec<u8>,
}

/// A step that starts when somebody connects to the socket.
pub(crate) struct Asked {
    pub(crate) start: Start,
    pub(crate) socket: OwnedFd,
}

/// Init is on its way out.
pub(crate) struct Ending {
    code: i32,
    reason: StepEnd,
    kill_at_ms: u64,
    /// Set when everything was killed.
    exit_at_ms: Option<u64>,
}

impl Engine {
    /// Prepares everything; fails when this is not PID 1 or the kernel refuses a descriptor.
    pub(crate) fn new(socket: PathBuf) -> std::io::Result<Self> {
        if std::process::id() != 1 {
            let text = "not PID 1: it must be the container's first process (no `--init`, no `--pid=host`)";
            return Err(std::io::Error::other(text));
        }
        seal_inherited_descriptors();
        let oom = OomScore::open();
        // From here on not even root of the container can look into this process (unless it was given CAP_SYS_PTRACE).
        set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
        let signals = signal_descriptor(&[libc::SIGCHLD, libc::SIGTERM])?;
        let told_of_signals = tells_signals(&signals);
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        Ok(Self {
            relays: Relays::new(socket.with_file_name(RELAY_SOCKET_NAME)),
            link: Link::new(socket),
            spool: SpoolWriter::default(),
            signals,
            told_of_signals,
            stop_timer: timerfd_create(TimerfdClockId::Boottime, flags)?,
            stdin: empty_input()?,
            oom,
            steps: Vec::new(),
            lingering: VecDeque::new(),
            highest_step: 0,
            asked: None,
            ending: None,
            stop_boottime_ms: None,
            told_written: 0,
            told_condition: SpoolCondition::Open,
            buffer: vec![0; FRAME_MAX_BYTES],
        })
    }

    /// Runs until init has to exit; the exit code.
    pub(crate) fn run(&mut self) -> i32 {
        loop {
            let now_ms = monotonic_ms();
            if self.link.connect(now_ms) {
                self.hello();
            }
            self.spool.retry(now_ms);
            self.advance_steps(now_ms);
            self.advance_lingering(now_ms);
            self.relays.advance(now_ms);
            let done = self.advance_ending(now_ms);
            // Before the notices, too: one that found an answer in its way would wait for whatever happens next, and after a
            // step's last frame that may be nothing.
            self.link.send();
            self.notify();
            self.link.send();
            if let Some(code) = done {
                return code;
            }
            let mut timeout_ms = self.next_deadline_ms(now_ms).map(|at_ms| at_ms.saturating_sub(now_ms));
            let has_to_look = !self.told_of_signals && (!self.steps.is_empty() || self.ending.is_some());
            if has_to_look {
                timeout_ms = Some(timeout_ms.map_or(REAP_LOOK_MS, |ms| ms.min(REAP_LOOK_MS)));
            }
            for ready in wait(self, timeout_ms) {
                self.handle(ready);
            }
            if has_to_look {
                let _childless = self.reap();
            }
        }
    }

    fn handle(&mut self, ready: Ready) {
        let now_ms = monotonic_ms();
        match ready {
            Ready::Signals => {
                for signal in read_signals(&self.signals) {
                    if signal == libc::SIGTERM {
                        self.end(exit_code::TERMINATED, StepEnd::Shutdown, TERMINATE_GRACE_MS);
                    }
                }
                let _childless = self.reap();
            }
            Ready::StopTimer => self.check_stop_time(),
            Ready::Link => self.receive(),
            Ready::Asked => self.start_what_was_asked_for(),
            Ready::Relay(ready) => self.relays.handle(ready, now_ms, &mut self.buffer),
            Ready::Status(position) => {
                if let Some(step) = self.steps.get_mut(position) {
                    step.read_status();
                }
            }
            Ready::Output(position, index) => self.read_output(position, index, now_ms),
            Ready::Lingering(position, index) => {
                if let Some(lingering) = self.lingering.get_mut(position) {
                    lingering.discard(index, &mut self.buffer);
                }
            }
        }
    }

    fn hello(&mut self) {
        self.told_written = self.spool.written();
        self.told_condition = SpoolCondition::Open;
        self.link.report(&Report::Hello {
            version: PROTOCOL_VERSION,
            written_offset: self.told_written,
            highest_step: self.highest_step,
            running: self.steps.iter().map(Step::state).collect(),
        });
    }

    /// Tells what changed, in at most one notice of each sort until the agent has taken the last ones.
    fn notify(&mut self) {
        if !self.link.is_idle() {
            return;
        }
        if self.told_written != self.spool.written() {
            self.told_written = self.spool.written();
            self.link.report(&Report::Written { offset: self.told_written });
        }
        let condition = self.spool.condition();
        if self.told_condition != condition {
            self.link.report(&Report::Spool(condition.clone()));
            self.told_condition = condition;
        }
    }

    /// Reaps all that has ended; whether no child is left.
    fn reap(&mut self) -> bool {
        loop {
            let reaped = match reap() {
                Reap::Child(reaped) => reaped,
                Reap::NoneEnded => return false,
                Reap::NoChildren => return true,
            };
            let now_ms = monotonic_ms();
            // Anything else is an orphan, whose end interests nobody.
            if let Some(step) = self.steps.iter_mut().find(|step| step.pid == reaped.pid && step.is_alive()) {
                step.exited(reaped, now_ms);
            }
        }
    }

    fn read_output(&mut self, position: usize, index: usize, now_ms: u64) {
        let Some(step) = self.steps.get_mut(position) else { return };
        let number = step.number;
        if !self.spool.takes_output() {
            return;
        }
        let Some(pipe) = step.pipes.get_mut(index) else { return };
        let Some(room) = self.buffer.get_mut(HEADER_BYTES..) else { return };
        let count = pipe.read(room);
        let stream = pipe.stream;
        if count > 0
            && let Some(frame) = self.buffer.get_mut(..HEADER_BYTES + count)
        {
            step.heard(now_ms);
            seal_output(frame, stream, number, unix_ms());
            self.spool.append_output(frame, now_ms);
        }
    }

    fn append(&mut self, step: u32, body: Body, now_ms: u64) -> bool {
        let frame = Frame { step, time_ms: unix_ms(), body };
        // Only output can be too long for a frame, and that does not come this way.
        frame.encode().is_ok_and(|bytes| self.spool.append(&bytes, now_ms))
    }

    /// Records beginnings and ends that are due, and lets ended steps go.
    fn advance_steps(&mut self, now_ms: u64) {
        let paused = !self.spool.takes_output();
        let hurry = self.ending.as_ref().is_some_and(|ending| ending.exit_at_ms.is_some());
        let mut position = 0;
        while let Some(step) = self.steps.get_mut(position) {
            if paused {
                step.hold(now_ms);
            }
            let number = step.number;
            match step.due(now_ms, hurry) {
                Due::First(body) if self.append(number, body.clone(), now_ms) => {
                    if let Some(step) = self.steps.get_mut(position) {
                        step.announced();
                    }
                }
                Due::Last(body) if self.append(number, body.clone(), now_ms) => {
                    let step = self.steps.remove(position);
                    if matches!(body, Body::Exited(_)) {
                        self.lingering.extend(Lingering::of(step));
                    }
                }
                _ => position += 1,
            }
        }
    }

    fn advance_lingering(&mut self, now_ms: u64) {
        while self.lingering.len() > LINGERING_STEPS_MAX {
            self.lingering.pop_front();
        }
        let mut position = 0;
        while let Some(lingering) = self.lingering.get(position) {
            let recorded = lingering.is_closed() && {
                let number = lingering.number;
                lingering.summary().is_none_or(|body| self.append(number, body, now_ms))
            };
            if recorded {
                self.lingering.remove(position);
            } else {
                position += 1;
            }
        }
    }

    /// Begins to end: `SIGTERM` to everything, and after the grace `SIGKILL`. No grace: `SIGKILL` at once. An ending
    /// that has begun can only become quicker.
    pub(crate) fn end(&mut self, code: i32, reason: StepEnd, grace_ms: u64) {
        let kill_at_ms = monotonic_ms().saturating_add(grace_ms);
        match &mut self.ending {
            Some(ending) if ending.kill_at_ms <= kill_at_ms => return,
            Some(ending) => {
                ending.code = code;
                ending.reason = reason;
                ending.kill_at_ms = kill_at_ms;
            }
            None => {
                self.ending = Some(Ending { code, reason, kill_at_ms, exit_at_ms: None });
                if grace_ms > 0 {
                    signal_all(libc::SIGTERM);
                }
            }
        }
        for step in &mut self.steps {
            step.killed(reason);
        }
    }

    fn advance_ending(&mut self, now_ms: u64) -> Option<i32> {
        self.ending.as_ref()?;
        let childless = self.reap();
        let ending = self.ending.as_mut()?;
        if ending.exit_at_ms.is_none() && now_ms >= ending.kill_at_ms {
            ending.exit_at_ms = Some(now_ms.saturating_add(FINAL_RECORD_MS));
            signal_all(libc::SIGKILL);
        }
        let given_up = ending.exit_at_ms.is_some_and(|at_ms| now_ms >= at_ms);
        let code = ending.code;
        ((childless && self.steps.is_empty()) || given_up).then_some(code)
    }

    /// Sets the job's stop time.
    pub(crate) fn set_stop_time(&mut self, boottime_ms: u64) {
        self.stop_boottime_ms = Some(boottime_ms);
        // Zero would disarm the timer.
        let at_ms = boottime_ms.max(1);
        let at = Timespec {
            tv_sec: i64::try_from(at_ms / 1000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(at_ms % 1000).unwrap_or(0) * 1_000_000,
        };
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let time = Itimerspec { it_interval: never, it_value: at };
        if let Err(errno) = timerfd_settime(&self.stop_timer, TimerfdTimerFlags::ABSTIME, &time) {
            // Without its guard the job must not run on.
            eprintln!("slipway-init: cannot set the stop time: {}", std::io::Error::from(errno));
            self.end(exit_code::STOP_TIME, StepEnd::StopTime, 0);
        }
    }

    fn check_stop_time(&mut self) {
        // Clears the descriptor; whether the time has come is asked of the clock, as the time may have been moved.
        let _ = rustix::io::read(&self.stop_timer, &mut [0_u8; 8]);
        let now = clock_gettime(ClockId::Boottime);
        let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
        let now_ms =
            seconds.saturating_mul(1000).saturating_add(u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000);
        if self.stop_boottime_ms.is_some_and(|stop_ms| stop_ms <= now_ms) {
            self.end(exit_code::STOP_TIME, StepEnd::StopTime, 0);
        }
    }

    /// The earliest time at which something is due without any descriptor being ready. What is overdue waits for room
    /// in the spool, which a descriptor or the spool's own retry announces.
    fn next_deadline_ms(&self, now_ms: u64) -> Option<u64> {
        let drains = self.steps.iter().filter_map(Step::drain_until_ms).filter(|at_ms| *at_ms > now_ms);
        let ending = self.ending.as_ref().map(|ending| ending.exit_at_ms.unwrap_or(ending.kill_at_ms));
        let relays = self.relays.attempt_at_ms();
        drains
            .chain(self.link.attempt_at_ms())
            .chain(self.spool.retry_at_ms())
            .chain(ending)
            .chain(relays)
            .min()
    }
}

/// What steps read from: `/dev/null`, or in an image without it a pipe that nobody writes to.
fn empty_input() -> std::io::Result<OwnedFd> {
    match open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
        Ok(null) => Ok(null),
        Err(_) => Ok(pipe_with(PipeFlags::CLOEXEC)?.0),
    }
}
