//! Real PostgreSQL servers for tests: each in a folder of its own, on a port of its own, gone with its value.
//!
//! PostgreSQL refuses to run as root: as root its processes run as the user `postgres`, which its package makes.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::{free_port, wait_until};

/// How long a server may take to start, to answer, or to be promoted.
const PATIENCE: Duration = Duration::from_secs(60);

/// The password of the user `slipway`, with characters that a URL has to escape.
pub const PASSWORD: &str = "p@ss/w:rd?";

/// [`PASSWORD`] in a URL.
pub const PASSWORD_IN_URL: &str = "p%40ss%2Fw%3Ard%3F";

/// What keeps a server small: by default it would let a gigabyte of its log pile up.
const SMALL: [(&str, &str); 2] = [("max_wal_size", "64MB"), ("min_wal_size", "32MB")];

/// A server, or a stand-by of one.
pub struct PostgresServer {
    folder: TempDir,
    port: u16,
    postmaster: Option<Child>,
    /// Settings besides those of every server here.
    settings: Vec<(String, String)>,
}

impl PostgresServer {
    /// A server with a database `slipway` that belongs to the user `slipway`.
    #[must_use]
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with settings of `postgresql.conf`.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start_with(settings: &[(&str, &str)]) -> Self {
        Self::initialize(Self::empty_in(None, free_port(), settings))
    }

    /// The same with its folder in `root`, such as a small disk; it keeps little of what it wrote ahead.
    ///
    /// # Panics
    /// When PostgreSQL is not installed or does not start.
    #[must_use]
    pub fn start_in(root: &Path) -> Self {
        Self::initialize(Self::empty_in(Some(root), free_port(), &SMALL))
    }

    fn initialize(mut server: Self) -> Self {
        let output = as_owner("initdb")
            .args(["--username", "postgres", "--auth-local", "trust", "--auth-host", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C", "--no-sync", "--pgdata"])
            .arg(server.data())
            .output();
        succeeded("initdb", &output.unwrap());
        server.resume();
        server.sql("postgres", &format!("CREATE ROLE slipway LOGIN PASSWORD '{PASSWORD}'"));
        server.sql("postgres", "CREATE DATABASE slipway OWNER slipway");
        server
    }

    /// A stand-by that follows this server. `name` is what `synchronous_standby_names` may hold.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn stand_by(&self, name: &str) -> Self {
        self.stand_by_on(name, free_port())
    }

    /// The same on this port, such as that of a primary that is dead.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn stand_by_on(&self, name: &str, port: u16) -> Self {
        self.follow(name, Self::empty_in(None, port, &[]))
    }

