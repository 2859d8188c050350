//! Steps of the background: each runs in a lane of its own, beside the job's other steps.
//!
//! A lane is an [`Attempt`] that has one step to do and a copy of the job's state as it was when the step was reached. What it
//! leaves (outputs, environment, its result) is for the job's other steps from the moment when one of them waits for it or
//! cancels it, or when all steps are through; so two steps side by side never see half of one another. As GitHub's
//! runner has it (`BackgroundStepCoordinator`).
//!
//! Invariant: a lane's state is in the job's journal from the commit that begins it to the one that collects it. So another
//! process of the agent finds the lanes that stood, and goes on with each.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::attempt::{AbortOnDrop, Attempt, End};
use super::course::Activity;
use super::errand;
use super::exec::Ran;
use super::saved::{Collected, Saved};
use super::vessel::Vessel;
use crate::failure::{Cause, Failure};
use crate::limits::{BACKGROUND_STEPS_BEGUN_MAX, BACKGROUND_STEPS_MAX};
use crate::records::ledger::{MAIN, encode};
use crate::records::log::{JobLog, Usage};
use crate::session::JobOrders;
use crate::steps::annotations::Level;
use crate::steps::commands::CommandOptions;
use crate::steps::contexts::Contexts;
use crate::steps::outcome::{Ended, StepEnd, StepResult};

/// What came of a lane.
type Ending = Result<Box<Saved>, End>;

/// The lanes beside the job's own that were not collected yet, by the places of their steps.
#[derive(Debug)]
pub(super) struct Lanes {
    under_way: BTreeMap<u32, Lane>,
    /// One for each step that may run at a time.
    slots: Arc<Semaphore>,
    /// One for each step that may be begun.
    begun: Arc<Semaphore>,
}

impl Default for Lanes {
    fn default() -> Self {
        let of = |count: usize| Arc::new(Semaphore::new(count));
        Self {
            under_way: BTreeMap::new(),
            slots: of(BACKGROUND_STEPS_MAX),
            begun: of(BACKGROUND_STEPS_BEGUN_MAX),
        }
    }
}

#[derive(Debug)]
struct Lane {
    /// Its step's name, as far as it was known when it began.
    shown: String,
    /// What the lane is told: what the job is told, and its own cancelling.
    orders: watch::Sender<JobOrders>,
    /// Tells it what the job is told.
    _forwarding: AbortOnDrop<()>,
    task: AbortOnDrop<Ending>,
}

impl Lanes {
    /// Ends all lanes where they stand, and waits until they have.
    pub(super) async fn stop(&mut self) {
        for lane in self.under_way.values() {
            lane.task.0.abort();
        }
        for (_, mut lane) in std::mem::take(&mut self.under_way) {
            // It was aborted, or had ended.
            let _ = (&mut lane.task.0).await;
        }
    }
}

impl Lane {
    async fn ended(&mut self) -> Ending {
        let ended = (&mut self.task.0).await;
        ended.unwrap_or_else(|error| Err(Failure::new(Cause::Internal, error.to_string()).into()))
    }

    fn cancel(&self, why: &str) {
        self.orders.send_modify(|orders| {
            orders.cancel.get_or_insert_with(|| why.to_owned());
        });
    }
}

/// Number of the lane of the step at this place.
fn lane_of(place: u32) -> u32 {
    place.saturating_add(1)
}

impl Attempt {
    /// A folder or file of the job's folder that only this lane uses.
    pub(super) fn lane_place(&self, name: &str) -> PathBuf {
        match self.lane {
            MAIN => self.folder.root().join(name),
            lane => self.folder.root().join(format!("{name}-{lane}")),
        }
    }

