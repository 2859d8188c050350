//! `failover`: how long nobody leads after a leader's death, and how long a restart takes after a million events, on real
//! processes and a real PostgreSQL, beside a coordinator that stands alone and is started again.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use slipway_coordinator::audit::Origin;
use slipway_coordinator::driver::{Driver, DriverParts, Planning, Standing};
use slipway_coordinator::journal::JournalPlace;
use slipway_kit::clock::SystemClock;
use slipway_scheduler::command::{JobDefinition, Resolution, ResolveJob, RunMeta, Submit, Trust};
use slipway_scheduler::{Command as Order, JobId, Rules, RunId};
use slipway_tests::Cluster;
use slipway_tests::postgres::{PostgresServer, signal};
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::figure::{Figure, Samples};
use crate::process::Process;

/// How often a coordinator is asked whether it leads.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// How long one fail-over may take before the measurement is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Submissions under way at once while a journal is filled.
const IN_FLIGHT: usize = 512;

/// How much to do.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Leaders killed, one after the other.
    pub kills: usize,
    /// Leaders that hang.
    pub hangs: usize,
    /// Events in the journal before the restart.
    pub events: u64,
}

/// Measures.
///
/// # Errors
/// When a program cannot be started, or nobody leads for longer than is sensible.
///
/// # Panics
/// When PostgreSQL is not installed.
pub fn measure(load: Load) -> anyhow::Result<Vec<Figure>> {
    let alone = "a coordinator alone, killed and started again";
    let (mut restarts, mut kills, mut hangs) = (Samples::default(), Samples::default(), Samples::default());
    let empty = tempfile::tempdir()?;
    Process::start(empty.path())?.0.kill()?;
    for _ in 0..load.kills.max(3) {
        let (process, took) = Process::start(empty.path())?;
        restarts.add(took);
        process.kill()?;
    }
    let server = PostgresServer::start();
    let mut cluster = Cluster::on(&server, 2);
    for round in 0..load.kills + load.hangs {
        let (leader, follower) = (round % 2, (round + 1) % 2);
        let hang = round >= load.kills;
        let pid = cluster.coordinators[leader].pid();
        let began = Instant::now();
        match hang {
            true => signal("-STOP", &[pid]),
            false => cluster.coordinators[leader].kill9(),
        }
        while !leads(&cluster.coordinators[follower].url("/readyz")) {
            if began.elapsed() > PATIENCE {
                bail!("nobody leads {PATIENCE:?} after the leader's death");
            }
            std::thread::sleep(ASK_EVERY);
        }
        if hang { &mut hangs } else { &mut kills }.add(began.elapsed());
        if hang {
            signal("-CONT", &[pid]);
            cluster.coordinators[leader].ended();
        }
        cluster.coordinators[leader].start_again();
        let began = Instant::now();
        while cluster.coordinators[leader].ready() != "ready, follows" {
            if began.elapsed() > PATIENCE {
                bail!("a coordinator that was started again does not follow");
            }
            std::thread::sleep(ASK_EVERY);
        }
    }
    drop(cluster);
    let full = tempfile::tempdir()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let events = runtime.block_on(fill(full.path(), load.events)).context("filling a journal")?;
    let (mut process, _) = Process::start(full.path())?;
    let mut replays = Samples::default();
    for _ in 0..3 {
        process.kill()?;
        let (again, took) = Process::start(full.path())?;
        (process, _) = (again, replays.add(took));
    }
    process.kill()?;
    let again = restarts.quantile_ms(0.5);
    let figure = |name: String, value| Figure::new(name, "ms", value, alone, again);
    Ok(vec![
        figure("failover.leader_killed_p50".to_owned(), kills.quantile_ms(0.5)),
        figure("failover.leader_killed_p99".to_owned(), kills.quantile_ms(0.99)),
        figure("failover.leader_hangs_p99".to_owned(), hangs.quantile_ms(0.99)),
        figure(format!("failover.restart_after_{events}_events"), replays.quantile_ms(0.5)),
    ])
}

fn leads(url: &str) -> bool {
    let answer = Command::new("curl").args(["--silent", "--max-time", "1", url]).output();
    answer.is_ok_and(|answer| answer.stdout == b"ready\n")
}

/// Journals runs whose only job is skipped until there are so many events; as many as there are then.
async fn fill(folder: &Path, events: u64) -> anyhow::Result<u64> {
    let journal = slipway_coordinator::journal::open(&JournalPlace::Sqlite, folder, None)?;
    let (planner, mut to_plan) = mpsc::unbounded_channel();
    let (ended, mut over) = mpsc::unbounded_channel();
    let parts = DriverParts {
        standing: Standing::Alone,
        rules: Rules::default(),
        clock: Arc::new(SystemClock),
        planner,
        ended,
        metrics: Arc::default(),
        tap: None,
        kill: CancellationToken::new(),
    };
    let (driver, _failed) = Driver::start(journal, parts)?;
    let planning = driver.clone();
    tokio::spawn(async move { while over.recv().await.is_some() {} });
    let answers = Arc::new(Semaphore::new(IN_FLIGHT));
    tokio::spawn(async move {
        while let Some(Planning::Job(request)) = to_plan.recv().await {
            let Ok(permit) = Arc::clone(&answers).acquire_owned().await else { return };
            let driver = planning.clone();
            tokio::spawn(async move {
                let resolution = Resolution::Skip { reason: String::new() };
                let (run, job, cancelled) = (request.run, request.job, request.cancelled);
                let answer = Order::ResolveJob(ResolveJob { run, job, cancelled, resolution });
                // A driver that stopped shows in the submissions.
                let _ = driver.command(answer).await;
                drop(permit);
            });
        }
    });
    let under_way = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut number = 0_u128;
    loop {
        let end = driver.read_journal(u64::MAX >> 1).await?.end;
        if end >= events {
            driver.stop().await;
            return Ok(end);
        }
        for _ in 0..IN_FLIGHT {
            number += 1;
            let permit = Arc::clone(&under_way).acquire_owned().await?;
            let (driver, run) = (driver.clone(), submission(number));
            tokio::spawn(async move {
                // As above.
                let _ = driver.submit(run, Origin::default()).await;
                drop(permit);
            });
        }
    }
}

fn submission(number: u128) -> Submit {
    let blob = slipway_cas::Digest::of(b"");
    Submit {
        run: RunId::from_u128(number),
        meta: RunMeta {
            repository: "example/bench".to_owned(),
            forge: "local".to_owned(),
            workflow_file: "ci.yml".to_owned(),
            workflow_name: "CI".to_owned(),
            event_name: "push".to_owned(),
            git_ref: "refs/heads/main".to_owned(),
            sha: "0".repeat(40),
            actor: "bench".to_owned(),
            trust: Trust::Trusted,
            traceparent: None,
            run_number: 0,
            run_attempt: 1,
        },
        workflow: blob,
        event: blob,
        context: blob,
        jobs: vec![JobDefinition { id: JobId::new("build"), needs: Vec::new(), strict: false }],
        idempotency_key: None,
        held: false,
        carried: Vec::new(),
        concurrency: None,
        standing: Default::default(),
    }
}
