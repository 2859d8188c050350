//! An activity's process: start it, follow its output, stop it when its time has come.

use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::Instant;

use super::attempt::{Attempt, End};
use super::course::Activity;
use super::program::Program;
use super::unix_ms;
use super::vessel::{Connected, Vessel};
use crate::docker::container::ContainerState;
use crate::failure::{Cause, Failure};
use crate::init::limits::exit_code;
use crate::init::{Body, Exit, ExitStatus, InitError, SpawnStage, SpooledFrame, StepEnd};
use crate::limits::{CANCEL_INTERRUPT, CANCEL_TERMINATE, SPOOL_READ_BYTES};
use crate::records::log::{JobLog, Usage};
use crate::steps::annotations::Level;
use crate::steps::contexts::Contexts;
use crate::steps::outcome::Ended;

const SIGINT: u8 = 2;
const SIGKILL: u8 = 9;
const SIGTERM: u8 = 15;

/// "No such file or directory".
const ENOENT: i32 = 2;

/// How a step went.
pub(super) struct Ran {
    pub(super) ended: Ended,
    pub(super) usage: Usage,
    /// One sentence about a failure.
    pub(super) message: Option<String>,
}

impl Ran {
    pub(super) fn failed() -> Self {
        Self { ended: Ended::Failed, usage: Usage::default(), message: None }
    }

    /// A failure that is told in the log.
    pub(super) fn told(log: &mut JobLog, message: String) -> Self {
        log.remark(Level::Error, &message);
        Self { message: Some(message), ..Self::failed() }
    }
}

/// How far stopping a step's process has come.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stopping {
    No,
    Interrupted,
    Terminated,
    Killed,
}

/// What a process's last frame says.
enum Last {
    Exit(Exit),
    SpawnFailed { stage: SpawnStage, errno: i32, message: String },
}

impl Attempt {
    /// Runs an activity's program, or goes on with the process that an earlier agent started. An error in its evaluation
    /// is the step's.
    pub(super) async fn run_program(
        &mut self,
        log: &mut JobLog,
        vessel: &mut Vessel,
        contexts: &Contexts,
        activity: &Activity,
        program: Result<Program, String>,
    ) -> Result<Ran, End> {
        let program = match program {
            Ok(program) => program,
            Err(message) => return Ok(Ran::told(log, message)),
        };
        if self.process() == 0 && !self.fell_back() {
            for line in &program.header {
                log.say(line);
            }
        }
        let kills_before = vessel.oom_kills();
        loop {
            let up = matches!(vessel.connect(&self.machine).await?, Connected::Yes);
            // An earlier agent may have come as far as a number and not to the start; by now another process may have
            // a higher one.
            if self.process() == 0 || (up && vessel.highest() < self.process()) {
                vessel.begin_start().await;
                self.next_process();
                log.skip(vessel.read_on());
                self.commit(log, Some(vessel)).await?;
                self.write_files(&program)?;
                self.start(vessel, &program).await?;
            }
            let last = self.follow(log, vessel, contexts, activity, &program).await?;
            match last {
                Last::SpawnFailed { stage: SpawnStage::Program, errno: ENOENT, .. }
                    if program.fallback.is_some() && !self.fell_back() =>
                {
                    if let Some(running) = &mut self.saved.running {
                        running.fell_back = true;
                        running.process = 0;
                    }
                }
                last => return self.judge(log, vessel, activity, last, kills_before),
            }
        }
    }

    fn process(&self) -> u32 {
        self.saved.running.as_ref().map_or(0, |running| running.process)
    }

    fn fell_back(&self) -> bool {
        self.saved.running.as_ref().is_some_and(|running| running.fell_back)
    }

    fn next_process(&mut self) {
        let process = self.common.next_process();
        if let Some(running) = &mut self.saved.running {
            running.process = process;
        }
    }

    async fn start(&self, vessel: &Vessel, program: &Program) -> Result<(), End> {
        let Some(link) = vessel.link() else { return Ok(()) };
        match link.start(program.start(self.process(), self.fell_back())).await {
            Ok(()) => {
                vessel.note_started(self.process());
                Ok(())
            }
            // Connecting again tells what came through.
            Err(InitError::Closed) => Ok(()),
            Err(error) => Err(End::Work(error.to_string())),
        }
    }

