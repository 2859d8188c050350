//! A coordinator that follows: it keeps its state warm from the journal, and takes over when the leader is dead.
//!
//! The *scout* is a thread that owns the journal meanwhile, for waiting on it blocks. What it reads comes over a bounded
//! queue. When the leader is dead it takes over, reads what is left, and gives the journal back: from then on nobody else
//! appends, so the state is whole.

use std::sync::Arc;
use std::time::Duration;

use slipway_kit::clock::Clock;
use slipway_scheduler::fleet::Fleet;
use slipway_scheduler::{State, Timestamp, Uptime};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::DriverError;
use super::effects::{self, Effect, RunEnded};
use super::payload::Payload;
use super::recover::Recovered;
use super::request::{Request, View};
use super::role::Role;
use super::watchers::Watchers;
use crate::journal::{Address, Journal, JournalError, Leader, Record};

/// How long the scout waits for the journal before it looks after the leader again.
const FOLLOW_PATIENCE: Duration = Duration::from_millis(500);

/// How many pieces of news may wait for the follower.
const NEWS_QUEUE: usize = 4;

/// What the scout found.
enum News {
    Records(Vec<Record>),
    Leader(Leader),
    Won { journal: Box<dyn Journal>, epoch: u64 },
    Failed(JournalError),
}

/// What a follower has when it becomes the leader.
pub(super) struct Won {
    pub(super) journal: Box<dyn Journal>,
    pub(super) recovered: Recovered,
    pub(super) epoch: u64,
}

/// What a follower works with.
pub(super) struct Follower {
    pub(super) recovered: Recovered,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) watchers: Arc<Watchers>,
    pub(super) role: watch::Sender<Role>,
    pub(super) kill: CancellationToken,
}

impl Follower {
    /// Follows until it leads, or until it is stopped (`None`).
    ///
    /// # Errors
    /// [`JournalError`]: it cannot follow any more.
    pub(super) async fn follow(
        mut self,
        journal: Box<dyn Journal>,
        address: Address,
        inbox: &mut mpsc::Receiver<Request>,
    ) -> Result<Option<Won>, JournalError> {
        let (news_in, mut news) = mpsc::channel(NEWS_QUEUE);
        let position = self.recovered.position;
        let scout = std::thread::Builder::new().name("scout".to_owned());
        let scouting = scout.spawn(move || scout_thread(journal, position, &address, &news_in));
        scouting.map_err(|error| JournalError::Engine {
            place: "driver".to_owned(),
            reason: format!("its thread cannot start: {error}"),
        })?;
        let fleet =
            Fleet::recover(&State::new(), Uptime(self.clock.boottime_ms()), Timestamp(self.clock.unix_ms()));
        loop {
            tokio::select! {
                biased;
                () = self.kill.cancelled() => return Ok(None),
                found = news.recv() => match found {
                    Some(News::Records(records)) => self.take(&records)?,
                    Some(News::Leader(leader)) => {
                        tracing::info!(epoch = leader.epoch, at = leader.address.grpc, "follows");
                        self.role.send_replace(Role::Following(leader));
                    }
                    Some(News::Won { journal, epoch }) => {
                        return Ok(Some(Won { journal, recovered: self.recovered, epoch }));
                    }
                    Some(News::Failed(error)) => return Err(error),
                    None => return Err(JournalError::Engine {
                        place: "driver".to_owned(),
                        reason: "the thread that follows ended by a bug of Slipway".to_owned(),
                    }),
                },
                request = inbox.recv() => {
                    let Some(request) = request else { return Ok(None) };
                    match request.refuse(&self.refusal()) {
                        Some(Request::Query(look)) => look(View {
                            state: &self.recovered.state,
                            fleet: &fleet,
                            ledger: &self.recovered.ledger,
                            now: Timestamp(self.clock.unix_ms()),
                        }),
                        Some(Request::Stop { answer }) => {
                            // Whoever asked may not wait for it.
                            let _ = answer.send(());
                            return Ok(None);
                        }
                        _ => {}
                    }
                }
            }
        }
    }

    fn refusal(&self) -> DriverError {
        match &*self.role.borrow() {
            Role::Following(leader) => DriverError::Follows(leader.address.clone()),
            Role::Leading { .. } => DriverError::Stopped,
        }
    }

    /// Takes in what the leader appended, and tells whoever watches here.
    fn take(&mut self, records: &[Record]) -> Result<(), JournalError> {
        let payloads = self.recovered.apply(records)?;
        let mut effects = Vec::new();
        for payload in &payloads {
            if let Payload::Scheduler(event) = payload {
                effects::of(&self.recovered.state, event, &mut effects);
            }
        }
        for effect in effects {
            match effect {
                Effect::Changed(run) => self.watchers.changed(run),
                Effect::Ended(RunEnded::Retired(run)) => self.watchers.retired(run),
                // The leader's to do.
                _ => {}
            }
        }
        Ok(())
    }
}

fn scout_thread(journal: Box<dyn Journal>, position: u64, address: &Address, news: &mpsc::Sender<News>) {
    let found = match scout(journal, position, address, news) {
        Ok(Some(won)) => won,
        Ok(None) => return,
        Err(error) => News::Failed(error),
    };
    // A follower that is gone needs no news.
    let _ = news.blocking_send(found);
}

/// Follows the journal until the leader is dead and this coordinator leads, or the follower is gone (`None`).
fn scout(
    mut journal: Box<dyn Journal>,
    mut position: u64,
    address: &Address,
    news: &mpsc::Sender<News>,
) -> Result<Option<News>, JournalError> {
    let (mut known, mut won) = (Leader::default(), None);
    while !news.is_closed() {
        let records = journal.read(position)?;
        if let Some(last) = records.last() {
            position = last.position;
            if news.blocking_send(News::Records(records)).is_err() {
                return Ok(None);
            }
            continue;
        }
        // All that there was when it took over was read since.
        if let Some(epoch) = won {
            return Ok(Some(News::Won { journal, epoch }));
        }
        let leader = journal.leader()?;
        if leader != known && news.blocking_send(News::Leader(leader.clone())).is_err() {
            return Ok(None);
        }
        known = leader;
        if known.alive {
            journal.wait(position, FOLLOW_PATIENCE)?;
        } else {
            won = journal.take_over(known.epoch, address)?;
        }
    }
    Ok(None)
}
