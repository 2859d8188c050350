//! Runs init as PID 1 of a namespace of its own, without Docker, and collects what its steps do.
#![allow(dead_code, clippy::unwrap_used, clippy::panic, missing_docs, unreachable_pub)]

use slipway_agent::init::{
    Body, Carried, Connection, Exit, InitLink, JobSocket, Spool, SpoolReader, SpooledFrame, Start, Stream,
    install, limits, place,
};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Bounds every wait of a test; reached only when something hangs.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A job folder and an init that runs in it.
pub struct Job {
    pub folder: TempDir,
    pub spool: Spool,
    pub socket: JobSocket,
    pub init: Guard,
    pub pid: u32,
}

pub fn run_dir(folder: &TempDir) -> PathBuf {
    folder.path().join("run")
}

/// Kills init when a test ends, however it ends.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Job {
    pub fn new() -> Self {
        Self::with_capacity(limits::SPOOL_CAPACITY_BYTES)
    }

    pub fn with_capacity(capacity_bytes: u64) -> Self {
        assert!(Carried::Init.binary().starts_with(b"\x7fELF"));
        let folder = tempfile::tempdir().unwrap();
        let installed = install(folder.path(), Carried::Init).unwrap();
        place(&installed, Carried::Init, &run_dir(&folder)).unwrap();
        let socket = JobSocket::bind(&run_dir(&folder)).unwrap();
        let spool = Spool::create(&folder.path().join("spool"), capacity_bytes).unwrap();
        let (init, pid) = spawn_init(&run_dir(&folder));
        Self { folder, spool, socket, init: Guard(init), pid }
    }

    pub async fn connect(&self) -> Connection {
        self.connect_until(None).await
    }

    pub async fn connect_until(&self, stop_boottime_ms: Option<u64>) -> Connection {
        let accept = self.socket.accept(self.pid, &self.spool, stop_boottime_ms);
        tokio::time::timeout(PATIENCE, accept).await.unwrap().unwrap()
    }

    /// Waits for init's end without blocking the runtime, which still has orders to send.
    pub async fn wait(&mut self) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.init.0.try_wait().unwrap() {
                    return status;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, ended).await.unwrap()
    }
}

#[allow(clippy::zombie_processes)] // The caller's guard waits.
/// Starts init as the first process of a new pid namespace; `unshare` and init's pid outside of it.
fn spawn_init(run_dir: &Path) -> (Child, u32) {
    let mut command = Command::new("unshare");
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]);
    command.arg(run_dir.join(limits::PROGRAM_NAME)).arg(run_dir.join(limits::SOCKET_NAME));
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let children = format!("/proc/{0}/task/{0}/children", child.id());
    loop {
        let list = std::fs::read_to_string(&children).unwrap();
        if let Some(pid) = list.split_whitespace().next() {
            return (child, pid.parse().unwrap());
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub fn shell(step: u32, script: &str) -> Start {
    command(step, &["/bin/sh", "-c", script])
}

pub fn command(step: u32, argv: &[&str]) -> Start {
    Start {
        step,
        argv: argv.iter().map(|text| text.as_bytes().to_vec()).collect(),
        env: vec![b"PATH=/usr/bin:/bin".to_vec()],
        cwd: b"/".to_vec(),
    }
}

/// What a step put out, and how it ended.
#[derive(Debug, Default)]
pub struct Outcome {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exit: Option<Exit>,
    pub failure: Option<(i32, String)>,
    pub started: bool,
}

impl Outcome {
    /// Takes over a frame; `true` when it was the step's last.
    pub fn add(&mut self, frame: &SpooledFrame) -> bool {
        match &frame.frame.body {
            Body::Output { stream: Stream::Stdout, bytes } => self.stdout.extend_from_slice(bytes),
            Body::Output { stream: Stream::Stderr, bytes } => self.stderr.extend_from_slice(bytes),
            Body::Started { .. } => self.started = true,
            Body::SpawnFailed { errno, message, .. } => self.failure = Some((*errno, message.clone())),
            Body::Exited(exit) => self.exit = Some(*exit),
            Body::Discarded { .. } => {}
        }
        self.exit.is_some() || self.failure.is_some()
    }
}

/// The next frame, within the test's patience.
pub async fn next(reader: &mut SpoolReader) -> Option<SpooledFrame> {
    tokio::time::timeout(PATIENCE, reader.next_frame()).await.unwrap().unwrap()
}

/// Reads frames until `step` has ended, releasing each, and checks that no other step's come.
pub async fn follow(spool: &Spool, reader: &mut SpoolReader, step: u32) -> Outcome {
    let mut outcome = Outcome::default();
    loop {
        let frame = next(reader).await.unwrap();
        assert_eq!(frame.frame.step, step, "{frame:?}");
        let last = outcome.add(&frame);
        spool.release(frame.end_offset).unwrap();
        if last {
            return outcome;
        }
    }
}

/// Starts a step and follows it to its end.
pub async fn run(job: &Job, link: &InitLink, reader: &mut SpoolReader, start: Start) -> Outcome {
    let step = start.step;
    link.start(start).await.unwrap();
    follow(&job.spool, reader, step).await
}

pub fn boottime_ms() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap() * 1000 + u64::try_from(now.tv_nsec).unwrap() / 1_000_000
}