    /// Follows the process to its last frame.
    async fn follow(
        &mut self,
        log: &mut JobLog,
        vessel: &mut Vessel,
        contexts: &Contexts,
        activity: &Activity,
        program: &Program,
    ) -> Result<Last, End> {
        let mut orders = self.link.orders.clone();
        let (mut disk, job) = (self.machine.disk.clone(), self.saved.lease.attempt.folder_name());
        let mut stopping = Stopping::No;
        let mut stop_next = None;
        // A cancel may have come before; a stop may have begun under an earlier agent.
        let mut look = true;
        loop {
            if look {
                look = false;
                if stopping == Stopping::No && self.must_stop(log, contexts, activity) {
                    stop_next = Some(Instant::now());
                    self.commit(log, Some(vessel)).await?;
                }
            }
            let timer = stop_next.unwrap_or_else(|| self.next_deadline());
            let (reader, keeper) = vessel.ears();
            tokio::select! {
                frame = reader.next_frame() => {
                    let Some(frame) = frame.map_err(|error| Failure::new(Cause::InitLost, error.to_string()))? else {
                        return Err(self.container_ended(log, vessel).await);
                    };
                    if let Some(last) = self.take_frames(log, vessel, frame).await? {
                        return Ok(last);
                    }
                }
                () = super::disk::over(&mut disk, &job) => self.check_disk()?,
                changed = orders.changed() => match changed {
                    Ok(()) => look = true,
                    // The agent ends; another process goes on.
                    Err(_) => std::future::pending().await,
                },
                () = tokio::time::sleep_until(timer) => match stop_next {
                    None => look = true,
                    Some(_) => {
                        let (next, signal, wait) = match stopping {
                            Stopping::No => (Stopping::Interrupted, SIGINT, CANCEL_INTERRUPT),
                            Stopping::Interrupted => (Stopping::Terminated, SIGTERM, CANCEL_TERMINATE),
                            _ => (Stopping::Killed, SIGKILL, CANCEL_TERMINATE),
                        };
                        if let Some(link) = vessel.link() {
                            // A link that is lost is made again, and the signal comes again.
                            let _ = link.signal(self.process(), signal).await;
                        }
                        stopping = next;
                        stop_next = Some(Instant::now() + wait);
                    }
                },
                () = Vessel::changed(keeper) => {
                    if let Connected::Yes = vessel.connect(&self.machine).await?
                        && vessel.highest() < self.process()
                    {
                        self.start(vessel, program).await?;
                    }
                }
            }
        }
    }

    /// Whether the running step has to be stopped, and notes why.
    pub(super) fn must_stop(&mut self, log: &mut JobLog, contexts: &Contexts, activity: &Activity) -> bool {
        let newly_cancelled = self.notice_cancel();
        let newly_over = self.notice_timeout(log);
        let Some(running) = &self.saved.running else { return false };
        if running.stopped_ms.is_some() {
            return true;
        }
        let now_ms = unix_ms();
        let step_over = running.deadline_ms.is_some_and(|deadline_ms| now_ms >= deadline_ms);
        let out_of_time = self.out_of_time();
        let cancelled = (newly_cancelled || newly_over) && !self.survives_cancel(contexts, activity);
        if !step_over && !cancelled && !out_of_time {
            return false;
        }
        if let Some(running) = &mut self.saved.running {
            running.stopped_ms = Some(now_ms);
            running.timed_out = step_over && !cancelled;
        }
        true
    }

    /// The next moment at which the clock may end the step.
    pub(super) fn next_deadline(&self) -> Instant {
        let step = self.saved.running.as_ref().and_then(|running| running.deadline_ms);
        let job = self.job_deadline_ms().filter(|_| self.saved.cancelled_ms.is_none());
        let next_ms = [step, job, self.cancel_deadline_ms()].into_iter().flatten().min();
        // A day is as good as never: the loop looks again.
        let wait_ms = next_ms.map_or(86_400_000, |next_ms| next_ms.saturating_sub(unix_ms()).max(1));
        Instant::now() + Duration::from_millis(wait_ms.min(86_400_000))
    }

    /// Takes a frame and those that wait behind it, and commits their records. The last frame of the process, if it
    /// came, is noted only by whoever commits the step's end.
    async fn take_frames(
        &mut self,
        log: &mut JobLog,
        vessel: &mut Vessel,
        first: SpooledFrame,
    ) -> Result<Option<Last>, End> {
        let process = self.process();
        let mut next = Some(first);
        let mut size = 0;
        let mut last = None;
        while let Some(SpooledFrame { frame, end_offset }) = next.take() {
            if frame.step != process {
                log.skip(end_offset);
            } else {
                vessel.has_started();
                match frame.body {
                    Body::Output { stream, bytes } => {
                        size += bytes.len();
                        log.output(stream, frame.time_ms, &bytes, end_offset);
                    }
                    Body::Exited(exit) => last = Some(Last::Exit(exit)),
                    Body::SpawnFailed { stage, errno, message } => {
                        last = Some(Last::SpawnFailed { stage, errno, message });
                    }
                    Body::Started { .. } | Body::Discarded { .. } => log.skip(end_offset),
                }
            }
            if last.is_some() {
                // Committed with what follows from it. Until then the frame is found again.
                log.output_ended();
                log.skip(end_offset);
                break;
            }
            if size < SPOOL_READ_BYTES {
                next = match vessel.reader.next_frame().now_or_never() {
                    Some(Ok(frame)) => frame,
                    // An error comes again when it is waited for.
                    Some(Err(_)) | None => None,
                };
            }
        }
        let changed = self.apply_effects(log);
        if last.is_none() && (changed || log.has_records()) {
            let state = match changed {
                true => Some(self.snapshot()?),
                false => None,
            };
            log.commit(state, Some(&vessel.claim), false).await?;
        }
        Ok(last)
    }

