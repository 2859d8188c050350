#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use slipway_cas::Digest;
use slipway_kit::clock::SystemClock;
use slipway_scheduler::command::{Cancel, DecideGates, JobDefinition, RunMeta, Submit};
use slipway_scheduler::{Command, JobId, Rules, RunId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::holds::Stranger;
use super::{Driver, DriverError, DriverParts, Planning, Role, Standing};
use crate::audit::Origin;
use crate::journal::memory::MemoryJournal;
use crate::journal::{Address, Entry, Hash, Journal, JournalError, Leader, Mark, Record, Snapshot, lead};

/// A journal whose disk fails after so many appends.
struct Failing {
    inner: MemoryJournal,
    appends_left: Arc<AtomicI32>,
}

impl Journal for Failing {
    fn leader(&mut self) -> Result<Leader, JournalError> {
        self.inner.leader()
    }
    fn take_over(&mut self, seen: u64, address: &Address) -> Result<Option<u64>, JournalError> {
        self.inner.take_over(seen, address)
    }
    fn wait(&mut self, position: u64, patience: Duration) -> Result<(), JournalError> {
        self.inner.wait(position, patience)
    }
    fn append(&mut self, epoch: u64, entries: &[Entry]) -> Result<u64, JournalError> {
        if self.appends_left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(JournalError::Engine { place: "disk".into(), reason: "it is full".into() });
        }
        self.inner.append(epoch, entries)
    }
    fn head(&self) -> Mark {
        self.inner.head()
    }
    fn anchor(&self) -> Mark {
        self.inner.anchor()
    }
    fn hash(&mut self, position: u64) -> Result<Option<Hash>, JournalError> {
        self.inner.hash(position)
    }
    fn prune(&mut self, before: u64, older_than_ms: u64) -> Result<u64, JournalError> {
        self.inner.prune(before, older_than_ms)
    }
    fn read_few(&mut self, position: u64, most: usize) -> Result<Vec<Record>, JournalError> {
        self.inner.read_few(position, most)
    }
    fn import(&mut self, records: &[Record], epoch: u64) -> Result<(), JournalError> {
        self.inner.import(records, epoch)
    }
    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        self.inner.save_snapshot(snapshot)
    }
    fn snapshots(&mut self) -> Result<Vec<Snapshot>, JournalError> {
        self.inner.snapshots()
    }
}

struct Started {
    driver: Driver,
    failure: oneshot::Receiver<JournalError>,
    to_plan: mpsc::UnboundedReceiver<Planning>,
    kill: CancellationToken,
}

fn start(journal: impl Journal) -> Started {
    start_standing(journal, Standing::Alone)
}

fn start_standing(journal: impl Journal, standing: Standing) -> Started {
    let (planner, to_plan) = mpsc::unbounded_channel();
    let kill = CancellationToken::new();
    let (ended, _) = mpsc::unbounded_channel();
    let parts = DriverParts {
        standing,
        clock: Arc::new(SystemClock),
        rules: Rules::default(),
        planner,
        ended,
        metrics: Arc::default(),
        tap: None,
        kill: kill.clone(),
    };
    let (driver, failure) = Driver::start(Box::new(journal), parts).unwrap();
    Started { driver, failure, to_plan, kill }
}

fn submit(run: u128) -> Submit {
    let blob = Digest::of(b"");
    Submit {
        run: RunId::from_u128(run),
        meta: RunMeta {
            repository: "o/n".into(),
            forge: "local".into(),
            workflow_file: "ci.yml".into(),
            workflow_name: "CI".into(),
            event_name: "push".into(),
            git_ref: String::new(),
            sha: String::new(),
            actor: String::new(),
            trust: Default::default(),
            traceparent: None,
            run_number: 1,
            run_attempt: 1,
        },
        workflow: blob,
        event: blob,
        context: blob,
        jobs: vec![JobDefinition { id: JobId::new("a"), needs: Vec::new(), strict: false }],
        idempotency_key: Some(format!("key-{run}")),
        held: false,
        carried: Vec::new(),
        concurrency: None,
        standing: Default::default(),
    }
}

async fn runs(driver: &Driver) -> Vec<RunId> {
    driver.query(|view| view.state.runs().map(slipway_scheduler::state::Run::id).collect()).await.unwrap()
}

