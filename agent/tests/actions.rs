//! Actions fetched from a real git server: once for all who ask, and whole or not at all.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};

use slipway_agent::actions::{ActionStore, ActionsSource, FetchError, Fetched};
use slipway_agent::failure::Cause;
use slipway_tests::{GitServer, Verdict};
use tempfile::TempDir;

/// A git server that counts fetches, and can leave one without an answer.
struct Forge {
    folder: TempDir,
    address: String,
    fetches: Arc<AtomicUsize>,
    held: Arc<AtomicBool>,
    /// Hears of each fetch that is held.
    holding: mpsc::Receiver<()>,
}

impl Forge {
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (fetches, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        let (hold, holding) = mpsc::channel();
        let (counted, silent) = (Arc::clone(&fetches), Arc::clone(&held));
        let server = GitServer::start_with(folder.path(), move |request| {
            if !request.body.windows(13).any(|part| part == b"command=fetch") {
                return Verdict::Answer;
            }
            counted.fetch_add(1, Ordering::SeqCst);
            if !silent.load(Ordering::SeqCst) {
                return Verdict::Answer;
            }
            // Nobody listens any more when the test has failed.
            let _ = hold.send(());
            Verdict::Silence
        });
        Self { folder, address: server.url(), fetches, held, holding }
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("octo/act")
    }

    fn commit(&self, text: &str) -> String {
        let folder = self.repository();
        if !folder.exists() {
            std::fs::create_dir_all(&folder).unwrap();
            git(&folder, &["init", "--quiet", "--initial-branch=main"]);
        }
        std::fs::write(folder.join("action.yml"), text).unwrap();
        git(&folder, &["add", "."]);
        git(&folder, &["commit", "--quiet", "--message", text]);
        git(&folder, &["rev-parse", "HEAD"])
    }

    fn store(&self, folder: &Path) -> ActionStore {
        ActionStore::new(ActionsSource::Url(self.address.clone()), folder.to_owned())
    }
}

fn git(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"])
        .args(arguments);
    let done = command.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

async fn fetch(store: &ActionStore, git_ref: &str) -> Result<Fetched, FetchError> {
    store.fetch("Octo/Act", git_ref, None, &mut |_| {}).await
}

fn text(fetched: &Fetched) -> String {
    std::fs::read_to_string(fetched.folder.join("action.yml")).unwrap()
}

/// GitHub ignores the case of names, this server does not.
fn with_githubs_names(forge: &Forge) {
    std::fs::create_dir_all(forge.folder.path().join("Octo")).unwrap();
    std::os::unix::fs::symlink(forge.repository(), forge.folder.path().join("Octo/Act")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_branches_and_commits_come_over_http() {
    let forge = Forge::start();
    let first = forge.commit("first");
    git(&forge.repository(), &["tag", "--annotate", "--message", "x", "v1"]);
    let second = forge.commit("second");
    with_githubs_names(&forge);
    let folder = tempfile::tempdir().unwrap();
    let store = forge.store(folder.path());
    for (git_ref, commit, content) in
        [("v1", &first, "first"), ("main", &second, "second"), (first.as_str(), &first, "first")]
    {
        let fetched = fetch(&store, git_ref).await.unwrap();
        assert_eq!((fetched.commit.as_ref(), text(&fetched).as_str()), (Some(commit), content), "{git_ref}");
    }
    assert_eq!(forge.fetches.load(Ordering::SeqCst), 2, "each commit once");
    let none = store.fetch("octo/none", "v1", None, &mut |_| {}).await;
    assert!(matches!(none, Err(FetchError::Missing(_))), "{none:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_at_the_same_time_shares_one_fetch() {
    let forge = Forge::start();
    forge.commit("first");
    with_githubs_names(&forge);
    let folder = tempfile::tempdir().unwrap();
    // Two stores stand for two processes: they share nothing but the folder.
    let (one, other) = (forge.store(folder.path()), forge.store(folder.path()));
    let all =
        tokio::join!(fetch(&one, "main"), fetch(&one, "main"), fetch(&other, "main"), fetch(&other, "main"));
    for fetched in [all.0, all.1, all.2, all.3] {
        assert_eq!(text(&fetched.unwrap()), "first");
    }
    assert_eq!(forge.fetches.load(Ordering::SeqCst), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_out_of_reach_is_the_fleets_failure() {
    let forge = Forge::start();
    let commit = forge.commit("first");
    with_githubs_names(&forge);
    let folder = tempfile::tempdir().unwrap();
    drop(fetch(&forge.store(folder.path()), "main").await.unwrap());
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let away = ActionStore::new(ActionsSource::Url(format!("http://{nobody}")), folder.path().to_owned());
    let Err(FetchError::Fleet(failure)) = fetch(&away, "main").await else {
        panic!("a branch is not guessed")
    };
    assert_eq!(failure.cause, Cause::ActionUnavailable);
    assert!(failure.message.contains("--actions-source"), "{failure}");
    assert_eq!(text(&fetch(&away, &commit).await.unwrap()), "first");
}

/// Where the process of the next test works, which that kills.
const VICTIM: &str = "SLIPWAY_TEST_FETCH_VICTIM";

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_fetch_leaves_nothing_half_done() {
    if let Ok(told) = std::env::var(VICTIM) {
        let (address, folder) = told.split_once(' ').unwrap();
        let store = ActionStore::new(ActionsSource::Url(address.to_owned()), folder.into());
        let fetched = fetch(&store, "main").await;
        panic!("it was to be killed: {fetched:?}");
    }
    let forge = Forge::start();
    let commit = forge.commit("first");
    with_githubs_names(&forge);
    let folder = tempfile::tempdir().unwrap();
    forge.held.store(true, Ordering::SeqCst);
    let mut victim = Command::new(std::env::current_exe().unwrap());
    victim.args(["--exact", "a_killed_fetch_leaves_nothing_half_done", "--nocapture"]);
    victim.env(VICTIM, format!("{} {}", forge.address, folder.path().display()));
    let mut victim = victim.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let forge = tokio::task::spawn_blocking(move || {
        forge.holding.recv().unwrap();
        forge
    });
    let forge = forge.await.unwrap();
    victim.kill().unwrap();
    victim.wait().unwrap();
    let entries = |name: &str| std::fs::read_dir(folder.path().join(name)).map_or(0, Iterator::count);
    assert_eq!((entries(".staging"), entries("octo/act")), (1, 0));

    forge.held.store(false, Ordering::SeqCst);
    let store = forge.store(folder.path());
    assert_eq!(entries(".staging"), 0, "swept at the start");
    let fetched = fetch(&store, "main").await.unwrap();
    assert_eq!((fetched.commit.as_ref(), text(&fetched).as_str()), (Some(&commit), "first"));
    assert_eq!(entries(".staging"), 0);
}
