//! What follows from a leader's batch, and the checks of it: only what is durable may be seen.

use slipway_coordinator::driver::Planning;
use slipway_coordinator::driver::message::{RunLease, ToAgent};
use slipway_coordinator::driver::stepped::Answered;
use slipway_scheduler::command::FinishCall;
use slipway_scheduler::{Command, Event, JobId, RunId, State};
use tokio::sync::mpsc;

use super::disk::locked;
use super::link::{Down, Link};
use super::site::Role;
use super::world::{Action, World};
use crate::broken::Broken;
use crate::fault::Fault;
use crate::random::Random;

/// How often the watermark is written.
const WATERMARK_MS: u64 = 1_000;

impl World {
    /// What follows from a batch that went well.
    pub(crate) fn after_batch(&mut self, at: usize) -> Result<(), Broken> {
        self.take_news()?;
        self.tell_agents(at, false)?;
        self.hear_answers(at, false)?;
        self.plan(at)?;
        let Role::Leading(driver) = &self.sites[at].role else { return Ok(()) };
        // One that does not know yet that another leads has seen less.
        let current = driver.view().state.epoch() == locked(&self.disk).epoch;
        if current && !self.same_as_truth(driver.view().state) {
            return Err(Broken::Replay);
        }
        let sleep_ms = driver.sleep_ms().max(1);
        let (now, head) = (self.now, locked(&self.disk).head());
        let wake_at = now.after(self.sites[at].clock.world_ms(sleep_ms));
        let site = &mut self.sites[at];
        if now.since(site.noted_at) >= WATERMARK_MS {
            site.watermark.add(head);
            site.noted_at = now;
        }
        if site.wake_at.is_none_or(|planned| wake_at < planned) {
            site.wake_at = Some(wake_at);
            let process = site.process;
            self.agenda.put(wake_at, Action::Wake(at, process));
        }
        Ok(())
    }

    pub(crate) fn same_as_truth(&self, state: &State) -> bool {
        locked(&self.disk).truth.state == *state
    }