    /// Begins a step of the background.
    pub(super) async fn begin_lane(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        contexts: &Contexts,
        activity: &Activity,
    ) -> Result<(), End> {
        // The semaphore is never closed. A job that is cancelled cancels its lanes, so this does not wait for ever.
        let begun = Arc::clone(&self.lanes.begun).acquire_owned().await.ok();
        let mut saved = self.saved.of_background(self.saved.course.next);
        saved.left.name = match self.activity_scope(contexts, activity) {
            Ok(scope) => self.display_name(&scope, activity, log),
            Err(_) => activity.step.id.clone(),
        };
        let place = self.record();
        let lane_log = log.begin_lane(lane_of(place), encode(&saved)?);
        self.saved.course.advance();
        self.commit(log, Some(vessel)).await?;
        self.start_lane(place, saved, lane_log, vessel.for_lane(None), begun);
        Ok(())
    }

    /// Goes on with the lanes of an earlier process.
    pub(super) fn resume_lanes(&mut self, log: &JobLog, vessel: &Vessel) -> Result<(), End> {
        for (lane, state) in log.lanes() {
            let damaged = |message: String| Failure::new(Cause::Internal, message);
            let saved = Saved::decode(&state).map_err(damaged)?;
            let files = super::matcher_files::of(&self.folder, self.host_workspace());
            let lane_log = log.resume_lane(lane, files)?;
            let from = saved.reads_spool().then(|| lane_log.spool_offset());
            let begun = Arc::clone(&self.lanes.begun).try_acquire_owned().ok();
            self.start_lane(lane.saturating_sub(1), saved, lane_log, vessel.for_lane(from), begun);
        }
        Ok(())
    }

    fn start_lane(
        &mut self,
        place: u32,
        saved: Saved,
        mut log: JobLog,
        mut vessel: Vessel,
        begun: Option<OwnedSemaphorePermit>,
    ) {
        let shown = saved.left.name.clone();
        let mut job_orders = self.link.orders.clone();
        let orders = watch::Sender::new(job_orders.borrow_and_update().clone());
        let mut link = self.link.clone();
        link.orders = orders.subscribe();
        let mut attempt = Attempt {
            machine: Arc::clone(&self.machine),
            link,
            folder: self.folder.clone(),
            spec: Arc::clone(&self.spec),
            repository: self.repository.clone(),
            saved,
            secrets: self.secrets.clone(),
            environment_secrets: self.environment_secrets.clone(),
            common: self.common.clone(),
            lane: lane_of(place),
            ahead: None,
            lanes: Lanes::default(),
            tokens: self.tokens.clone(),
            access: self.access.clone(),
            things: Arc::clone(&self.things),
        };
        let telling = orders.clone();
        let forwarding = tokio::spawn(async move {
            while job_orders.changed().await.is_ok() {
                let job = job_orders.borrow_and_update().clone();
                telling.send_modify(|lane| {
                    let own = lane.cancel.take();
                    *lane = job;
                    lane.cancel = own.or(lane.cancel.take());
                });
            }
        });
        let slots = Arc::clone(&self.lanes.slots);
        let task = tokio::spawn(async move {
            let _begun = begun;
            // The semaphore is never closed.
            let _slot = slots.acquire().await;
            attempt.run_lane(&mut log, &mut vessel).await?;
            // It is kept until it is collected: without what it only read.
            attempt.saved.state.keep_last();
            attempt.commit(&mut log, None).await?;
            Ok(Box::new(attempt.saved))
        });
        let lane = Lane { shown, orders, _forwarding: AbortOnDrop(forwarding), task: AbortOnDrop(task) };
        self.lanes.under_way.insert(place, lane);
    }

    /// Runs the lane's step to its end.
    async fn run_lane(&mut self, log: &mut JobLog, vessel: &mut Vessel) -> Result<(), End> {
        let contexts = self.contexts(self.in_container());
        loop {
            if self.saved.course.frames.is_empty() && lane_of(self.record()) != self.lane {
                return Ok(());
            }
            match self.current() {
                Some(activity) => self.activity(log, vessel, &contexts, &activity).await?,
                None if self.saved.course.frames.is_empty() => return Ok(()),
                None => self.leave_action(log, vessel, &contexts).await?,
            }
        }
    }

