//! The task that looks at the disk, and what it does when there is too little room.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::decide::{Level, Measured, Use, most};
use super::space::{Place, Space, shown};
use super::usage::{self, Uses};
use super::{DiskOptions, DiskState, Over};
use crate::docker::Engine;
use crate::limits::{
    DISK_ASK_ENGINE_EVERY, DISK_COLLECT_PATIENCE, DISK_LOOK_EVERY, DISK_MEASURE_EVERY, DISK_ROOM_PATIENCE,
    DISK_TELL_EVERY,
};
use crate::runner::folder::JobFolder;

/// One file system that is looked at.
#[derive(Debug, Clone)]
struct Watched {
    place: Place,
    space: Space,
    level: Level,
}

/// See the module.
#[derive(Debug)]
pub struct DiskWatch {
    ends: Ends,
    options: DiskOptions,
    /// The data directory's file system first, then the engine's if it is another.
    watched: Vec<Watched>,
    /// The file system of the engine's images and containers; none: it is not to be seen from here.
    engine_device: Option<u64>,
    told_at: Instant,
    /// Since when a disk is full.
    full_since: Option<Instant>,
    /// When a job was ended to make room.
    ended_at: Option<Instant>,
    /// When it was last said that nothing can be done.
    helpless_at: Option<Instant>,
}

/// How jobs are ended.
#[derive(Debug, Clone)]
struct Ends {
    engine: Engine,
    jobs_dir: PathBuf,
    agent: String,
    state: watch::Sender<DiskState>,
}

impl DiskWatch {
    /// Looks at the disk for the first time. `agent` is its name.
    pub async fn open(engine: Engine, data_dir: &Path, agent: &str, options: DiskOptions) -> Self {
        let root = match engine.about().await {
            Ok(about) => Place::of(Path::new(&about.root)),
            Err(failure) => {
                tracing::warn!(%failure, "the engine does not say where its disk is; only the data directory's is looked at");
                None
            }
        };
        let engine_device = root.as_ref().map(|root| root.device);
        let mut watched: Vec<Watched> = Vec::new();
        for place in Place::of(data_dir).into_iter().chain(root) {
            if watched.iter().all(|known| known.place.device != place.device) {
                watched.push(Watched { place, space: Space::default(), level: Level::Roomy });
            }
        }
        let jobs_dir = crate::runner::jobs_dir(data_dir);
        let ends = Ends { engine, jobs_dir, agent: agent.to_owned(), state: watch::Sender::default() };
        let told_at = Instant::now();
        let mut disk = Self {
            ends,
            options,
            watched,
            engine_device,
            told_at,
            full_since: None,
            ended_at: None,
            helpless_at: None,
        };
        disk.look();
        disk
    }

    /// What it has to say, now and as it changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<DiskState> {
        self.ends.state.subscribe()
    }

    /// The engine's disk, if it is to be seen.
    #[must_use]
    pub fn engine_place(&self) -> Option<Place> {
        let of_engine = |one: &&Watched| Some(one.place.device) == self.engine_device;
        self.watched.iter().find(of_engine).map(|one| one.place.clone())
    }

    /// Looks at the disk until it is dropped.
    pub async fn run(mut self) {
        let limits = Limits {
            ends: self.ends.clone(),
            data: self.watched.first().map(|watched| watched.place.clone()),
            engine: self.engine_place(),
        };
        let limit = self.options.job_bytes;
        let holding = async {
            match limit {
                Some(limit_bytes) => limits.hold(limit_bytes).await,
                None => std::future::pending().await,
            }
        };
        let looking = async {
            let mut ticks = ticks(DISK_LOOK_EVERY);
            loop {
                ticks.tick().await;
                self.look();
                self.ends.forget();
                match self.watched.iter().find(|watched| watched.level == Level::Full).cloned() {
                    Some(full) => self.make_room(full).await,
                    None => self.full_since = None,
                }
            }
        };
        tokio::join!(holding, looking);
    }

    fn look(&mut self) {
        for watched in &mut self.watched {
            match watched.place.space() {
                Ok(space) => {
                    watched.level = self.options.marks.level(watched.level, &space);
                    watched.space = space;
                }
                Err(error) => {
                    tracing::debug!(folder = %watched.place.folder.display(), %error, "a disk cannot be looked at");
                }
            }
        }
        let worst = self.watched.iter().max_by_key(|watched| watched.level);
        let paused = worst
            .filter(|worst| worst.level > Level::Roomy)
            .map(|worst| worst.space.told(worst.level, &worst.place.folder));
        let before = self.ends.state.borrow().paused.clone();
        let turned = before.is_some() != paused.is_some() || kind(&before) != kind(&paused);
        // The room changes all the time: it is told anew now and then only.
        if !turned && (before == paused || self.told_at.elapsed() < DISK_TELL_EVERY) {
            return;
        }
        match &paused {
            Some(why) if turned => tracing::warn!(why, "the agent takes no new jobs"),
            None => tracing::info!("there is room on the disk again: the agent takes jobs"),
            Some(_) => {}
        }
        self.told_at = Instant::now();
        self.ends.state.send_modify(|state| state.paused = paused);
    }

    /// Ends the job that uses most of a full disk; one at a time, until there is room.
    async fn make_room(&mut self, full: Watched) {
        let since = *self.full_since.get_or_insert_with(Instant::now);
        let half = self.options.marks.full.of(full.space.size_bytes) / 2;
        // What nobody needs goes before what somebody works on.
        if full.space.free_bytes >= half && since.elapsed() < DISK_COLLECT_PATIENCE {
            return;
        }
        if self.ended_at.is_some_and(|at| at.elapsed() < DISK_ROOM_PATIENCE) {
            return;
        }
        let mut uses = Uses::new();
        if self.watched.first().is_some_and(|data| data.place.device == full.place.device) {
            uses = usage::of_folders(&self.ends.jobs_dir).await;
        }
        if self.engine_device == Some(full.place.device) {
            add(&mut uses, usage::of_layers(&self.ends.engine).await.unwrap_or_default());
        }
        let told = self.ends.state.borrow().over.clone();
        let uses = uses.into_iter().filter(|(job, _)| !told.contains_key(job));
        let uses: Vec<Use> = uses.map(|(job, bytes)| Use { job, bytes }).collect();
        let missing = self.options.marks.missing(&full.space);
        let Some(ending) = most(&uses, missing) else {
            if self.helpless_at.is_none_or(|at| at.elapsed() >= DISK_TELL_EVERY) {
                self.helpless_at = Some(Instant::now());
                let why = full.space.told(full.level, &full.place.folder);
                tracing::error!(
                    why,
                    "jobs use too little of it for ending one to help: remove files from this disk"
                );
            }
            return;
        };
        let over = Over::Full(format!(
            "The disk of agent {} is full ({}), and this job uses most of it, {}: it was ended so that the others go on.",
            self.ends.agent,
            full.space.words(&full.place.folder),
            shown(ending.bytes),
        ));
        self.ended_at = Some(Instant::now());
        self.ends.end(&ending.job, over).await;
    }
}

