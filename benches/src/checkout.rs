//! `checkout`: the built-in `actions/checkout` of a large repository over HTTP, by an agent that has had it before: with a tree that is ready,
//! with one that has to go on to another commit, and with the mirror alone; each beside `git clone` of the same from the local disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use slipway_agent::checkout::kept::Kept;
use slipway_agent::checkout::{Target, checkout};
use slipway_agent::coordinator::{Coordinator, Server};
use slipway_agent::disk::DiskState;
use slipway_agent::docker::passwd::ContainerUser;
use slipway_kit::shutdown;
use slipway_tests::GitServer;
use slipway_workflow::job_spec::Source;
use tokio::sync::watch;

use crate::figure::{Figure, Samples};

/// Files of one folder.
const FILES_A_FOLDER: usize = 500;
/// Files that change from one commit to the next.
const CHANGED: usize = 20;
/// How long a tree may take until it is ready.
const PATIENCE: Duration = Duration::from_secs(300);

/// Measures.
///
/// # Errors
/// When git is missing or fails, or a checkout is not what it must be.
pub async fn measure(files: usize, rounds: usize) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::new(folder.path(), files)?;
    let (_trigger, watcher) = shutdown::channel();
    let (_disk, seen) = watch::channel(DiskState::default());
    let keeping = tokio::spawn(Arc::clone(&scene.kept).keep(seen, watcher));
    let mut commit = scene.head()?;
    let first = scene.checkout(&scene.kept, &commit).await?;
    let [mut same, mut next, mut mirror, mut clone] = [const { Samples::new() }; 4];
    // One that makes nothing ready.
    let mirrors = Kept::open(&folder.path().join("mirrors-only"), 0);
    scene.checkout(&mirrors, &commit).await?;
    for round in 0..rounds {
        scene.until_ready(&commit).await?;
        same.add(scene.checkout(&scene.kept, &commit).await?);
        scene.until_ready(&commit).await?;
        commit = scene.change(round)?;
        next.add(scene.checkout(&scene.kept, &commit).await?);
        scene.until_ready(&commit).await?;
        mirror.add(scene.checkout(&mirrors, &commit).await?);
        clone.add(scene.clone_by_hand(round)?);
    }
    keeping.abort();
    let clone = clone.quantile_ms(0.5);
    let figure = |name: &str, value| Figure::new(name, "ms", value, "git clone from the local disk", clone);
    Ok(vec![
        figure("checkout.first", first.as_secs_f64() * 1e3),
        figure("checkout.ready_p50", same.quantile_ms(0.5)),
        figure("checkout.ready_next_commit_p50", next.quantile_ms(0.5)),
        figure("checkout.mirror_next_commit_p50", mirror.quantile_ms(0.5)),
    ])
}

/// A repository behind a server, and an agent's data directory.
struct Scene {
    folder: PathBuf,
    server: GitServer,
    kept: Arc<Kept>,
    coordinator: Coordinator,
    files: usize,
}

fn git(folder: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "gc.auto=0"]);
    let done = command.args(arguments).current_dir(folder).stdin(Stdio::null()).output()?;
    if !done.status.success() {
        bail!("git {}: {}", arguments.join(" "), String::from_utf8_lossy(&done.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&done.stdout).trim().to_owned())
}

impl Scene {
    fn new(folder: &Path, files: usize) -> anyhow::Result<Self> {
        let origin = folder.join("origin/example/large");
        for number in 0..files {
            let place = origin.join(format!("folder-{}", number / FILES_A_FOLDER));
            if number % FILES_A_FOLDER == 0 {
                fs::create_dir_all(&place)?;
            }
            fs::write(place.join(format!("file-{number}")), format!("{number}\n").repeat(40))?;
        }
        git(&origin, &["init", "--quiet", "-b", "main"])?;
        git(&origin, &["add", "."])?;
        git(&origin, &["commit", "--quiet", "-m", "all"])?;
        // As a forge has it.
        git(&origin, &["repack", "-adq"])?;
        let nobody = Server::new("http://127.0.0.1:9", None, false)?;
        Ok(Self {
            server: GitServer::start(&folder.join("origin")),
            kept: Arc::new(Kept::open(&folder.join("agent"), 1)),
            coordinator: Coordinator::new(&[nobody], "unused")?,
            folder: folder.to_owned(),
            files,
        })
    }