    /// What a process's end means.
    fn judge(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        activity: &Activity,
        last: Last,
        kills_before: u64,
    ) -> Result<Ran, End> {
        let exit = match last {
            Last::SpawnFailed { message, .. } => return Ok(Ran::told(log, message)),
            Last::Exit(exit) => exit,
        };
        if matches!(exit.end, StepEnd::StopTime) {
            return Err(End::Stopped("its lease ran out".to_owned()));
        }
        if matches!(exit.end, StepEnd::PipesOpen) {
            log.say("Processes of this step still run; what they write from now on is not kept.");
        }
        let code = match exit.status {
            ExitStatus::Code(code) => i32::from(code),
            ExitStatus::Signal(signal) => 128 + i32::from(signal),
        };
        let usage = Usage {
            exit_code: Some(code),
            cpu_ms: exit.user_us.saturating_add(exit.system_us) / 1_000,
            max_rss_bytes: exit.max_rss_bytes,
        };
        if self.saved.running.as_ref().is_some_and(|running| running.stopped_ms.is_some()) {
            return Ok(Ran { usage, ..self.stopped(log) });
        }
        let mut message = None;
        if code != 0 {
            let mut text = format!("Process completed with exit code {code}.");
            if code == 128 + i32::from(SIGKILL) && vessel.oom_kills() > kills_before {
                let limit = self.memory_limit();
                text = format!("Process was killed because the job ran out of memory ({limit}).");
            }
            log.remark(Level::Error, &text);
            let engine = self.machine.options.job_engine.kind;
            if let Some(hint) = super::hint::after_failure(&activity.step.action, engine) {
                log.say(hint);
            }
            message = Some(text);
        }
        Ok(Ran { ended: Ended::Exited(code), usage, message })
    }

    /// How a step ends that was told to stop.
    pub(super) fn stopped(&self, log: &mut JobLog) -> Ran {
        if self.saved.running.as_ref().is_some_and(|running| running.timed_out) {
            return self.timed_out(log);
        }
        log.remark(Level::Error, "The operation was canceled.");
        Ran { ended: Ended::Cancelled, ..Ran::failed() }
    }

    /// How a step ends whose time is over: its own, or that of the action it is in.
    pub(super) fn timed_out(&self, log: &mut JobLog) -> Ran {
        let limit_ms = self.saved.running.as_ref().and_then(|running| running.limit_ms);
        let message = match limit_ms {
            Some(limit_ms) => format!("The step has timed out after {} minutes.", limit_ms as f64 / 60_000.0),
            None => "The time of the step that uses this action is over.".to_owned(),
        };
        Ran { ended: Ended::TimedOut, ..Ran::told(log, message) }
    }

    fn memory_limit(&self) -> String {
        match self.limits().memory_bytes {
            Some(bytes) => format!("its limit is {} MiB", bytes / (1024 * 1024)),
            None => "its container's limit, or the machine's memory".to_owned(),
        }
    }

    /// The container ended while a step ran.
    async fn container_ended(&mut self, log: &mut JobLog, vessel: &Vessel) -> End {
        log.output_ended();
        let state = match self.machine.engine.container(&vessel.container).await {
            Ok(state) => state,
            Err(failure) => return failure.into(),
        };
        match state {
            Some(state) if state.exit_code == i64::from(exit_code::STOP_TIME) => {
                End::Stopped("its lease ran out".to_owned())
            }
            Some(ContainerState { oom_killed: true, .. }) => End::Work(format!(
                "The container was killed because it ran out of memory ({}).",
                self.memory_limit()
            )),
            Some(state) => Failure::new(
                Cause::InitLost,
                format!("the job's container ended while a step ran, with code {}", state.exit_code),
            )
            .into(),
            None => {
                Failure::new(Cause::InitLost, "somebody removed the job's container while a step ran").into()
            }
        }
    }
}
