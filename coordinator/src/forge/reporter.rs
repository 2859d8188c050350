//! Tells the forge what became of runs, for as long as this coordinator leads.
//!
//! What is to be told is computed anew from the driver's state whenever something changed, so that a forge that was away hears only how things
//! are now. A last word goes first and at once; what a running job does meanwhile is told seldom, and not at all when the forge has little room
//! left. Of each report at most one request is on its way; one that was given up, or whose sender died, counts until it cannot get there
//! any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use slipway_kit::backoff::Backoff;
use slipway_scheduler::state::Run;
use slipway_scheduler::{RunId, Timestamp};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::desired::{self, Key, Mark, RunWork, Wanted};
use super::item::Item;
use super::telling::{self, Task, TellError};
use super::told::ReportEvent;
use super::{Forge, ForgeError, Place, commits, deployments, gates, rules};
use crate::driver::{DriverError, View};
use crate::services::Services;

/// Requests that are on their way at a time.
const CONCURRENCY: usize = 4;

/// Runs, and commits, that are looked at in one go: the driver has other things to do.
const RUNS_AT_ONCE: usize = 64;
const COMMITS_AT_ONCE: usize = 256;

/// Changes within this time are told together.
const GATHER: Duration = Duration::from_millis(200);

/// How often a running job is told at most, and what each further running job adds to that.
const LIVE_EVERY: Duration = Duration::from_secs(10);
const LIVE_EVERY_EACH: Duration = Duration::from_secs(2);

/// After so many failures in a row the forge counts as away: one request at a time asks whether it is back, after these waits.
const OUTAGE_FAILURES: u32 = 4;
const OUTAGE_WAITS: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

/// The longest wait that a forge can ask for.
const HOLD_MAX: Duration = Duration::from_secs(60 * 60);

/// Runs that ended longer ago are not told of if they never were: they are from before the forge was to be told.
const LATE_MS: u64 = 60 * 60 * 1_000;

/// For how long a repository counts as one where we may not make deployments, and how many of them are remembered; when there are more, all
/// are asked again.
const WITHOUT_DEPLOYMENTS: Duration = Duration::from_secs(60 * 60);
const WITHOUT_DEPLOYMENTS_MAX: usize = 10_000;

/// A request that takes longer is given up, as one whose answer was lost.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// What became of a task.
#[derive(Debug)]
struct Done {
    key: Key,
    task: Task,
    mark: Mark,
    result: Result<(), TellError>,
}

struct Desk {
    services: Services,
    forge: Arc<dyn Forge>,
    check: String,
    items: BTreeMap<Key, Item>,
    /// Repositories where we may not make deployments, and until when that is believed.
    without_deployments: BTreeMap<String, Instant>,
    /// Runs and commits to look at.
    changed: BTreeSet<RunId>,
    commits: BTreeSet<Place>,
    /// What the process before may have told is not known for certain,
    first_look: bool,
    /// and until then may still come about.
    settles: Instant,
    /// Nothing is sent before.
    hold: Instant,
    /// How often in a row something failed that is the forge's affair, or the network's.
    failures: u32,
    outage: Backoff,
    work: JoinSet<Done>,
    /// Runs whose gates are being judged.
    judging: JoinSet<RunId>,
    asked: BTreeSet<RunId>,
    /// Commits that are being held against rules, and because of which events.
    ruling: JoinSet<(Place, String)>,
    ruled: BTreeSet<(Place, String)>,
    turns: Arc<Semaphore>,
}

/// Tells the forge, if there is one, until the driver is gone.
pub(crate) async fn report(services: Services) {
    let (Some(forge), Some(options)) = (services.forge.clone(), services.options.github.as_ref()) else {
        return;
    };
    let (check, settles_in) = (options.check.clone(), forge.answers_within());
    let mut desk = Desk {
        services,
        forge,
        check,
        items: BTreeMap::new(),
        without_deployments: BTreeMap::new(),
        changed: BTreeSet::new(),
        commits: BTreeSet::new(),
        first_look: true,
        settles: Instant::now() + settles_in,
        hold: Instant::now(),
        failures: 0,
        outage: Backoff::new(OUTAGE_WAITS.0, OUTAGE_WAITS.1),
        work: JoinSet::new(),
        judging: JoinSet::new(),
        asked: BTreeSet::new(),
        ruling: JoinSet::new(),
        ruled: BTreeSet::new(),
        turns: Arc::new(Semaphore::new(gates::JUDGED_AT_ONCE)),
    };
    if let Err(error) = desk.run().await {
        tracing::debug!(%error, "the forge is told no more");
    }
}