/// Low or full, of what is told.
fn kind(told: &Option<String>) -> Option<&str> {
    told.as_deref().and_then(|told| told.split(':').next())
}

fn add(uses: &mut Uses, more: Uses) {
    for (job, bytes) in more {
        let known = uses.entry(job).or_default();
        *known = known.saturating_add(bytes);
    }
}

fn ticks(every: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Holds jobs to their own limit, beside the looking: measuring may take a while.
struct Limits {
    ends: Ends,
    data: Option<Place>,
    engine: Option<Place>,
}

impl Limits {
    async fn hold(self, limit_bytes: u64) {
        let (mut folders, mut layers) = (Measured::default(), Measured::default());
        let (mut in_folders, mut in_layers) = (Uses::new(), Uses::new());
        let began = Instant::now();
        let mut ticks = ticks(DISK_LOOK_EVERY);
        loop {
            ticks.tick().await;
            let now_ms = millis(began.elapsed());
            let due = |measured: &Measured, place: &Option<Place>, every| {
                let free = place.as_ref().and_then(|place| place.space().ok()).unwrap_or_default().free_bytes;
                measured.is_due(now_ms, free, limit_bytes, millis(every)).then_some(free)
            };
            if self.ends.has_no_jobs() {
                continue;
            }
            if let Some(free) = due(&folders, &self.data, DISK_MEASURE_EVERY) {
                folders.note(now_ms, free);
                in_folders = usage::of_folders(&self.ends.jobs_dir).await;
            }
            if let Some(free) = due(&layers, &self.engine, DISK_ASK_ENGINE_EVERY) {
                layers.note(now_ms, free);
                match usage::of_layers(&self.ends.engine).await {
                    Ok(found) => in_layers = found,
                    Err(failure) => tracing::debug!(%failure, "containers cannot be measured"),
                }
            }
            let mut uses = in_folders.clone();
            add(&mut uses, in_layers.clone());
            let told = self.ends.state.borrow().over.clone();
            let over = uses.iter().filter(|(job, bytes)| **bytes > limit_bytes && !told.contains_key(*job));
            for (job, bytes) in over {
                let (uses, limit) = (shown(*bytes), shown(limit_bytes));
                let message = format!(
                    "The job uses {uses} of its agent's disk, and its limit is {limit} (--job-disk): it was ended."
                );
                self.ends.end(job, Over::Limit(message)).await;
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Ends {
    fn has_no_jobs(&self) -> bool {
        std::fs::read_dir(&self.jobs_dir).map_or(true, |mut jobs| jobs.next().is_none())
    }

    /// Ends a job: it hears why, its processes are killed, and what they wrote goes.
    async fn end(&self, job: &str, over: Over) {
        let folder = JobFolder::new(self.jobs_dir.join(job));
        if !folder.root().is_dir() {
            return;
        }
        tracing::warn!(job, why = over.message(), "a job is ended");
        self.state.send_modify(|state| drop(state.over.insert(job.to_owned(), over)));
        match self.engine.own_containers().await {
            Ok(containers) => {
                for container in containers.iter().filter(|container| container.folder_name == job) {
                    if let Err(failure) = self.engine.kill_container(&container.id).await {
                        tracing::warn!(job, %failure, "a container of a job that is ended goes on");
                    }
                }
            }
            Err(failure) => tracing::warn!(job, %failure, "a job's containers cannot be found"),
        }
        // Its journal stays until it is reported. What can't be removed now goes with the folder.
        let cleared = tokio::task::spawn_blocking(move || folder.clear_work()).await;
        if let Ok(Err(error)) = cleared {
            tracing::debug!(job, %error, "what a job wrote could not be removed at once");
        }
    }

    /// Forgets jobs that are gone.
    fn forget(&self) {
        self.state.send_if_modified(|state| {
            let before = state.over.len();
            state.over.retain(|job, _| self.jobs_dir.join(job).exists());
            state.over.len() != before
        });
    }
}
