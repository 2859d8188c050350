//! From a run's event stream to the screen, until the run ends or a person stops it.
//!
//! The stream and the coordinator's view of the jobs are read by tasks of their own, so that drawing and signals never
//! wait for the network.

use std::collections::BTreeSet;
use std::time::Duration;

use slipway_kit::clock::{Clock, SystemClock};
use slipway_kit::shutdown::{Shutdown, Stage};
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio::time::{Instant, MissedTickBehavior};

use super::{Board, Screen};
use crate::client::Client;
use crate::client::types::{self, Instance, Run};
use crate::failure::Failure;

/// Time between two frames of the live view.
const FRAME_TIME: Duration = Duration::from_millis(100);

/// Time between two looks at the jobs' states.
const STATUS_TIME: Duration = Duration::from_millis(500);

/// Events that may wait for the screen; a slow terminal slows the stream, never the run.
const QUEUE_LIMIT: usize = 64;

/// How long a run that cannot be served may take to end after its cancellation.
const GIVE_UP_TIME: Duration = Duration::from_secs(15);

/// Says why no agent will ever take an instance, where that is so.
pub type Unserved<'a> = &'a (dyn Fn(&Instance) -> Option<String> + Sync);

/// How the following ended.
#[derive(Debug)]
pub enum Ended {
    /// The run ended.
    Run {
        /// Its result.
        result: String,
        /// Set when the fleet failed.
        cause: Option<String>,
    },
    /// A person wanted to stop at once.
    Interrupted,
    /// No agent for a job's labels; the run is cancelled.
    Unserved(String),
}

/// Follows a run. The first signal cancels it, the second ends the following.
///
/// # Errors
/// The coordinator is out of reach for good.
pub async fn follow(
    client: &Client,
    run: &str,
    board: &mut Board,
    screen: &mut Screen<'_>,
    stop: &mut Shutdown,
    unserved: Unserved<'_>,
) -> Result<Ended, Failure> {
    let (events_in, mut events) = mpsc::channel(QUEUE_LIMIT);
    let (status_in, mut status) = mpsc::channel(1);
    let _events =
        AbortOnDrop(tokio::spawn(read_events(client.clone(), run.to_owned(), events_in)).abort_handle());
    let _status =
        AbortOnDrop(tokio::spawn(read_status(client.clone(), run.to_owned(), status_in)).abort_handle());
    let mut frames = tokio::time::interval(FRAME_TIME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut politely = stop.clone();
    let mut cancelled = false;
    let mut given_up: Option<(String, Instant)> = None;
    let mut approvals = Approvals::default();
    loop {
        let now_ms = SystemClock.unix_ms();
        tokio::select! {
            biased;
            () = stop.reached(Stage::Now) => return Ok(Ended::Interrupted),
            () = politely.reached(Stage::Drain), if !cancelled => {
                cancelled = true;
                screen.note("cancelling the run; press Ctrl-C again to stop at once");
                request_cancel(client, run, "interrupted at the terminal");
            }
            _ = frames.tick() => {
                screen.tick(board, now_ms);
                if let Some((reason, deadline)) = &given_up && Instant::now() > *deadline {
                    return Ok(Ended::Unserved(reason.clone()));
                }
            }
            Some(seen) = status.recv() => {
                board.take_status(&seen, now_ms);
                for line in approvals.news(&seen) {
                    screen.note(&line);
                }
                if given_up.is_none() && let Some(reason) = seen.instances.iter().find_map(unserved) {
                    cancelled = true;
                    request_cancel(client, run, &reason);
                    given_up = Some((reason, Instant::now() + GIVE_UP_TIME));
                }
            }
            line = events.recv() => {
                let Some(line) = line else {
                    return Err(Failure::fleet("the coordinator's stream of events ended before the run did"));
                };
                let line = line?;
                if let Some(instance) = line.event.instance() && !board.knows(instance)
                    && let Ok(answer) = client.run(run).await && let Ok(seen) = types::read(answer)
                {
                    board.take_status(&seen, now_ms);
                }
                board.take_event(&line.event, now_ms);
                screen.event(&line.raw, &line.event, board, now_ms);
                if let types::Event::Run { result, cause, .. } = line.event {
                    if let Ok(answer) = client.run(run).await && let Ok(seen) = types::read(answer) {
                        board.take_status(&seen, now_ms);
                    }
                    return Ok(match given_up {
                        Some((reason, _)) => Ended::Unserved(reason),
                        None => Ended::Run { result, cause },
                    });
                }
            }
        }
    }
}

/// What was said of jobs that wait for somebody's approval: a log that stands still for days has to tell why.
#[derive(Default)]
struct Approvals {
    told: BTreeSet<String>,
}

impl Approvals {
    /// Why jobs wait, of each reason that was not told before.
    fn news(&mut self, run: &Run) -> Vec<String> {
        let waiting =
            run.instances.iter().filter(|it| it.gate.as_ref().is_some_and(|gate| gate.awaits_review));
        let reasons = waiting.filter_map(|it| Some(format!("{} {}", it.name, it.waits_for.as_ref()?)));
        reasons.filter(|line| self.told.insert(line.clone())).collect()
    }
}

/// Asks for the cancellation beside the following: the answer may take long, the logs go on.
fn request_cancel(client: &Client, run: &str, reason: &str) {
    let (client, run, reason) = (client.clone(), run.to_owned(), reason.to_owned());
    tokio::spawn(async move {
        if let Err(failure) = client.cancel(&run, &reason).await {
            tracing::error!("the run cannot be cancelled: {failure}");
        }
    });
}

async fn read_events(
    client: Client,
    run: String,
    events: mpsc::Sender<Result<crate::client::Line, Failure>>,
) {
    let mut watch = client.watch(&run, true);
    loop {
        let next = watch.next().await.transpose();
        let Some(next) = next else { return };
        let failed = next.is_err();
        if events.send(next).await.is_err() || failed {
            return;
        }
    }
}

async fn read_status(client: Client, run: String, status: mpsc::Sender<Run>) {
    loop {
        // A coordinator out of reach is the event stream's to tell.
        if let Ok(answer) = client.run(&run).await
            && let Ok(seen) = types::read(answer)
            && status.send(seen).await.is_err()
        {
            return;
        }
        tokio::time::sleep(STATUS_TIME).await;
    }
}

/// Ends a task with its owner.
struct AbortOnDrop(AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}
