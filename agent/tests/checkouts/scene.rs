//! A repository behind a server that counts, an agent's data directory, and what a job sees of a checkout.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use slipway_agent::checkout::kept::Kept;
use slipway_agent::checkout::{CheckoutError, Target, checkout};
use slipway_agent::coordinator::{Coordinator, Server};
use slipway_agent::disk::DiskState;
use slipway_agent::docker::passwd::ContainerUser;
use slipway_kit::shutdown;
use slipway_tests::{GitServer, Verdict};
use slipway_workflow::job_spec::Source;
use tempfile::TempDir;
use tokio::sync::watch;

/// Enough that a tree is made ready.
pub(crate) const MANY: usize = 1_200;

pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.current_dir(folder).args([
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.com",
        "-c",
        "safe.directory=*",
    ]);
    // A look changes nothing.
    let done = command.env("GIT_OPTIONAL_LOCKS", "0").args(arguments).output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

/// A repository behind a server that counts what it is asked, and an agent's data directory.
pub(crate) struct Scene {
    pub(crate) folder: TempDir,
    pub(crate) server: GitServer,
    /// Bytes that were posted, which is what a client says it has and wants.
    pub(crate) asked: Arc<AtomicUsize>,
    /// Who is answered; empty: everybody.
    pub(crate) token: Arc<Mutex<String>>,
    pub(crate) kept: Arc<Kept>,
    user: ContainerUser,
    places: AtomicUsize,
}