    fn origin(&self) -> PathBuf {
        self.folder.join("origin/example/large")
    }

    fn head(&self) -> anyhow::Result<String> {
        git(&self.origin(), &["rev-parse", "HEAD"])
    }

    /// The next commit.
    fn change(&self, round: usize) -> anyhow::Result<String> {
        for number in (0..self.files).step_by((self.files / CHANGED).max(1)) {
            let file = format!("folder-{}/file-{number}", number / FILES_A_FOLDER);
            fs::write(self.origin().join(file), format!("changed in round {round}\n"))?;
        }
        git(&self.origin(), &["commit", "--quiet", "--all", "-m", "changed"])?;
        self.head()
    }

    async fn checkout(&self, kept: &Kept, commit: &str) -> anyhow::Result<Duration> {
        // On the file system of what is kept, as in an agent.
        let job = self.folder.join("job");
        let work = job.join("work");
        fs::create_dir_all(work.join("large"))?;
        let user = ContainerUser { uid: 1001, gid: 1001, ..ContainerUser::root() };
        let target = Target {
            staging: job.join("checkout"),
            work: &work,
            workspace: PathBuf::from("large"),
            user: &user,
            kept,
        };
        let source = Source::Git {
            clone_url: self.server.clone_url("example/large"),
            repository: "example/large".to_owned(),
            git_ref: "refs/heads/main".to_owned(),
            sha: commit.to_owned(),
        };
        let with = std::iter::empty::<(&str, &str)>().collect();
        let begin = Instant::now();
        let done = checkout(&self.coordinator, &source, &with, None, &target, &mut |_| {}).await;
        let took = begin.elapsed();
        let done = done.map_err(|error| anyhow::anyhow!("{error:?}"))?;
        ensure!(done.as_deref() == Some(commit), "another commit was checked out");
        let last = self.files - 1;
        let last = format!("large/folder-{}/file-{last}", last / FILES_A_FOLDER);
        ensure!(work.join(&last).is_file(), "{last} is missing");
        self.put_aside(&job)?;
        Ok(took)
    }

    /// Puts away what was made, to be removed at the end: ext4 gives no inode away again for some seconds after its file is gone, and whoever
    /// makes many files meanwhile, ours or git, mostly waits for the kernel to look for others.
    fn put_aside(&self, folder: &Path) -> anyhow::Result<()> {
        let aside = self.folder.join("aside");
        fs::create_dir_all(&aside)?;
        let done = fs::read_dir(&aside)?.count();
        Ok(fs::rename(folder, aside.join(done.to_string()))?)
    }

    fn clone_by_hand(&self, round: usize) -> anyhow::Result<Duration> {
        let to = format!("clone-{round}");
        let begin = Instant::now();
        git(&self.folder, &["clone", "--quiet", "origin/example/large", &to])?;
        let took = begin.elapsed();
        self.put_aside(&self.folder.join(to))?;
        Ok(took)
    }

    async fn until_ready(&self, commit: &str) -> anyhow::Result<()> {
        let ready = self.folder.join("agent/checkouts/ready");
        let begin = Instant::now();
        loop {
            let trees = fs::read_dir(&ready).into_iter().flatten().flatten();
            let heads = trees.filter_map(|tree| fs::read_to_string(tree.path().join(".git/HEAD")).ok());
            if { heads }.any(|head| head.trim() == commit) {
                return Ok(());
            }
            ensure!(begin.elapsed() < PATIENCE, "no checkout was made ready");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}
