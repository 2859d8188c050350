//! What init does when the agent tells it something.

use crate::engine::{Asked, Engine};
use crate::spawn::spawn;
use crate::step::Step;
use crate::system::signal_group;
use slipway_init::limits::{PROTOCOL_VERSION, RUNNING_STEPS_MAX, STEP_OOM_SCORE_ADJ, exit_code};
use slipway_init::protocol::{Order, Rejection, Report, RunningStep, Start, StepPhase};
use slipway_init::spool::StepEnd;
use std::os::fd::{AsFd, OwnedFd};

impl Engine {
    /// Reads from the agent and follows all whole orders.
    pub(crate) fn receive(&mut self) {
        self.link.receive();
        while let Some(order) = self.link.next_order() {
            if !self.link.is_welcomed() && !matches!(order, Order::Welcome { .. }) {
                self.link.drop_peer("the agent did not begin with a welcome");
                return;
            }
            self.follow(order);
        }
    }

    fn follow(&mut self, order: Order) {
        match order {
            Order::Welcome { version, limit_offset, stop_boottime_ms } => {
                self.welcome(version, limit_offset, stop_boottime_ms);
            }
            Order::Start(start) => self.start(&start, None),
            Order::StartAsked(start) => self.start_asked(start),
            Order::Signal { step, signal } => {
                if let Some(step) =
                    self.steps.iter().find(|candidate| candidate.number == step && candidate.is_alive())
                {
                    signal_group(step.pid, i32::from(signal));
                }
            }
            Order::StopTime { boottime_ms } => self.set_stop_time(boottime_ms),
            Order::Window { limit_offset } => self.spool.raise_limit(limit_offset),
            Order::Shutdown { grace_ms } => {
                self.end(exit_code::SHUTDOWN, StepEnd::Shutdown, u64::from(grace_ms))
            }
            Order::Relay { port, target } => {
                let errno = self.relays.listen(port, target).err().map_or(0, |errno| errno.raw_os_error());
                self.link.report(&Report::Relay { port, errno });
            }
        }
    }

    fn welcome(&mut self, version: u16, limit_offset: u64, stop_boottime_ms: Option<u64>) {
        if version != PROTOCOL_VERSION {
            let text = format!("the agent speaks protocol {version}, this init {PROTOCOL_VERSION}");
            return self.link.drop_peer(&text);
        }
        if let Some(spool) = self.link.take_descriptor() {
            self.spool.open(spool);
        }
        if !self.spool.is_open() {
            return self.link.drop_peer("the agent's welcome came without the spool");
        }
        self.spool.raise_limit(limit_offset);
        if let Some(boottime_ms) = stop_boottime_ms {
            self.set_stop_time(boottime_ms);
        }
        self.link.set_welcomed();
    }

    /// Keeps a step until somebody connects to its socket. A repeated order finds the first one.
    fn start_asked(&mut self, start: Start) {
        match self.link.take_descriptor() {
            Some(socket) if start.step > self.highest_step && self.asked.is_none() => {
                self.asked = Some(Asked { start, socket });
            }
            Some(_) => {}
            None => self.link.drop_peer("the agent's order to wait for a client came without a socket"),
        }
    }

    /// Somebody has connected.
    pub(crate) fn start_what_was_asked_for(&mut self) {
        if let Some(Asked { start, socket }) = self.asked.take() {
            self.start(&start, Some(socket));
        }
    }

    /// `socket`: what the step gets as descriptor 3.
    fn start(&mut self, start: &Start, socket: Option<OwnedFd>) {
        if start.step <= self.highest_step {
            let known = self.steps.iter().find(|step| step.number == start.step).map(Step::state);
            let ended = RunningStep { step: start.step, phase: StepPhase::Ended, pid: 0 };
            return self.link.report(&Report::Step(known.unwrap_or(ended)));
        }
        let reason = if self.ending.is_some() {
            Some(Rejection::ShuttingDown)
        } else if self.steps.len() >= RUNNING_STEPS_MAX {
            Some(Rejection::TooManySteps)
        } else {
            None
        };
        if let Some(reason) = reason {
            return self.link.report(&Report::Rejected { step: start.step, reason });
        }
        self.highest_step = start.step;
        let step = match spawn(
            start,
            self.stdin.as_fd(),
            socket.as_ref().map(AsFd::as_fd),
            &mut self.oom,
            STEP_OOM_SCORE_ADJ,
        ) {
            Ok(spawned) => Step::new(start, spawned),
            Err(errno) => Step::failed(start, errno),
        };
        self.steps.push(step);
    }
}