impl Scene {
    pub(crate) fn new(ready: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let origin = folder.path().join("origin/octo/hello");
        std::fs::create_dir_all(&origin).unwrap();
        git(&origin, &["init", "--quiet", "-b", "main"]);
        let (asked, token) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(String::new())));
        let (count, wanted) = (Arc::clone(&asked), Arc::clone(&token));
        let server = GitServer::start_with(&folder.path().join("origin"), move |request| {
            count.fetch_add(1, Ordering::SeqCst);
            let wanted = wanted.lock().unwrap();
            match wanted.is_empty() || request.authorization == *wanted {
                true => Verdict::Answer,
                false => Verdict::AskWho,
            }
        });
        let kept = Arc::new(Kept::open(&folder.path().join("data"), ready));
        let user = ContainerUser { uid: 1001, gid: 1001, ..ContainerUser::root() };
        Self { folder, server, asked, token, kept, user, places: AtomicUsize::new(0) }
    }

    pub(crate) fn origin(&self) -> PathBuf {
        self.folder.path().join("origin/octo/hello")
    }

    pub(crate) fn write(&self, path: &str, text: &str) {
        let path = self.origin().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn commit(&self, message: &str) -> String {
        git(&self.origin(), &["add", "--all"]);
        git(&self.origin(), &["commit", "--quiet", "--allow-empty", "-m", message]);
        git(&self.origin(), &["rev-parse", "HEAD"])
    }

    /// Checks out as a job does; gives the workspace and what was said.
    pub(crate) async fn try_checkout(
        &self,
        kept: &Kept,
        sha: &str,
        with: &[(&str, &str)],
    ) -> (PathBuf, Vec<String>, Result<Option<String>, CheckoutError>) {
        let job =
            self.folder.path().join("data/jobs").join(self.places.fetch_add(1, Ordering::SeqCst).to_string());
        let work = job.join("work");
        std::fs::create_dir_all(work.join("hello")).unwrap();
        let target = Target {
            staging: job.join("checkout"),
            work: &work,
            workspace: PathBuf::from("hello"),
            user: &self.user,
            kept,
        };
        // It is for uploaded trees.
        let nobody = Server::new("http://127.0.0.1:9", None, false).unwrap();
        let coordinator = Coordinator::new(&[nobody], "token").unwrap();
        let source = Source::Git {
            clone_url: self.server.clone_url("octo/hello"),
            repository: "octo/hello".to_owned(),
            git_ref: "refs/heads/main".to_owned(),
            sha: sha.to_owned(),
        };
        let mut said = Vec::new();
        let with = with.iter().copied().collect();
        let done = checkout(&coordinator, &source, &with, None, &target, &mut |line| said.push(line)).await;
        (work.join("hello"), said, done)
    }

    pub(crate) async fn checkout(&self, sha: &str, with: &[(&str, &str)]) -> (PathBuf, Vec<String>) {
        let (workspace, said, done) = self.try_checkout(&self.kept, sha, with).await;
        done.unwrap_or_else(|error| panic!("{error:?}: {said:#?}"));
        (workspace, said)
    }

    /// Checks out with what is kept and without, and compares all that a job can see.
    pub(crate) async fn compare(&self, sha: &str, with: &[(&str, &str)]) -> Vec<String> {
        let (workspace, said) = self.checkout(sha, with).await;
        let nothing = tempfile::tempdir().unwrap();
        let fresh = Kept::open(nothing.path(), 0);
        let (plain, _, done) = self.try_checkout(&fresh, sha, with).await;
        done.unwrap();
        let path = with.iter().find(|(name, _)| *name == "path").map_or("", |(_, path)| path);
        let (workspace, plain) = (workspace.join(path), plain.join(path));
        assert_eq!(look(&workspace), look(&plain), "{with:?}: {said:#?}");
        for (path, found) in walk(&workspace) {
            assert_eq!((found.uid(), found.gid()), (1001, 1001), "{path} is not the user's: {said:#?}");
        }
        git(&workspace, &["fsck", "--strict", "--connectivity-only"]);
        said
    }

    /// Makes trees ready until the test ends.
    pub(crate) fn keep(&self) -> (shutdown::Trigger, watch::Sender<DiskState>) {
        let (trigger, watcher) = shutdown::channel();
        let (disk, seen) = watch::channel(DiskState::default());
        tokio::spawn(Arc::clone(&self.kept).keep(seen, watcher));
        (trigger, disk)
    }

    pub(crate) fn ready(&self) -> Vec<PathBuf> {
        let ready = std::fs::read_dir(self.folder.path().join("data/checkouts/ready"));
        ready.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    pub(crate) async fn until_ready(&self, commit: &str) {
        for _ in 0..600 {
            let heads = self.ready().into_iter().map(|tree| std::fs::read_to_string(tree.join(".git/HEAD")));
            if heads.flatten().any(|head| head.trim() == commit) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no tree of {commit} is ready: {:?}", self.ready());
    }

    pub(crate) fn mirrors(&self) -> Vec<PathBuf> {
        let mirrors = std::fs::read_dir(self.folder.path().join("data/checkouts/mirrors"));
        mirrors.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }
}

pub(crate) fn walk(folder: &Path) -> Vec<(String, std::fs::Metadata)> {
    let (mut waiting, mut found) = (vec![folder.to_owned()], Vec::new());
    while let Some(path) = waiting.pop() {
        let about = std::fs::symlink_metadata(&path).unwrap();
        if about.is_dir() {
            waiting.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        }
        found.push((path.strip_prefix(folder).unwrap().display().to_string(), about));
    }
    found
}

/// All that a job's own git, and a look at its files, shows.
pub(crate) fn look(workspace: &Path) -> String {
    let mut files: Vec<String> = walk(workspace)
        .into_iter()
        .filter(|(path, _)| !path.starts_with(".git/"))
        .map(|(path, found)| {
            let whole = workspace.join(&path);
            let content = match found.file_type() {
                kind if kind.is_symlink() => std::fs::read_link(whole).unwrap().display().to_string(),
                kind if kind.is_file() => std::fs::read_to_string(whole).unwrap(),
                _ => String::new(),
            };
            format!("{path} {:o} {content}", found.mode())
        })
        .collect();
    files.sort();
    let shallow = std::fs::read_to_string(workspace.join(".git/shallow")).unwrap_or_default();
    let asked = [
        &["status", "--porcelain", "--branch"][..],
        &["log", "--format=%H %s"],
        &["for-each-ref", "--format=%(refname) %(objectname)"],
        &["rev-parse", "HEAD"],
        &["config", "--local", "--list"],
    ];
    let told: Vec<String> = asked.iter().map(|asked| git(workspace, asked)).collect();
    format!("{files:#?}\n{told:#?}\n{shallow}")
}