    /// `wait` and `wait-all`. `places`: none for all that were begun.
    pub(super) async fn run_wait(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        contexts: &Contexts,
        activity: &Activity,
        places: Option<&[u32]>,
    ) -> Result<Ran, End> {
        let all: Vec<u32> = self.lanes.under_way.keys().copied().collect();
        let wanted = self.ever_begun(places.unwrap_or(&all));
        let first = match (places, wanted.is_empty()) {
            (None, true) => "No background steps remaining to wait for.".to_owned(),
            (None, false) => format!("Waiting for all background steps to complete: {}", self.shown(&wanted)),
            (Some(_), _) => format!("Waiting for background steps to complete: {}", self.shown(&wanted)),
        };
        self.say_once(log, vessel, &first).await?;
        self.collect(log, vessel, contexts, activity, &wanted).await?;
        log.say("Finished waiting.");
        self.say_results(log, &wanted);
        let conclusions: Vec<StepResult> =
            wanted.iter().filter_map(|place| self.conclusion(*place)).collect();
        let ended = if conclusions.contains(&StepResult::Failure) {
            Ended::Failed
        } else if conclusions.contains(&StepResult::Cancelled) {
            Ended::Cancelled
        } else {
            Ended::Exited(0)
        };
        let message = (ended == Ended::Failed).then(|| "a step that it waited for failed".to_owned());
        Ok(Ran { ended, usage: Usage::default(), message })
    }

    /// `cancel`
    pub(super) async fn run_cancel(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        contexts: &Contexts,
        activity: &Activity,
        places: &[u32],
    ) -> Result<Ran, End> {
        let wanted = self.ever_begun(places);
        let first = format!("Cancelling background steps: {}", self.shown(&wanted));
        self.say_once(log, vessel, &first).await?;
        for place in &wanted {
            if let Some(lane) = self.lanes.under_way.get(place) {
                lane.cancel("a step of the job cancelled it");
            }
        }
        self.collect(log, vessel, contexts, activity, &wanted).await?;
        log.say("Finished cancelling.");
        self.say_results(log, &wanted);
        Ok(Ran { ended: Ended::Exited(0), usage: Usage::default(), message: None })
    }

    /// The steps are through: waits for what nobody waited for, and lets failed steps of the background fail the job.
    pub(super) async fn end_lanes(&mut self, log: &mut JobLog, vessel: &Vessel) -> Result<(), End> {
        let rest: Vec<u32> = self.lanes.under_way.keys().copied().collect();
        for place in rest {
            if let Some(mut lane) = self.lanes.under_way.remove(&place) {
                let ending = lane.ended().await?;
                self.take_in(log, place, *ending);
            }
        }
        let failed = self.saved.collected.values().any(|step| step.conclusion == StepResult::Failure);
        if failed {
            self.saved.state.fail();
        }
        self.commit(log, Some(vessel)).await
    }

    /// Waits for lanes and takes in what they left.
    async fn collect(
        &mut self,
        log: &mut JobLog,
        vessel: &Vessel,
        contexts: &Contexts,
        activity: &Activity,
        places: &[u32],
    ) -> Result<(), End> {
        let mut waited: Vec<(u32, Lane, Option<Ending>)> = Vec::new();
        for place in places {
            if let Some(lane) = self.lanes.under_way.remove(place) {
                waited.push((*place, lane, None));
            }
        }
        let (_say, lines) = errand::lines();
        let all = async {
            for (_, lane, ending) in &mut waited {
                *ending = Some(lane.ended().await);
            }
        };
        // None: out of time.
        let _ = self.errand(log, contexts, activity, lines, all).await?;
        for (place, mut lane, ending) in waited {
            // A lane hears of the job's end as well, and ends within what a process gets to end.
            let ending = match ending {
                Some(ending) => ending,
                None => lane.ended().await,
            };
            self.take_in(log, place, *ending?);
        }
        self.commit(log, Some(vessel)).await
    }