#[tokio::test]
async fn what_is_not_durable_is_not_seen_and_stops_the_driver() {
    let journal = MemoryJournal::new();
    // The take-over and one run.
    let appends_left = Arc::new(AtomicI32::new(2));
    let mut started = start(Failing { inner: journal.clone(), appends_left });
    started.driver.submit(submit(1), Origin::default()).await.unwrap();
    assert_eq!(started.to_plan.recv().await.unwrap().run(), RunId::from_u128(1));
    assert_eq!(started.driver.submit(submit(2), Origin::default()).await, Err(DriverError::Stopped));
    assert!(
        matches!(started.failure.await, Ok(JournalError::Engine { reason, .. }) if reason == "it is full")
    );
    assert!(started.to_plan.recv().await.is_none(), "nothing was planned for the run that is not");

    let mut again = start(journal);
    assert_eq!(again.driver.epoch(), 2);
    assert_eq!(runs(&again.driver).await, [RunId::from_u128(1)]);
    assert_eq!(again.to_plan.recv().await.unwrap().run(), RunId::from_u128(1), "it is planned again");
}

#[tokio::test]
async fn a_leader_that_was_replaced_stops() {
    let journal = MemoryJournal::new();
    let old = start(journal.clone());
    let new = start(journal);
    assert_eq!(old.driver.submit(submit(1), Origin::default()).await, Err(DriverError::Stopped));
    assert!(matches!(old.failure.await, Ok(JournalError::Fenced { ours: 1, current: 2 })));
    new.driver.submit(submit(2), Origin::default()).await.unwrap();
    assert_eq!(runs(&new.driver).await, [RunId::from_u128(2)]);
}