impl Desk {
    async fn run(&mut self) -> Result<(), DriverError> {
        self.services.driver.gather_changes();
        let all = |view: View<'_>| {
            let commits: Vec<Place> =
                view.ledger.told().unsettled().map(|(place, _)| place.clone()).collect();
            (view.state.runs().map(Run::id).collect::<Vec<_>>(), commits)
        };
        let (runs, commits) = self.services.driver.query(all).await?;
        self.changed.extend(runs);
        self.commits.extend(commits);
        loop {
            let changes = self.services.driver.changes();
            self.changed.extend(changes.runs);
            self.commits.extend(changes.commits);
            self.look().await?;
            self.first_look = false;
            self.begin();
            let wake = self.next_wake();
            let driver = self.services.driver.clone();
            tokio::select! {
                () = driver.changed() => tokio::time::sleep(GATHER).await,
                Some(done) = self.work.join_next() => match done {
                    Ok(done) => self.done(done).await?,
                    // Its report stays busy: one that makes this program panic is not tried again before the next start.
                    Err(panic) => tracing::error!(%panic, "telling the forge panicked"),
                },
                Some(judged) = self.judging.join_next() => match judged {
                    // It stays asked: one that could not be judged waits for the next start.
                    Ok(run) => drop(self.changed.insert(run)),
                    Err(panic) => tracing::error!(%panic, "judging gates panicked"),
                },
                Some(ruled) = self.ruling.join_next() => match ruled {
                    Ok(ruled) => {
                        // Somebody may have asked anew meanwhile.
                        self.commits.insert(ruled.0.clone());
                        self.ruled.remove(&ruled);
                    }
                    Err(panic) => tracing::error!(%panic, "holding commits against rules panicked"),
                },
                () = tokio::time::sleep_until(wake) => {}
                () = self.services.closing.cancelled() => return Ok(()),
            }
        }
    }

    /// Sees what there is to tell of the runs that changed and of commits.
    async fn look(&mut self) -> Result<(), DriverError> {
        while !self.changed.is_empty() {
            let mut some = BTreeSet::new();
            while let Some(run) = self.changed.pop_first() {
                some.insert(run);
                if some.len() >= RUNS_AT_ONCE {
                    break;
                }
            }
            let asked = some.clone();
            let look = move |view: View<'_>| {
                asked.into_iter().map(|run| (run, desired::of_run(view, run))).collect::<Vec<_>>()
            };
            for (run, work) in self.services.driver.query(look).await? {
                self.take_run(run, work).await?;
            }
        }
        while !self.commits.is_empty() {
            let mut some = BTreeSet::new();
            while some.len() < COMMITS_AT_ONCE
                && let Some(place) = self.commits.pop_first()
            {
                some.insert(place);
            }
            let (check, asked) = (self.check.clone(), some.clone());
            let look = move |view: View<'_>| {
                let mut wanted = commits::unsettled(view, &check, &asked);
                wanted.append(&mut rules::unsettled(view, &check, &asked));
                (wanted, rules::open(view, &asked))
            };
            let (sums, questions) = self.services.driver.query(look).await?;
            questions.into_iter().for_each(|(place, event, question)| self.rule(place, event, question));
            // One that was begun anew, or is told to its end, is another report.
            let open: BTreeSet<Key> = sums.iter().map(|sum| sum.key.clone()).collect();
            self.items.retain(|key, item| match key {
                Key::Sum(place, _) | Key::Rules(place, ..) => {
                    item.busy || !some.contains(place) || open.contains(key)
                }
                Key::Part(..) => true,
            });
            sums.into_iter().for_each(|sum| self.want(sum));
        }
        self.services.metrics.reports_behind.set(self.behind());
        Ok(())
    }

    async fn take_run(&mut self, run: RunId, work: Option<RunWork>) -> Result<(), DriverError> {
        let Some(work) = work else {
            self.items.retain(|key, item| item.busy || !matches!(key, Key::Part(of, _) if *of == run));
            self.asked.remove(&run);
            return Ok(());
        };
        if work.forge != self.forge.host() {
            return Ok(());
        }
        if let Some(place) = work.place {
            if commits::counts(&work.event_name) {
                self.commits.insert(place);
            }
            if work.to_judge {
                self.judge(run, work.ended_ms);
            }
            let now_ms = self.services.clock.unix_ms();
            let late = work.ended_ms.is_some_and(|ended| ended + LATE_MS < now_ms);
            for wanted in work.wanted {
                // As with reports: what ended long before it could be told first is not told.
                let is_first = wanted.deploys.is_some() || wanted.only_if_there;
                if !(late && is_first && wanted.told.is_none()) {
                    self.want(wanted);
                }
            }
            return Ok(());
        }
        let now_ms = self.services.clock.unix_ms();
        if work.ended_ms.is_some_and(|ended| ended + LATE_MS < now_ms) {
            return Ok(());
        }
        let place = self.place(&work).await;
        let counts = commits::counts(&work.event_name);
        self.services.driver.report(ReportEvent::Run { run, place, counts }).await?;
        // With its place it is looked at again.
        self.changed.insert(run);
        Ok(())
    }

    /// Has the gates of a run judged, unless that goes on already or it ended too long ago.
    fn judge(&mut self, run: RunId, ended_ms: Option<u64>) {
        let late = ended_ms.is_none_or(|ended| ended + LATE_MS < self.services.clock.unix_ms());
        if late || !self.asked.insert(run) {
            return;
        }
        let (services, turns) = (self.services.clone(), Arc::clone(&self.turns));
        self.judging.spawn(async move {
            // It is never closed.
            let _turn = turns.acquire().await;
            gates::judge(services, run).await
        });
    }

    /// Has commits held against rules, unless that goes on already.
    fn rule(&mut self, place: Place, event: String, question: rules::Question) {
        if !self.ruled.insert((place.clone(), event.clone())) {
            return;
        }
        let (services, turns) = (self.services.clone(), Arc::clone(&self.turns));
        self.ruling.spawn(async move {
            // It is never closed.
            let _turn = turns.acquire().await;
            (rules::answer(services, place, event.clone(), question).await, event)
        });
    }

    /// Where a run's reports belong: of a pull request at its head, where people look, and not at its test merge.
    async fn place(&self, work: &RunWork) -> Place {
        let mut place = Place { repository: work.repository.clone(), sha: work.sha.clone() };
        if work.event_name.starts_with("pull_request")
            && let Ok(event) = self.services.store.get(work.event).await
            && let Ok(event) = serde_json::from_slice::<serde_json::Value>(&event)
            && let Some(head) = crate::github::head_of(&event)
        {
            place.sha = head;
        }
        place
    }

    fn want(&mut self, wanted: Wanted) {
        let now = Instant::now();
        if wanted.deploys.is_some()
            && self.without_deployments.get(&wanted.place.repository).is_some_and(|until| *until > now)
        {
            return;
        }
        match self.items.get_mut(&wanted.key) {
            Some(item) => item.wanted = wanted,
            // Nobody made it: this process would know, and what the one before may have done was looked for at first.
            None if wanted.only_if_there && !self.first_look => {}
            None => {
                let mut item = Item::new(wanted, self.first_look, now);
                if item.uncertain {
                    // A request that is still on its way must not get there after what is told now: it would make the report a second
                    // time, or be its last word.
                    item.not_before = self.settles;
                }
                self.items.insert(item.wanted.key.clone(), item);
            }
        }
    }

    /// A repository's deployments are not ours to make: said once, and asked again after a while.
    fn without_deployments(&mut self, repository: &str, reason: &str) {
        let now = Instant::now();
        let until = self.without_deployments.get(repository);
        if until.is_none_or(|until| *until <= now) {
            tracing::warn!(
                repository,
                reason,
                "the forge takes no deployments of the repository; give the permission `deployments: write` if they are wanted"
            );
        }
        if self.without_deployments.len() >= WITHOUT_DEPLOYMENTS_MAX {
            self.without_deployments.clear();
        }
        self.without_deployments.insert(repository.to_owned(), now + WITHOUT_DEPLOYMENTS);
        self.items.retain(|_, item| {
            item.busy || item.wanted.deploys.is_none() || item.wanted.place.repository != repository
        });
    }

    /// How many reports are not as they should be.
    fn behind(&self) -> u64 {
        self.items.values().filter(|item| item.told.as_ref() != Some(&item.wanted.mark())).count() as u64
    }

    fn live_every(&self) -> Duration {
        let live = self.items.values().filter(|item| item.wanted.source.is_some_and(|source| !source.over));
        LIVE_EVERY.max(LIVE_EVERY_EACH * u32::try_from(live.count()).unwrap_or(u32::MAX))
    }

    /// How many requests may be on their way.
    fn hands(&self) -> usize {
        if self.failures < OUTAGE_FAILURES { CONCURRENCY } else { 1 }
    }

    /// The forge, or the way to it, failed.
    fn failed(&mut self, now: Instant) {
        self.failures = self.failures.saturating_add(1);
        if self.failures >= OUTAGE_FAILURES {
            self.hold = self.hold.max(now + self.outage.next_wait());
        }
    }

    /// Begins what is most urgent.
    fn begin(&mut self) {
        let now = Instant::now();
        if self.hold > now {
            return;
        }
        let (live_every, has_room) = (self.live_every(), self.forge.has_room());
        let mut due: Vec<(u8, Key)> = self
            .items
            .iter()
            .filter_map(|(key, item)| Some((item.urgency(now, live_every, has_room)?, key.clone())))
            .collect();
        due.sort();
        for (_, key) in due.into_iter().take(self.hands().saturating_sub(self.work.len())) {
            let Some(item) = self.items.get_mut(&key) else { continue };
            item.busy = true;
            let mut task = Task {
                wanted: item.wanted.clone(),
                id: item.id,
                uncertain: item.uncertain,
                details: item.details.take().unwrap_or_default(),
            };
            let mark = item.wanted.mark();
            let (services, forge) = (self.services.clone(), Arc::clone(&self.forge));
            self.work.spawn(async move {
                let telling = telling::tell(&services, &*forge, &mut task);
                let result = match tokio::time::timeout(REQUEST_TIMEOUT, telling).await {
                    Ok(result) => result,
                    Err(_) => Err(ForgeError::Uncertain("it took too long".to_owned()).into()),
                };
                Done { key, task, mark, result }
            });
        }
    }

    fn next_wake(&self) -> Instant {
        let now = Instant::now();
        let (live_every, has_room) = (self.live_every(), self.forge.has_room());
        let idle = self.items.values().filter(|item| !item.busy);
        let due = idle.filter_map(|item| {
            if item.told.as_ref() != Some(&item.wanted.mark()) {
                return Some(item.not_before);
            }
            let live = has_room && item.wanted.source.is_some_and(|source| !source.over);
            live.then(|| item.not_before.max(item.told_at + live_every))
        });
        let next = due.min().unwrap_or(now + HOLD_MAX);
        // With all hands full the next end of a task wakes.
        let next = if self.work.len() >= self.hands() { now + HOLD_MAX } else { next };
        next.max(self.hold)
    }

    async fn done(&mut self, done: Done) -> Result<(), DriverError> {
        let Done { key, task, mark, result } = done;
        let Some(item) = self.items.get_mut(&key) else { return Ok(()) };
        let now = Instant::now();
        item.busy = false;
        item.id = task.id;
        // What is over is read again: many of them may wait for a forge that is away.
        item.details = (!task.wanted.stage.is_done()).then_some(task.details);
        let error = match result {
            Ok(()) => {
                self.services.metrics.reports_told.add(1);
                // What changed meanwhile is still to be told, although the forge has it as over.
                let last = task.wanted.stage.is_done() && item.wanted.mark() == mark;
                (item.told, item.told_at, item.uncertain) = (Some(mark), now, false);
                item.backoff.reset();
                self.failures = 0;
                self.outage.reset();
                if last {
                    self.items.remove(&key);
                }
                return Ok(());
            }
            Err(error) => error,
        };
        self.services.metrics.reports_failed.add(1);
        let report = task.wanted.name.as_str();
        match error {
            TellError::Driver(error) => return Err(error),
            TellError::Forge(error) if deployments::is_without_permission(&task.wanted, &error) => {
                self.without_deployments(&task.wanted.place.repository, &error.to_string());
            }
            TellError::Forge(ForgeError::Refused(reason) | ForgeError::Forbidden(reason)) => {
                tracing::warn!(report, place = %task.wanted.place, reason, "the forge refuses a report; it is given up");
                self.items.remove(&key);
                self.services.driver.report(telling::settled(&key)).await?;
            }
            TellError::Forge(ForgeError::Later { wait, message }) => {
                tracing::warn!(report, message, ?wait, "the forge takes no report now");
                item.not_before = now + item.backoff.next_wait();
                match wait {
                    Some(wait) => self.hold = self.hold.max(now + wait.min(HOLD_MAX)),
                    None => self.failed(now),
                }
            }
            TellError::Forge(ForgeError::Uncertain(message)) => {
                tracing::warn!(report, message, "the forge does not answer as it should; it is asked again");
                item.uncertain = true;
                // It may still get there until then.
                item.not_before = now + item.backoff.next_wait().max(self.forge.answers_within());
                self.failed(now);
            }
            TellError::Records(error) => {
                tracing::warn!(report, %error, "a log cannot be read for its report; it is tried again");
                item.not_before = now + item.backoff.next_wait();
            }
        }
        Ok(())
    }
}

/// A commit is to be summed up, because of this delivery.
pub(crate) async fn begin_commit(services: &Services, place: &Place, delivery: &str) -> Result<(), String> {
    let Some(forge) = &services.forge else { return Ok(()) };
    let at = Timestamp(services.clock.unix_ms());
    let event = ReportEvent::Commit {
        place: place.clone(),
        forge: forge.host().to_owned(),
        delivery: delivery.to_owned(),
        at,
    };
    services.driver.report(event).await.map_err(|error| error.to_string())
}
