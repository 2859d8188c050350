//! What an agent keeps of repositories: mirrors and ready trees change how soon a checkout is there, and nothing of what it is.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod fleet;

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fleet::coordinator::FakeCoordinator;
use fleet::{Place, job, run};
use slipway_agent::checkout::kept::Kept;
use slipway_agent::checkout::{CheckoutError, Target, checkout};
use slipway_agent::coordinator::{Coordinator, Server};
use slipway_agent::disk::DiskState;
use slipway_agent::docker::passwd::ContainerUser;
use slipway_agent::limits::MIRRORS_MAX;
use slipway_kit::shutdown::{self, Stage};
use slipway_proto::v1::Result::Success;
use slipway_tests::{GitServer, Verdict};
use slipway_workflow::job_spec::Source;
use tempfile::TempDir;
use tokio::sync::watch;

/// Enough that a tree is made ready.
const MANY: usize = 1_200;

fn git(folder: &Path, arguments: &[&str]) -> String {
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
struct Scene {
    folder: TempDir,
    server: GitServer,
    /// Bytes that were posted, which is what a client says it has and wants.
    asked: Arc<AtomicUsize>,
    /// Who is answered; empty: everybody.
    token: Arc<Mutex<String>>,
    kept: Arc<Kept>,
    user: ContainerUser,
    places: AtomicUsize,
}

/// `x-access-token:s3cret`, as forges take tokens.
const BASIC: &str = "basic eC1hY2Nlc3MtdG9rZW46czNjcmV0";

impl Scene {
    fn new(ready: usize) -> Self {
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
        let user = ContainerUser { uid: 1001, gid: 1001, home: "/home/runner".to_owned() };
        Self { folder, server, asked, token, kept, user, places: AtomicUsize::new(0) }
    }

    fn origin(&self) -> PathBuf {
        self.folder.path().join("origin/octo/hello")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.origin().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn commit(&self, message: &str) -> String {
        git(&self.origin(), &["add", "--all"]);
        git(&self.origin(), &["commit", "--quiet", "--allow-empty", "-m", message]);
        git(&self.origin(), &["rev-parse", "HEAD"])
    }

    /// Checks out as a job does; gives the workspace and what was said.
    async fn try_checkout(
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

    async fn checkout(&self, sha: &str, with: &[(&str, &str)]) -> (PathBuf, Vec<String>) {
        let (workspace, said, done) = self.try_checkout(&self.kept, sha, with).await;
        done.unwrap_or_else(|error| panic!("{error:?}: {said:#?}"));
        (workspace, said)
    }

    /// Checks out with what is kept and without, and compares all that a job can see.
    async fn compare(&self, sha: &str, with: &[(&str, &str)]) -> Vec<String> {
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
    fn keep(&self) -> (shutdown::Trigger, watch::Sender<DiskState>) {
        let (trigger, watcher) = shutdown::channel();
        let (disk, seen) = watch::channel(DiskState::default());
        tokio::spawn(Arc::clone(&self.kept).keep(seen, watcher));
        (trigger, disk)
    }

    fn ready(&self) -> Vec<PathBuf> {
        let ready = std::fs::read_dir(self.folder.path().join("data/checkouts/ready"));
        ready.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }

    async fn until_ready(&self, commit: &str) {
        for _ in 0..600 {
            let heads = self.ready().into_iter().map(|tree| std::fs::read_to_string(tree.join(".git/HEAD")));
            if heads.flatten().any(|head| head.trim() == commit) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no tree of {commit} is ready: {:?}", self.ready());
    }

    fn mirrors(&self) -> Vec<PathBuf> {
        let mirrors = std::fs::read_dir(self.folder.path().join("data/checkouts/mirrors"));
        mirrors.into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
    }
}

fn walk(folder: &Path) -> Vec<(String, std::fs::Metadata)> {
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
fn look(workspace: &Path) -> String {
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

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_from_a_mirror_is_as_one_from_the_server() {
    let scene = Scene::new(0);
    scene.write("gone", "1\n");
    scene.write("file", "1\n");
    scene.write("folder/inner", "same\n");
    let first = scene.commit("one");
    scene.compare(&first, &[]).await;
    // Changed, gone, new, another mode, a link in a file's place.
    scene.write("file", "2\n");
    std::fs::remove_file(scene.origin().join("gone")).unwrap();
    std::os::unix::fs::symlink("file", scene.origin().join("gone")).unwrap();
    scene.write("bin/tool", "#!/bin/sh\n");
    git(&scene.origin(), &["add", "bin/tool"]);
    git(&scene.origin(), &["update-index", "--chmod=+x", "bin/tool"]);
    git(&scene.origin(), &["tag", "-a", "v1", "-m", "a tag", &first]);
    git(&scene.origin(), &["branch", "side"]);
    let second = scene.commit("two");
    for sha in [&second, &first, &second] {
        scene.compare(sha, &[]).await;
    }
    for with in [
        &[("ref", "v1")][..],
        &[("ref", "side")],
        &[("fetch-depth", "2")],
        &[("fetch-depth", "0")],
        &[("fetch-tags", "true")],
        &[("path", "below")],
        &[("sparse-checkout", "folder\n")],
    ] {
        // For the second time it is kept.
        for _ in 0..2 {
            scene.compare(&second, with).await;
        }
    }
    // A branch and a tag that are gone at the server are gone here.
    git(&scene.origin(), &["branch", "-D", "side"]);
    git(&scene.origin(), &["tag", "-d", "v1"]);
    let third = scene.commit("three");
    scene.compare(&third, &[("fetch-depth", "0")]).await;
    let (_, _, refused) = scene.try_checkout(&scene.kept, &third, &[("ref", "side")]).await;
    assert!(matches!(&refused, Err(CheckoutError::Step(message)) if message.contains("side")), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_job_does_to_its_checkout_reaches_no_other() {
    let scene = Scene::new(0);
    scene.write("file", "1\n");
    let commit = scene.commit("one");
    let (workspace, _) = scene.checkout(&commit, &[]).await;
    // As the job's user could: it owns the files.
    for pack in std::fs::read_dir(workspace.join(".git/objects/pack")).unwrap() {
        std::fs::write(pack.unwrap().path(), "nothing").unwrap();
    }
    std::fs::write(workspace.join(".git/config"), "[core]\n\tfsmonitor = touch /tmp/never\n").unwrap();
    scene.compare(&commit, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_may_not_read_a_repository_gets_nothing_of_its_mirror() {
    let scene = Scene::new(1);
    (0..MANY).for_each(|number| scene.write(&format!("many/{number}"), "x\n"));
    let commit = scene.commit("one");
    *scene.token.lock().unwrap() = BASIC.to_owned();
    let (_trigger, _disk) = scene.keep();
    scene.checkout(&commit, &[("token", "s3cret")]).await;
    scene.until_ready(&commit).await;
    for with in [&[("token", "other")][..], &[]] {
        let (workspace, said, refused) = scene.try_checkout(&scene.kept, &commit, with).await;
        assert!(
            matches!(&refused, Err(CheckoutError::Step(message)) if message.contains("`token`")),
            "{refused:?}"
        );
        assert_eq!(std::fs::read_dir(workspace).unwrap().count(), 0, "{said:#?}");
    }
    // The token of one is nothing that another finds.
    let (workspace, said) =
        scene.checkout(&commit, &[("token", "s3cret"), ("persist-credentials", "false")]).await;
    assert!(said.iter().any(|line| line.contains("is checked out already")), "{said:#?}");
    assert!(!std::fs::read_to_string(workspace.join(".git/config")).unwrap().contains("AUTHORIZATION"));
    for mirror in scene.mirrors() {
        assert!(!std::fs::read_to_string(mirror.join("config")).unwrap().contains("AUTHORIZATION"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_tree_is_as_one_from_the_server_and_is_made_anew_when_it_was_taken() {
    let scene = Scene::new(1);
    (0..MANY).for_each(|number| scene.write(&format!("many/{}/{number}", number % 7), "x\n"));
    let first = scene.commit("one");
    let (_trigger, disk) = scene.keep();
    let said = scene.compare(&first, &[]).await;
    assert!(!said.iter().any(|line| line.contains("checked out already")), "{said:#?}");
    scene.until_ready(&first).await;
    let said = scene.compare(&first, &[]).await;
    assert!(said.iter().any(|line| line.contains("is checked out already")), "{said:#?}");
    // It goes on from one commit to another, whatever changed: a folder in a file's place, a link in a folder's.
    scene.until_ready(&first).await;
    std::fs::remove_file(scene.origin().join("many/0/0")).unwrap();
    scene.write("many/0/0/now-a-folder", "y\n");
    std::fs::remove_dir_all(scene.origin().join("many/1")).unwrap();
    std::os::unix::fs::symlink("/etc", scene.origin().join("many/1")).unwrap();
    let second = scene.commit("two");
    let said = scene.compare(&second, &[]).await;
    assert!(said.iter().any(|line| line.contains("going on to what is wanted")), "{said:#?}");
    scene.until_ready(&second).await;
    let said = scene.compare(&second, &[("ref", "refs/heads/main")]).await;
    assert!(said.iter().any(|line| line.contains("is checked out already")), "{said:#?}");
    // Nothing is kept while the disk is low.
    scene.until_ready(&second).await;
    disk.send_replace(DiskState { paused: Some("low disk".to_owned()), ..DiskState::default() });
    for _ in 0..600 {
        if scene.ready().is_empty() && scene.mirrors().is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!((scene.ready(), scene.mirrors()), (Vec::new(), Vec::new()));
    scene.compare(&second, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mirror_that_is_damaged_or_in_the_way_is_made_anew() {
    let scene = Scene::new(0);
    scene.write("file", "1\n");
    let first = scene.commit("one");
    scene.checkout(&first, &[]).await;
    scene.write("file", "2\n");
    let second = scene.commit("two");
    let mirror = scene.mirrors().pop().unwrap();
    // What a git that was killed leaves.
    for lock in ["shallow.lock", "config.lock", "packed-refs.lock"] {
        std::fs::write(mirror.join(lock), "").unwrap();
    }
    let said = scene.compare(&second, &[]).await;
    assert!(!said.iter().any(|line| line.contains("without what is kept")), "{said:#?}");
    for pack in std::fs::read_dir(mirror.join("objects/pack")).unwrap() {
        let pack = pack.unwrap().path();
        std::fs::remove_file(&pack).unwrap();
        std::fs::write(pack, "nothing").unwrap();
    }
    scene.compare(&second, &[]).await;
    let _ = std::fs::remove_dir_all(&mirror);
    std::fs::write(&mirror, "no folder").unwrap();
    scene.compare(&second, &[]).await;
    assert!(scene.mirrors().iter().all(|mirror| mirror.is_dir()));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_starts_keeps_mirrors_and_no_old_trees() {
    let scene = Scene::new(1);
    (0..MANY).for_each(|number| scene.write(&format!("many/{number}"), "x\n"));
    let commit = scene.commit("one");
    let (trigger, _disk) = scene.keep();
    scene.checkout(&commit, &[]).await;
    scene.until_ready(&commit).await;
    trigger.raise(Stage::Drain);
    let before = scene.asked.load(Ordering::SeqCst);
    let again = Kept::open(&scene.folder.path().join("data"), 1);
    assert_eq!((scene.ready(), scene.mirrors().len()), (Vec::new(), 1));
    let (workspace, said, done) = scene.try_checkout(&again, &commit, &[]).await;
    assert_eq!(done.unwrap(), Some(commit), "{said:#?}");
    assert!(workspace.join("many/0").exists());
    assert!(scene.asked.load(Ordering::SeqCst) > before, "the server is asked each time");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_job_of_an_agent_finds_its_checkout_ready() {
    let scene = Scene::new(0);
    (0..MANY).for_each(|number| scene.write(&format!("many/{number}"), "x\n"));
    let commit = scene.commit("one");
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut spec = job(vec![
        fleet::checkout(&[]),
        run("look", "ls many | wc -l; stat -c %u many/7; echo mine > many/7; cat .git/HEAD"),
    ]);
    spec.source = Source::Git {
        clone_url: scene.server.clone_url("octo/hello"),
        repository: "octo/hello".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: commit,
    };
    let ready = place.folder.path().join("data/checkouts/ready");
    for round in 0..3 {
        let instance = coordinator.assign(&spec).await;
        let done = coordinator.report(&instance).await;
        let lines = done.lines();
        assert_eq!(done.result(), Success, "{lines:#?}");
        for line in ["1200", "1001", "ref: refs/heads/main"] {
            assert!(lines.iter().any(|found| found == line), "`{line}` is not in {lines:#?}");
        }
        let was_ready = lines.iter().any(|line| line.contains("is checked out already"));
        assert_eq!(was_ready, round > 0, "{round}: {lines:#?}");
        for _ in 0..600 {
            if std::fs::read_dir(&ready).is_ok_and(|mut trees| trees.next().is_some()) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(place.jobs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn code_is_fetched_while_the_image_is_pulled() {
    let scene = Scene::new(0);
    scene.write("file", "1\n");
    let commit = scene.commit("one");
    // A registry that says nothing until the test is over.
    let registry = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let image = format!("{}/never:1", registry.local_addr().unwrap());
    let (pulled, mut pulls) = tokio::sync::mpsc::channel(16);
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((connection, _)) = registry.accept().await {
            held.push(connection);
            let _ = pulled.try_send(());
        }
    });
    let coordinator = FakeCoordinator::start().await;
    let place = Place::new(&coordinator);
    let handle = place.start().await;
    let mut spec = job(vec![fleet::checkout(&[])]);
    spec.container = Some(slipway_workflow::job_spec::ContainerSpec {
        image: fleet::text(&image),
        env: Vec::new(),
        ports: Vec::new(),
        volumes: Vec::new(),
        options: None,
        credentials: None,
    });
    spec.source = Source::Git {
        clone_url: scene.server.clone_url("octo/hello"),
        repository: "octo/hello".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: commit.clone(),
    };
    let instance = coordinator.assign(&spec).await;
    pulls.recv().await.unwrap();
    let there = || {
        let mirrors = std::fs::read_dir(place.folder.path().join("data/checkouts/mirrors"));
        let mut mirrors = mirrors.into_iter().flatten().flatten();
        mirrors.any(|mirror| mirror.path().join("refs/kept").join(&commit).exists())
    };
    for _ in 0..600 {
        if there() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(there(), "{commit} never came while the image was pulled");
    coordinator.cancel(&instance).await;
    silent.abort();
    coordinator.report(&instance).await;
    handle.trigger().raise(Stage::Drain);
    handle.wait().await.unwrap();
    assert_eq!(place.jobs(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_mirrors_stay_than_may_and_the_last_used_do() {
    let scene = Scene::new(0);
    scene.write("file", "1\n");
    let commit = scene.commit("one");
    let mirrors = scene.folder.path().join("data/checkouts/mirrors");
    let long_ago = std::time::SystemTime::now() - Duration::from_secs(3_600);
    for number in 0..MIRRORS_MAX + 3 {
        let old = mirrors.join(format!("old-{number}"));
        std::fs::create_dir_all(&old).unwrap();
        std::fs::File::open(&old).unwrap().set_modified(long_ago).unwrap();
    }
    let (_trigger, _disk) = scene.keep();
    scene.checkout(&commit, &[]).await;
    for _ in 0..600 {
        if scene.mirrors().len() == MIRRORS_MAX {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(scene.mirrors().len(), MIRRORS_MAX);
    assert!(scene.mirrors().iter().any(|mirror| mirror.join("HEAD").is_file()), "the one in use stays");
}