#[test]
fn an_entry_of_a_newer_version_is_told_apart_from_damage() {
    let recovered = |payload: &[u8]| {
        let mut journal = MemoryJournal::new();
        let epoch = lead(&mut journal, &Address::default()).unwrap();
        journal.append(epoch, &[Entry { time_ms: 1, payload: payload.to_vec() }]).unwrap();
        super::recover::recover(&mut journal).map(|_| ())
    };
    let newer = [&br#"{"scheduler":{"type":"weather_changed","sky":"blue"}}"#[..], br#"{"weather":{}}"#];
    for payload in newer {
        let error = recovered(payload).unwrap_err();
        assert!(matches!(error, JournalError::Unknown { position: 1, .. }), "{error}");
        assert!(error.to_string().contains("newer version"), "{error}");
    }
    let torn = recovered(br#"{"scheduler":{"type":"#).unwrap_err();
    assert!(matches!(torn, JournalError::Damaged { position: 1, .. }), "{torn}");
}

#[tokio::test]
async fn a_repeated_delivery_answers_with_its_run() {
    let started = start(MemoryJournal::new());
    let first = started.driver.submit(submit(1), Origin::default()).await.unwrap();
    let again = Submit { run: RunId::from_u128(9), ..submit(1) };
    assert_eq!(started.driver.submit(again, Origin::default()).await, Ok(first));
    assert_eq!(runs(&started.driver).await, [first]);
}

#[tokio::test]
async fn a_repeated_delivery_does_not_hold_again_what_was_let_in() {
    let mut started = start(MemoryJournal::new());
    let driver = &started.driver;
    let origin = Origin::default;
    driver.submit_held(submit(1), Some(Stranger::default()), origin()).await.unwrap();
    let (run, environment) = (RunId::from_u128(1), String::new());
    let decision =
        DecideGates { run, environment, approve: true, actor: "alice".into(), comment: String::new() };
    driver.decide_gates(decision, origin()).await.unwrap();
    driver.submit_held(submit(1), Some(Stranger::default()), origin()).await.unwrap();
    assert!(!driver.query(move |view| view.ledger.holds().holds(run)).await.unwrap());
    assert_eq!(started.to_plan.recv().await.unwrap().run(), run);
}

#[tokio::test]
async fn a_repeated_delivery_holds_nothing_that_is_gone() {
    let started = start(MemoryJournal::new());
    let driver = &started.driver;
    let (run, origin) = (RunId::from_u128(1), Origin::default);
    driver.submit_held(submit(1), Some(Stranger::default()), origin()).await.unwrap();
    let cancel = Cancel { run, actor: "alice".into(), reason: String::new() };
    driver.cancel(cancel, origin()).await.unwrap();
    while driver.command(Command::RetireRun { run }).await.is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(driver.submit_held(submit(1), Some(Stranger::default()), origin()).await, Ok(run));
    assert_eq!(driver.query(move |view| view.ledger.holds().of(run).cloned()).await, Ok(None));
}

#[tokio::test]
async fn a_snapshot_and_what_came_after_give_the_same_state_as_the_whole_journal() {
    let mut journal = MemoryJournal::new();
    let first = start(journal.clone());
    for run in 1..=20 {
        first.driver.submit(submit(run), Origin::default()).await.unwrap();
    }
    first.driver.stop().await;
    assert_eq!(journal.snapshots().unwrap().len(), 1);
    let second = start(journal.clone());
    for run in 21..=30 {
        second.driver.submit(submit(run), Origin::default()).await.unwrap();
    }
    let look = |driver: &Driver| {
        let driver = driver.clone();
        async move { driver.query(|view| (view.state.clone(), view.ledger.clone())).await.unwrap() }
    };
    let expected = look(&second.driver).await;
    drop(second);

    let recovered = super::recover::recover(&mut journal).unwrap();
    assert!(recovered.snapshot > 0);
    assert_eq!((recovered.state, recovered.ledger), expected);
    let mut bare = MemoryJournal::new();
    let mut copy = bare.clone();
    let epoch = lead(&mut copy, &Address::default()).unwrap();
    let entries = journal.read(0).unwrap().into_iter();
    let entries: Vec<_> =
        entries.map(|record| Entry { time_ms: record.time_ms, payload: record.payload }).collect();
    copy.append(epoch, &entries).unwrap();
    let replayed = super::recover::recover(&mut bare).unwrap();
    assert_eq!((replayed.snapshot, replayed.state, replayed.ledger), (0, expected.0, expected.1));
}

fn among(name: &str) -> Standing {
    let (http, grpc) = (format!("http://{name}:8080"), format!("https://{name}:7443"));
    Standing::Among { address: Address { http, grpc } }
}

#[tokio::test]
async fn a_follower_keeps_up_refuses_commands_and_leads_when_the_leader_is_dead() {
    let journal = MemoryJournal::new();
    let first = start_standing(journal.clone(), among("a"));
    assert!(first.driver.leads().await);
    assert_eq!(first.driver.epoch(), 1);
    first.driver.submit(submit(1), Origin::default()).await.unwrap();

    let mut second = start_standing(journal.clone(), among("b"));
    let mut role = second.driver.role();
    let heard =
        |role: &Role| matches!(role, Role::Following(leader) if leader.address.grpc == "https://a:7443");
    role.wait_for(heard).await.unwrap();
    first.driver.submit(submit(2), Origin::default()).await.unwrap();
    while runs(&second.driver).await.len() < 2 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let refused = second.driver.submit(submit(3), Origin::default()).await.unwrap_err();
    assert_eq!(refused.to_string(), "this coordinator follows; the leader is at https://a:7443");
    assert!(second.to_plan.try_recv().is_err(), "the leader's to plan");

    first.kill.cancel();
    assert!(second.driver.leads().await);
    assert_eq!((second.driver.epoch(), runs(&second.driver).await.len()), (2, 2));
    // What the dead leader did not get planned is planned now.
    let planned = [second.to_plan.recv().await.unwrap().run(), second.to_plan.recv().await.unwrap().run()];
    assert_eq!(planned, [RunId::from_u128(1), RunId::from_u128(2)]);
    second.driver.submit(submit(3), Origin::default()).await.unwrap();
    assert_eq!(runs(&second.driver).await.len(), 3);
}

#[tokio::test]
async fn a_leader_that_was_replaced_can_do_nothing() {
    let journal = MemoryJournal::new();
    let first = start_standing(journal.clone(), among("a"));
    assert!(first.driver.leads().await);
    // As when it was frozen for longer than anybody waits.
    assert_eq!(journal.clone().take_over(1, &Address::default()).unwrap(), Some(2));
    let refused = first.driver.submit(submit(1), Origin::default()).await.unwrap_err();
    assert_eq!(refused, DriverError::Stopped);
    let why = first.failure.await.unwrap();
    assert!(matches!(why, JournalError::Fenced { ours: 1, current: 2 }), "{why}");
    assert_eq!(journal.end(), 1, "nothing but its own take-over");
}

#[tokio::test]
async fn an_idle_leader_notices_that_it_was_replaced() {
    let journal = MemoryJournal::new();
    let first = start_standing(journal.clone(), among("a"));
    assert!(first.driver.leads().await);
    assert_eq!(journal.clone().take_over(1, &Address::default()).unwrap(), Some(2));
    let why = first.failure.await.unwrap();
    assert!(matches!(why, JournalError::Fenced { .. }), "{why}");
}