    /// What became durable: counted, checked against what really happened.
    pub(crate) fn take_news(&mut self) -> Result<(), Broken> {
        let news = {
            let mut disk = locked(&self.disk);
            if let Some(broken) = disk.truth.broken.take() {
                return Err(broken);
            }
            std::mem::take(&mut disk.truth.news)
        };
        for event in &news {
            self.trace.event(self.now, event);
            match event {
                Event::RunSubmitted { run, held, .. } => {
                    self.accepted.insert(*run, None);
                    if *held {
                        let after_ms = self.random.between(0, 60_000);
                        self.schedule(after_ms, Action::LetIn(*run));
                    }
                }
                Event::RunFinished { run, result, .. } => {
                    let told = self.accepted.insert(*run, Some(*result));
                    if told.flatten().is_some() {
                        return Err(Broken::NotFinal(*run));
                    }
                }
                Event::AttemptFinished { lease, reported: true, records, records_digest, .. } => {
                    let key = (lease.instance, lease.attempt);
                    self.store.check_reported(key, *records, *records_digest)?;
                    self.oracle.check_reported(event)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// What agents are told after a batch; `failed`: nothing may be.
    pub(crate) fn tell_agents(&mut self, at: usize, failed: bool) -> Result<(), Broken> {
        let process = self.sites[at].process;
        let ours = |(_, link): &(&u64, &Link)| link.site == at && link.process == process;
        let ids: Vec<u64> = self.links.iter().filter(ours).map(|(id, _)| *id).collect();
        for id in ids {
            let Some(link) = self.links.get_mut(&id) else { continue };
            let mut told = Vec::new();
            while let Some(Ok(message)) = link.outbox.as_mut().map(mpsc::Receiver::try_recv) {
                told.push(message);
            }
            if let Some(Ok(Ok(number))) = link.opening.as_mut().map(Answered::try_recv) {
                (link.number, link.opening) = (Some(number), None);
            }
            let over = link.over.is_cancelled();
            if failed && !told.is_empty() {
                return Err(Broken::SeenBeforeDurable("a message of a batch that failed"));
            }
            for message in told {
                self.check_seen(&message)?;
                self.send_down(id, Down::Told(message));
            }
            if over {
                self.send_down(id, Down::Closed);
                if let Some(link) = self.links.get_mut(&id) {
                    link.process = u64::MAX;
                }
            }
        }
        Ok(())
    }

    /// Whether what a message says is durable.
    fn check_seen(&self, message: &ToAgent) -> Result<(), Broken> {
        let disk = locked(&self.disk);
        let state = &disk.truth.state;
        let attempt = |lease: &RunLease| {
            let attempts = state.instance(lease.lease.instance)?.attempts();
            attempts.iter().find(|attempt| attempt.token == lease.lease.token)
        };
        let seen = |is, what| if is { Ok(()) } else { Err(Broken::SeenBeforeDurable(what)) };
        match message {
            ToAgent::Assign { lease, .. } => seen(attempt(lease).is_some(), "an assignment"),
            ToAgent::BeginStep { lease } => {
                // An ordinary job is let go on without an event.
                let strict = state.instance(lease.lease.instance).is_some_and(|it| it.definition().strict);
                seen(!strict || attempt(lease).is_some_and(|it| it.step_began), "the beginning of a step")
            }
            ToAgent::Accepted { lease } => {
                let ended = attempt(lease).is_none_or(|it| it.end.is_some_and(|end| end.reported));
                seen(ended, "the acknowledgement of a report")
            }
            _ => Ok(()),
        }
    }

    /// What the planner was asked; it answers later.
    fn plan(&mut self, at: usize) -> Result<(), Broken> {
        let mut asked = Vec::new();
        while let Some(Ok(planning)) = self.sites[at].planner.as_mut().map(mpsc::UnboundedReceiver::try_recv)
        {
            asked.push(planning);
        }
        let process = self.sites[at].process;
        for planning in asked {
            let answers = if self.strike(Fault::PlannerTwice).is_some() { 2 } else { 1 };
            for answer in 0..answers {
                let command = match &planning {
                    Planning::Job(request) => {
                        let mut random = self.about_job(request.run, &request.job, answer);
                        let disk = locked(&self.disk);
                        let plan =
                            self.workload.plan(&mut random, &disk.truth.state, request.run, &request.job);
                        let Some(plan) = plan else {
                            return Err(Broken::SeenBeforeDurable("a job that is ready"));
                        };
                        Command::ResolveJob(plan)
                    }
                    Planning::Outputs(request) => {
                        let place = 2 + u64::from(request.place) * 2 + answer;
                        let mut random = self.about_job(request.run, &request.job, place);
                        let outputs = self.workload.outputs(&mut random);
                        let (run, job, call) = (request.run, request.job.clone(), request.place);
                        Command::FinishCall(FinishCall { run, job, call, outputs })
                    }
                };
                let delay_ms = match self.strike(Fault::PlannerLate) {
                    Some(mut random) => random.between(1_000, 60_000),
                    None => self.random.between(1, 50),
                };
                self.schedule(delay_ms, Action::Planned(at, process, Box::new(command)));
            }
        }
        Ok(())
    }

    fn about_job(&self, run: RunId, job: &JobId, answer: u64) -> Random {
        Random::about(self.script.seed, &[run.0.as_u64_pair().0, Random::name(job.as_str()), answer])
    }

    pub(crate) fn planned(&mut self, at: usize, process: u64, command: Command) -> Result<(), Broken> {
        if self.sites[at].process != process {
            return Ok(());
        }
        if self.sites[at].paused_until > self.now {
            self.agenda.put(self.sites[at].paused_until, Action::Planned(at, process, Box::new(command)));
            return Ok(());
        }
        if let Role::Leading(driver) = &mut self.sites[at].role {
            // A second answer, or one from before a cancel, is refused.
            drop(driver.command(command));
        }
        self.turn(at)
    }
}