    /// What a lane left becomes the job's.
    fn take_in(&mut self, log: &mut JobLog, place: u32, lane: Saved) {
        log.close_lane(lane_of(place));
        let Saved { state, course, message, left, checkouts, .. } = lane;
        checkouts.into_iter().for_each(|times| self.saved.note_checkout(times));
        if let Some(step) = state.steps().last().cloned() {
            let conclusion = step.conclusion.unwrap_or(StepResult::Failure);
            self.saved.collected.insert(place, Collected { name: left.name, conclusion });
            if let Err(full) = self.saved.state.adopt(step, &left.env, &left.path) {
                log.remark(Level::Error, &full.to_string());
            }
        }
        self.saved.course.posts.extend(course.posts);
        self.saved.course.states.extend(course.states);
        if !message.is_empty() {
            self.note_message(&message);
        }
    }

    /// Tells the end of the steps of the background of a job that can't go on; their lanes were stopped.
    pub(super) fn abandon_lanes(&self, log: &mut JobLog) {
        for (lane, state) in log.lanes() {
            let place = lane.saturating_sub(1);
            let step = usize::try_from(place).ok().and_then(|place| self.spec.steps.get(place));
            if let (Some(step), Ok(saved)) = (step, Saved::decode(&state)) {
                let running =
                    saved.course.frames.first().map(|frame| &frame.caller).or(saved.running.as_ref());
                if let Some(running) = running {
                    log.select(place, CommandOptions::default());
                    let end = StepEnd::new(Ended::Failed, false, false);
                    log.step_finished(step, &running.name, end, Usage::default());
                }
            }
            log.close_lane(lane);
        }
        log.select(self.setup_index(), CommandOptions::default());
    }

    /// Those of the places whose steps were reached.
    fn ever_begun(&self, places: &[u32]) -> Vec<u32> {
        let begun = |place: &&u32| {
            self.lanes.under_way.contains_key(place) || self.saved.collected.contains_key(place)
        };
        places.iter().filter(begun).copied().collect()
    }

    fn conclusion(&self, place: u32) -> Option<StepResult> {
        self.saved.collected.get(&place).map(|step| step.conclusion)
    }

    fn shown(&self, places: &[u32]) -> String {
        let shown = places.iter().map(|place| match self.saved.collected.get(place) {
            Some(step) => step.name.as_str(),
            None => self.lanes.under_way.get(place).map_or("", |lane| lane.shown.as_str()),
        });
        let shown: Vec<&str> = shown.collect();
        if shown.is_empty() { "none".to_owned() } else { shown.join(", ") }
    }

    fn say_results(&self, log: &mut JobLog, places: &[u32]) {
        for step in places.iter().filter_map(|place| self.saved.collected.get(place)) {
            log.say(&format!("  {}: {}", step.name, step.conclusion.name()));
        }
    }

    /// Says how such a step begins; once, whichever process goes on with it.
    async fn say_once(&mut self, log: &mut JobLog, vessel: &Vessel, line: &str) -> Result<(), End> {
        match &mut self.saved.running {
            Some(running) if !running.said => running.said = true,
            _ => return Ok(()),
        }
        log.say(line);
        self.commit(log, Some(vessel)).await
    }

    /// The first byte of the job's spool that a process of some lane wrote and that is not in the journal yet; 0 where nobody
    /// needs anything.
    pub(super) fn needed(&self, log: &JobLog) -> Result<u64, End> {
        let mut needed = self.saved.reads_spool().then(|| log.spool_offset());
        for (lane, state) in log.lanes() {
            let saved = Saved::decode(&state).map_err(|message| Failure::new(Cause::Internal, message))?;
            if saved.reads_spool() {
                let offset = log.resume_lane(lane, Default::default())?.spool_offset();
                needed = Some(needed.map_or(offset, |known| known.min(offset)));
            }
        }
        Ok(needed.unwrap_or_default())
    }
}