    /// The same with its folder in `root`, as [`PostgresServer::start_in`] has it.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn stand_by_in(&self, root: &Path, name: &str, port: u16) -> Self {
        self.follow(name, Self::empty_in(Some(root), port, &SMALL))
    }

    fn follow(&self, name: &str, mut server: Self) -> Self {
        let primary = format!(
            "host={} port={} user=postgres application_name={name}",
            self.folder.path().display(),
            self.port
        );
        let output = as_owner("pg_basebackup")
            .args([
                "--write-recovery-conf",
                "--checkpoint",
                "fast",
                "--no-sync",
                "--dbname",
                &primary,
                "--pgdata",
            ])
            .arg(server.data())
            .output();
        succeeded("pg_basebackup", &output.unwrap());
        server.resume();
        server
    }

    fn empty_in(root: Option<&Path>, port: u16, settings: &[(&str, &str)]) -> Self {
        let mut named = tempfile::Builder::new();
        named.prefix("slipway-postgres-");
        let folder = root.map_or_else(|| named.tempdir(), |root| named.tempdir_in(root)).unwrap();
        if rustix::process::geteuid().is_root() {
            let (user, group) = owner();
            std::os::unix::fs::chown(folder.path(), Some(user), Some(group)).unwrap();
        }
        let settings =
            settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self { folder, port, postmaster: None, settings }
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Its folder, which its processes may read and write.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL for `slipway`, with a query.
    #[must_use]
    pub fn url(&self, query: &str) -> String {
        format!("postgres://slipway:{PASSWORD_IN_URL}@127.0.0.1:{}/slipway?{query}", self.port)
    }

    /// Starts it (again).
    ///
    /// # Panics
    /// When it does not get ready.
    pub fn resume(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.folder.path().join("log")).unwrap();
        let mut command = as_owner("postgres");
        command.arg("-D").arg(self.data());
        let folder = self.folder.path().display().to_string();
        let (port, connections) = (self.port.to_string(), "30".to_owned());
        for (name, value) in [
            ("listen_addresses", "127.0.0.1"),
            ("unix_socket_directories", &folder),
            ("port", &port),
            ("max_connections", &connections),
            ("shared_buffers", "16MB"),
            // In the data directory: what a killed server leaves behind goes with its folder.
            ("dynamic_shared_memory_type", "mmap"),
        ] {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        for (name, value) in &self.settings {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.postmaster = Some(command.spawn().unwrap());
        let began = Instant::now();
        while self.try_sql("postgres", "SELECT 1").is_err() {
            assert!(began.elapsed() < PATIENCE, "PostgreSQL does not start:\n{}", self.log());
            assert!(self.alive(), "PostgreSQL ended:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Whether its first process runs.
    ///
    /// # Panics
    /// When the system does not say.
    pub fn alive(&mut self) -> bool {
        self.postmaster.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// What it said.
    ///
    /// # Panics
    /// When its log cannot be read.
    #[must_use]
    pub fn log(&self) -> String {
        let mut text = String::new();
        fs::File::open(self.folder.path().join("log")).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    /// Runs a statement as the superuser, over the socket; the answer's rows, one a line, `|` between columns.
    ///
    /// # Panics
    /// When it fails.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        self.try_sql(database, statement).unwrap_or_else(|error| panic!("{statement}: {error}"))
    }

    /// The same; what went wrong when it fails.
    ///
    /// # Errors
    /// What `psql` said.
    pub fn try_sql(&self, database: &str, statement: &str) -> Result<String, String> {
        let mut command = Command::new(binaries().join("psql"));
        command.arg("-h").arg(self.folder.path()).args(["-p", &self.port.to_string(), "-U", "postgres"]);
        command.args(["-d", database, "-v", "ON_ERROR_STOP=1", "-XqAtc", statement]);
        let output = command.output().map_err(|error| error.to_string())?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// Changes a setting and has the server read it.
    pub fn set(&self, name: &str, value: &str) {
        self.sql("postgres", &format!("ALTER SYSTEM SET {name} = '{value}'"));
        self.sql("postgres", "SELECT pg_reload_conf()");
    }

    /// Ends all its processes at once, as a power cut does.
    ///
    /// # Panics
    /// When it does not run.
    pub fn kill(&mut self) {
        let mut postmaster = self.postmaster.take().unwrap();
        let pid = postmaster.id();
        // So that it makes no new ones meanwhile.
        signal("-STOP", &[pid]);
        let mut all = children(pid);
        all.push(pid);
        signal("-KILL", &all);
        postmaster.wait().unwrap();
        // A signal is not yet an end: while one of them is there, the next start finds its memory in use and gives up. One
        // that the first process was just making was on no list.
        wait_until("all processes of the server have ended", || {
            let left = in_folder(&self.data());
            signal("-KILL", &left);
            left.is_empty().then_some(())
        });
        self.forget_shared_memory();
    }

    /// All its processes, the first one last.
    ///
    /// # Panics
    /// When it does not run.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let postmaster = self.postmaster.as_ref().unwrap().id();
        let mut all = children(postmaster);
        all.push(postmaster);
        all
    }

    /// Writes a file into its folder that only its processes may read.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn keep_secret(&self, name: &str, content: &str) {
        let path = self.folder.path().join(name);
        fs::write(&path, content).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        if rustix::process::geteuid().is_root() {
            let (user, group) = owner();
            std::os::unix::fs::chown(&path, Some(user), Some(group)).unwrap();
        }
    }

    /// Makes a stand-by the primary.
    pub fn promote(&self) {
        self.sql("postgres", "SELECT pg_promote(true, 60)");
    }

    /// A killed server leaves its System V segment behind; the next start would take it over, but there may be none.
    fn forget_shared_memory(&self) {
        let file = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        let segment = file.lines().nth(6).and_then(|line| line.split_whitespace().nth(1));
        if let Some(segment) = segment {
            // Gone already is fine.
            let _ = Command::new("ipcrm").args(["-m", segment]).stderr(Stdio::null()).status();
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        if let Some(mut postmaster) = self.postmaster.take() {
            // An immediate shutdown: it removes its shared memory and leaves the files as they are.
            signal("-QUIT", &[postmaster.id()]);
            let _ = postmaster.wait();
        }
    }
}

/// Sends a signal to processes that this test started.
///
/// # Panics
/// When there is no `kill`.
pub fn signal(name: &str, pids: &[u32]) {
    let pids = pids.iter().map(u32::to_string);
    // One that has ended meanwhile is fine.
    Command::new("kill").arg(name).args(pids).stderr(Stdio::null()).status().unwrap();
}

/// Every process.
fn pids() -> impl Iterator<Item = u32> {
    let folders = fs::read_dir("/proc").unwrap().flatten();
    folders.filter_map(|folder| folder.file_name().to_str()?.parse::<u32>().ok())
}

/// Who works in this folder, as all processes of a server do in its data directory. One that has ended works nowhere.
fn in_folder(folder: &Path) -> Vec<u32> {
    let folder = folder.canonicalize().unwrap();
    pids().filter(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == folder)).collect()
}

fn children(parent: u32) -> Vec<u32> {
    let of_parent = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // After the name, which may hold anything: state, parent.
        let after = stat.rsplit_once(')').map_or("", |(_, after)| after);
        after.split_whitespace().nth(1).and_then(|field| field.parse().ok()) == Some(parent)
    };
    pids().filter(of_parent).collect()
}

/// Where the server's programs are: not on the PATH of Debian.
fn binaries() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.retain(|folder| folder.join("initdb").exists());
    found.sort();
    found.pop().expect("PostgreSQL is not installed: run scripts/install-deps.sh --for-tests")
}

/// A program of the server, as somebody who may run it.
fn as_owner(program: &str) -> Command {
    let mut command = Command::new(binaries().join(program));
    command.current_dir("/").env("LC_ALL", "C");
    if rustix::process::geteuid().is_root() {
        let (user, group) = owner();
        command.uid(user).gid(group);
    }
    command
}

fn owner() -> (u32, u32) {
    let number = |flag: &str| {
        let output = Command::new("id").args([flag, "postgres"]).output().unwrap();
        succeeded("id postgres", &output);
        String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
    };
    (number("-u"), number("-g"))
}

fn succeeded(what: &str, output: &Output) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}
