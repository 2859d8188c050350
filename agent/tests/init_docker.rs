//! Init in real containers: an image with nothing in it, no root, no capability, nothing writable.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod init_support;

use init_support::{PATIENCE, command, follow, run_dir};
use slipway_agent::init::{
    Carried, Connection, ExitStatus, InitError, JobSocket, Spool, SpoolReader, Start, StepEnd, install,
    limits, place,
};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// Runs `docker` with these arguments; its output.
fn docker(arguments: &[&str], input: &[u8]) -> String {
    let mut command = Command::new("docker");
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("this test needs the docker command and a running engine");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker {arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// An image made on the spot out of the host's own files, removed in the end.
struct Image(String);

impl Image {
    /// `files`: path in the image and path on the host; none makes an image with an empty folder.
    fn of(files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("work")).unwrap();
        for (inside, outside) in files {
            let path = folder.path().join(inside);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::copy(outside, path).unwrap_or_else(|error| {
                panic!("{outside}: {error}; on Debian the package busybox-static has it")
            });
        }
        let archive = Command::new("tar").arg("-C").arg(folder.path()).args(["-c", "."]).output().unwrap();
        assert!(archive.status.success());
        Self(docker(&["import", "-"], &archive.stdout))
    }

    fn busybox() -> Self {
        Self::of(&[("bin/busybox", "/bin/busybox"), ("bin/sh", "/bin/busybox")])
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rmi", "--force", &self.0]).output();
    }
}

/// A container with init as its first process, removed in the end (before its image: fields drop in order).
struct Container {
    id: String,
    pid: u32,
    socket: JobSocket,
    spool: Spool,
    folder: TempDir,
    _image: Image,
}

impl Container {
    fn start(image: Image, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        place(&install(folder.path(), Carried::Init).unwrap(), Carried::Init, &run_dir(&folder)).unwrap();
        let socket = JobSocket::bind(&run_dir(&folder)).unwrap();
        let spool = Spool::create(&folder.path().join("spool"), limits::SPOOL_CAPACITY_BYTES).unwrap();
        let mount = format!("{}:{}:ro", run_dir(&folder).display(), limits::MOUNT_PATH);
        let program = Path::new(limits::MOUNT_PATH).join(limits::PROGRAM_NAME).display().to_string();
        let mut arguments = vec!["run", "--detach", "--label", "slipway.test=init", "--network", "none"];
        arguments.extend(["--volume", &mount, "--entrypoint", &program]);
        arguments.extend(options);
        arguments.push(&image.0);
        let id = docker(&arguments, b"");
        let pid = docker(&["inspect", "--format", "{{.State.Pid}}", &id], b"").parse().unwrap();
        Self { id, pid, socket, spool, folder, _image: image }
    }

    async fn connect(&self) -> (Connection, SpoolReader) {
        let accept = self.socket.accept(self.pid, &self.spool, None);
        let connection = tokio::time::timeout(PATIENCE, accept).await.unwrap().unwrap();
        (connection, self.spool.reader(0))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", "--volumes", &self.id]).output();
    }
}

/// A command of the image's busybox.
fn busybox(step: u32, script: &str) -> Start {
    Start { env: vec![b"PATH=/bin".to_vec()], ..command(step, &["sh", "-c", script]) }
}

const LOCKED_DOWN: [&str; 7] =
    ["--read-only", "--user", "12345:54321", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"];

#[tokio::test]
async fn an_empty_image_without_root_capabilities_or_anything_writable_runs_steps() {
    let container = Container::start(Image::of(&[]), &LOCKED_DOWN);
    let (connection, mut reader) = container.connect().await;
    // The only program there is init itself.
    connection.link.start(command(1, &["/.slipway/init", "--version"])).await.unwrap();
    let outcome = follow(&container.spool, &mut reader, 1).await;
    let expected =
        format!("slipway-init {} protocol {}\n", env!("CARGO_PKG_VERSION"), limits::PROTOCOL_VERSION);
    assert_eq!(String::from_utf8(outcome.stdout).unwrap(), expected);
    connection.link.start(command(2, &["sh"])).await.unwrap();
    let outcome = follow(&container.spool, &mut reader, 2).await;
    assert_eq!(outcome.failure.unwrap().1, "cannot run `sh`: No such file or directory (os error 2)");
}

#[tokio::test]
async fn the_containers_user_is_kept_and_its_steps_are_the_first_to_be_killed_for_memory() {
    let container = Container::start(Image::busybox(), &LOCKED_DOWN);
    let (connection, mut reader) = container.connect().await;
    let script = "busybox id -u; busybox id -g; busybox cat /proc/self/oom_score_adj /proc/1/oom_score_adj";
    connection.link.start(busybox(1, script)).await.unwrap();
    let outcome = follow(&container.spool, &mut reader, 1).await;
    assert_eq!(String::from_utf8(outcome.stdout).unwrap(), "12345\n54321\n500\n0\n");
}

#[tokio::test]
async fn a_root_step_reaches_neither_the_spool_nor_the_socket_of_init() {
    let container = Container::start(Image::busybox(), &[]);
    let (connection, mut reader) = container.connect().await;
    // Root may see the descriptors' numbers (the folder belongs to root), but not what they are, and can't open them.
    let script = "busybox id -u; set -- /proc/1/fd/*; [ $# -gt 6 ] && echo seen; for fd in \"$@\"; do \
                  busybox readlink $fd && echo read $fd; (: < $fd) 2>/dev/null && echo opened $fd; \
                  (: >> $fd) 2>/dev/null && echo opened $fd to write; done; \
                  busybox cat /proc/1/environ; busybox touch /.slipway/x; true";
    connection.link.start(busybox(1, script)).await.unwrap();
    let outcome = follow(&container.spool, &mut reader, 1).await;
    assert_eq!(String::from_utf8(outcome.stdout).unwrap(), "0\nseen\n");
    let errors = String::from_utf8(outcome.stderr).unwrap();
    assert!(errors.contains("'/proc/1/environ': Permission denied"), "{errors}");
    assert!(errors.contains("Read-only file system"), "{errors}");
}

#[tokio::test]
async fn a_step_that_connects_to_the_control_socket_is_turned_away() {
    let container = Container::start(Image::busybox(), &LOCKED_DOWN);
    let (mut connection, mut reader) = container.connect().await;
    // A second init that a step starts is not PID 1 and says so; and who connects by hand is dropped unread.
    connection.link.start(command(1, &["/.slipway/init"])).await.unwrap();
    let outcome = follow(&container.spool, &mut reader, 1).await;
    assert_eq!(outcome.exit.unwrap().status, ExitStatus::Code(96));
    assert!(String::from_utf8(outcome.stderr).unwrap().contains("not PID 1"));
    // What follows needs the first connection to be alive still.
    connection.link.start(busybox(2, "echo still here")).await.unwrap();
    assert_eq!(follow(&container.spool, &mut reader, 2).await.stdout, b"still here\n");
    connection.link.shutdown(1000).await.unwrap();
    assert!(matches!(connection.events.next().await, Err(InitError::Closed)));
}

#[tokio::test]
async fn docker_stop_ends_steps_in_order_and_the_next_agent_reads_it() {
    let container = Container::start(Image::busybox(), &LOCKED_DOWN);
    let (connection, mut reader) = container.connect().await;
    connection
        .link
        .start(busybox(1, "trap 'echo bye; exit 4' TERM; echo up; while :; do busybox sleep 0.1; done"))
        .await
        .unwrap();
    let mut outcome = init_support::Outcome::default();
    while outcome.stdout != b"up\n" {
        assert!(!outcome.add(&init_support::next(&mut reader).await.unwrap()));
    }
    let noted = reader.offset();
    drop((connection, reader));
    docker(&["stop", &container.id], b"");
    let code = docker(&["inspect", "--format", "{{.State.ExitCode}}", &container.id], b"");
    assert_eq!(code, limits::exit_code::TERMINATED.to_string());
    let path = container.folder.path().join("spool");
    let spool = Spool::open(&path, noted, limits::SPOOL_CAPACITY_BYTES).unwrap();
    spool.finish();
    let rest = follow(&spool, &mut spool.reader(noted), 1).await;
    assert_eq!(rest.stdout, b"bye\n");
    let exit = rest.exit.unwrap();
    assert_eq!((exit.status, exit.end), (ExitStatus::Code(4), StepEnd::Shutdown));
}
