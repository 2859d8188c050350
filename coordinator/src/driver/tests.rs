#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use slipway_cas::Digest;
use slipway_kit::clock::SystemClock;
use slipway_scheduler::command::{JobDefinition, RunMeta, Submit};
use slipway_scheduler::{JobId, Rules, RunId};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::{Driver, DriverError, DriverParts, Planning};
use crate::journal::memory::MemoryJournal;
use crate::journal::{Entry, Journal, JournalError, Record, Snapshot};

/// A journal whose disk fails after so many appends.
struct Failing {
    inner: MemoryJournal,
    appends_left: Arc<AtomicI32>,
}

impl Journal for Failing {
    fn take_over(&mut self) -> Result<u64, JournalError> {
        self.inner.take_over()
    }
    fn append(&mut self, epoch: u64, entries: &[Entry]) -> Result<u64, JournalError> {
        if self.appends_left.fetch_sub(1, Ordering::SeqCst) <= 0 {
            return Err(JournalError::Engine { place: "disk".into(), reason: "it is full".into() });
        }
        self.inner.append(epoch, entries)
    }
    fn end(&self) -> u64 {
        self.inner.end()
    }
    fn read(&self, position: u64) -> Result<Vec<Record>, JournalError> {
        self.inner.read(position)
    }
    fn save_snapshot(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        self.inner.save_snapshot(snapshot)
    }
    fn snapshots(&self) -> Result<Vec<Snapshot>, JournalError> {
        self.inner.snapshots()
    }
}

struct Started {
    driver: Driver,
    failure: oneshot::Receiver<JournalError>,
    to_plan: mpsc::UnboundedReceiver<Planning>,
}

fn start(journal: impl Journal) -> Started {
    let (planner, to_plan) = mpsc::unbounded_channel();
    let (ended, _) = mpsc::unbounded_channel();
    let parts = DriverParts {
        journal: Box::new(journal),
        clock: Arc::new(SystemClock),
        rules: Rules::default(),
        planner,
        ended,
        metrics: Arc::default(),
        kill: CancellationToken::new(),
    };
    let (driver, failure) = Driver::start(parts).unwrap();
    Started { driver, failure, to_plan }
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
    started.driver.submit(submit(1)).await.unwrap();
    assert_eq!(started.to_plan.recv().await.unwrap().run(), RunId::from_u128(1));
    assert_eq!(started.driver.submit(submit(2)).await, Err(DriverError::Stopped));
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
    assert_eq!(old.driver.submit(submit(1)).await, Err(DriverError::Stopped));
    assert!(matches!(old.failure.await, Ok(JournalError::Fenced { ours: 1, current: 2 })));
    new.driver.submit(submit(2)).await.unwrap();
    assert_eq!(runs(&new.driver).await, [RunId::from_u128(2)]);
}

#[test]
fn an_entry_of_a_newer_version_is_told_apart_from_damage() {
    let recovered = |payload: &[u8]| {
        let mut journal = MemoryJournal::new();
        let epoch = journal.take_over().unwrap();
        journal.append(epoch, &[Entry { time_ms: 1, payload: payload.to_vec() }]).unwrap();
        super::recover::recover(&journal).map(|_| ())
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
    let first = started.driver.submit(submit(1)).await.unwrap();
    let again = Submit { run: RunId::from_u128(9), ..submit(1) };
    assert_eq!(started.driver.submit(again).await, Ok(first));
    assert_eq!(runs(&started.driver).await, [first]);
}

#[tokio::test]
async fn a_snapshot_and_what_came_after_give_the_same_state_as_the_whole_journal() {
    let journal = MemoryJournal::new();
    let first = start(journal.clone());
    for run in 1..=20 {
        first.driver.submit(submit(run)).await.unwrap();
    }
    first.driver.stop().await;
    assert_eq!(journal.snapshots().unwrap().len(), 1);
    let second = start(journal.clone());
    for run in 21..=30 {
        second.driver.submit(submit(run)).await.unwrap();
    }
    let look = |driver: &Driver| {
        let driver = driver.clone();
        async move { driver.query(|view| (view.state.clone(), view.ledger.clone())).await.unwrap() }
    };
    let expected = look(&second.driver).await;
    drop(second);

    let recovered = super::recover::recover(&journal).unwrap();
    assert!(recovered.snapshot > 0);
    assert_eq!((recovered.state, recovered.ledger), expected);
    let bare = MemoryJournal::new();
    let mut copy = bare.clone();
    let epoch = copy.take_over().unwrap();
    let entries = journal.read(0).unwrap().into_iter();
    let entries: Vec<_> =
        entries.map(|record| Entry { time_ms: record.time_ms, payload: record.payload }).collect();
    copy.append(epoch, &entries).unwrap();
    let replayed = super::recover::recover(&bare).unwrap();
    assert_eq!((replayed.snapshot, replayed.state, replayed.ledger), (0, expected.0, expected.1));
}
