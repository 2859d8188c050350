#![allow(clippy::unwrap_used, clippy::panic)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::*;
use crate::docker::passwd::ContainerUser;

/// A source folder with the repository `Octo/Act`, and a store.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn new() -> Self {
        let scene = Self { folder: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(scene.repository()).unwrap();
        scene.git(&["init", "--quiet", "--initial-branch=main"]);
        scene
    }

    fn repository(&self) -> PathBuf {
        self.folder.path().join("source/Octo/Act")
    }

    fn source(&self) -> ActionsSource {
        ActionsSource::Folder(self.folder.path().join("source"))
    }

    fn store(&self) -> ActionStore {
        self.limited(StoreLimits::default())
    }

    fn limited(&self, limits: StoreLimits) -> ActionStore {
        ActionStore::with_limits(self.source(), self.kept(), limits)
    }

    fn kept(&self) -> PathBuf {
        self.folder.path().join("actions")
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.repository());
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, text: &str) -> String {
        std::fs::write(self.repository().join("action.yml"), text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "--message", text]);
        self.git(&["rev-parse", "HEAD"])
    }
}

async fn fetch(store: &ActionStore, git_ref: &str, pin: Option<&str>) -> Result<Fetched, FetchError> {
    store.fetch("octo/act", git_ref, pin, &mut |_| {}).await
}

fn missing(result: Result<Fetched, FetchError>) -> String {
    match result.unwrap_err() {
        FetchError::Missing(message) => message,
        FetchError::Fleet(failure) => panic!("{failure:?}"),
    }
}

fn text(fetched: &Fetched) -> String {
    String::from_utf8(fetched.read(Path::new("action.yml"), 100).unwrap().unwrap()).unwrap()
}

fn me() -> ContainerUser {
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    ContainerUser { uid, gid, ..ContainerUser::root() }
}

#[test]
fn names_are_taken_apart_or_refused() {
    for (text, key) in [("Actions/Cache", "actions/cache"), ("o/.github", "o/.github"), ("o/r.git", "o/r")] {
        assert_eq!(RepositoryName::parse(text).unwrap().key(), key);
    }
    for bad in
        ["", "o", "o/", "/r", "../r", "o/..", "o/.", ".locks/r", "o/r/x", "-o/r", "o/a b", "o/a+b", "o/a:b"]
    {
        assert!(RepositoryName::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn sources_are_read_or_refused() {
    assert_eq!(
        ActionsSource::parse("https://forge.example/git/").unwrap(),
        ActionsSource::Url("https://forge.example/git".to_owned())
    );
    assert_eq!(ActionsSource::parse("file:///a/b").unwrap(), ActionsSource::Folder("/a/b".into()));
    for bad in ["", "github.com", "ssh://host", "file://relative"] {
        assert!(ActionsSource::parse(bad).is_err(), "{bad}");
    }
}

#[tokio::test]
async fn tags_come_before_branches_and_annotated_ones_are_peeled() {
    let scene = Scene::new();
    let first = scene.commit("first");
    scene.git(&["tag", "--annotate", "--message", "x", "v1"]);
    scene.git(&["tag", "both"]);
    let second = scene.commit("second");
    scene.git(&["branch", "both"]);
    let store = scene.store();
    for (git_ref, commit) in [
        ("v1", &first),
        ("both", &first),
        ("main", &second),
        ("refs/heads/both", &second),
        (second.to_ascii_uppercase().as_str(), &second),
    ] {
        let fetched = fetch(&store, git_ref, None).await.unwrap();
        assert_eq!(fetched.commit.as_ref(), Some(commit), "{git_ref}");
        assert!(!fetched.folder.join(".git").exists());
    }
    assert_eq!(text(&fetch(&store, "v1", None).await.unwrap()), "first");
    assert_eq!(resolve(&scene.source(), "OCTO/act", "v1").await.unwrap(), Some(first));
}

#[tokio::test]
async fn what_the_workflow_names_wrong_is_its_own_fault() {
    let scene = Scene::new();
    let commit = scene.commit("first");
    let blob = scene.git(&["rev-parse", "HEAD:action.yml"]);
    let (store, none) = (scene.store(), "1".repeat(40));
    for (git_ref, pin, words) in [
        ("v9", None, "no such tag or branch"),
        (&commit[..10], None, "all 40 digits"),
        ("a..b", None, "not the name of a version"),
        (&none, None, "no commit"),
        (&blob, None, "no commit"),
        ("main", Some(none.as_str()), "no commit"),
        ("main", Some("abc"), "lock file"),
        (&commit, Some(none.as_str()), "lock file"),
    ] {
        let message = missing(fetch(&store, git_ref, pin).await);
        assert!(message.contains(words) && message.contains("octo/act"), "{git_ref}: {message}");
    }
    assert!(missing(store.fetch("octo/none", "v1", None, &mut |_| {}).await).contains("octo/none"));
    assert!(missing(store.fetch("octo", "v1", None, &mut |_| {}).await).contains("owner/name"));
    assert_eq!(std::fs::read_dir(scene.kept().join(".staging")).unwrap().count(), 0);
}

#[tokio::test]
async fn a_pin_outweighs_a_tag_that_moved_and_needs_no_source_once_kept() {
    let scene = Scene::new();
    let first = scene.commit("first");
    scene.commit("second");
    scene.git(&["tag", "v1"]);
    let store = scene.store();
    assert_eq!(text(&fetch(&store, "v1", Some(&first)).await.unwrap()), "first");
    assert_eq!(text(&fetch(&store, "v1", None).await.unwrap()), "second");
    // A repository that git finds nothing in.
    for gone in ["objects", "refs"] {
        std::fs::remove_dir_all(scene.repository().join(".git").join(gone)).unwrap();
    }
    assert_eq!(text(&fetch(&store, "v1", Some(&first)).await.unwrap()), "first");
    assert_eq!(text(&fetch(&store, &first, None).await.unwrap()), "first");
    assert!(fetch(&store, "v1", None).await.is_err(), "a tag is not guessed");
}

#[tokio::test]
async fn what_is_damaged_is_fetched_again() {
    let scene = Scene::new();
    std::os::unix::fs::symlink("action.yml", scene.repository().join("link")).unwrap();
    std::fs::write(scene.repository().join("run.sh"), "#!/bin/sh\n").unwrap();
    std::fs::set_permissions(scene.repository().join("run.sh"), std::fs::Permissions::from_mode(0o755))
        .unwrap();
    std::fs::write(scene.repository().join(".gitattributes"), "* eol=crlf ident\n").unwrap();
    std::fs::write(scene.repository().join("ident"), "$Id$\n").unwrap();
    let commit = scene.commit("second");
    let store = scene.store();
    let tree = fetch(&store, &commit, None).await.unwrap().folder;
    let marker = tree.with_extension("json");
    let damages: [&dyn Fn(); 6] = [
        &|| std::fs::write(tree.join("action.yml"), "secone").unwrap(),
        &|| std::fs::remove_file(tree.join("link")).unwrap(),
        &|| std::fs::write(tree.join("more"), "").unwrap(),
        &|| std::fs::set_permissions(tree.join("run.sh"), std::fs::Permissions::from_mode(0o644)).unwrap(),
        &|| std::fs::write(&marker, "{}").unwrap(),
        &|| std::fs::remove_file(&marker).unwrap(),
    ];
    for damage in damages {
        damage();
        let fetched = fetch(&store, &commit, None).await.unwrap();
        assert_eq!(text(&fetched), "second");
        assert_eq!(std::fs::read(tree.join("ident")).unwrap(), b"$Id$\n", "bytes are the commit's");
        assert!(tree.join("link").is_symlink() && !tree.join("more").exists() && marker.is_file());
    }
}

#[tokio::test]
async fn limits_hold_and_what_is_in_use_stays() {
    let scene = Scene::new();
    let mut commits = Vec::new();
    for number in 1..=4 {
        commits.push(scene.commit(&number.to_string()));
    }
    let small = scene.limited(StoreLimits { bytes: 0, ..StoreLimits::default() });
    assert!(missing(fetch(&small, &commits[0], None).await).contains("too large"));

    // Each takes a bit more than one page.
    let store = scene.limited(StoreLimits { kept_bytes: 2 * 4_500, ..StoreLimits::default() });
    let used = fetch(&store, &commits[0], None).await.unwrap();
    for commit in &commits[1..] {
        drop(fetch(&store, commit, None).await.unwrap());
    }
    let there = |number: usize| scene.kept().join("octo/act").join(&commits[number]).exists();
    assert_eq!([there(0), there(1), there(2), there(3)], [true, false, false, true]);
    assert_eq!(text(&used), "1");
    drop(used);
    drop(fetch(&store, &commits[1], None).await.unwrap());
    assert!(!there(0), "nobody uses it any more");
}

#[tokio::test]
async fn leftovers_go_at_the_start_and_what_is_being_made_stays() {
    let scene = Scene::new();
    let commit = scene.commit("first");
    drop(fetch(&scene.store(), &commit, None).await.unwrap());
    let kept = scene.kept();
    let noteless = kept.join("octo/act").join("2".repeat(40));
    let (left, making) = (kept.join(".staging/octo+act+1"), kept.join(".staging/octo+other+1"));
    for folder in [&noteless, &left, &making] {
        std::fs::create_dir_all(folder).unwrap();
    }
    let other = RepositoryName::parse("octo/other").unwrap();
    std::fs::remove_dir(&making).unwrap();
    let _lock = lock::RepositoryLock::take(&kept, &other).await.unwrap();
    std::fs::create_dir(&making).unwrap();
    let store = scene.store();
    assert!(!noteless.exists() && !left.exists() && making.exists());
    assert_eq!(text(&fetch(&store, &commit, None).await.unwrap()), "first");
}

#[tokio::test]
async fn a_plain_folder_is_one_version_and_has_no_commit() {
    let scene = Scene::new();
    let folder = scene.folder.path().join("source/octo/plain");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("action.yml"), "plain").unwrap();
    let store = scene.store();
    let pin = "1".repeat(40);
    let mut said = Vec::new();
    let fetched = store.fetch("Octo/Plain", "v1", Some(&pin), &mut |line| said.push(line)).await.unwrap();
    assert_eq!((text(&fetched).as_str(), fetched.commit.as_deref()), ("plain", None));
    assert!(said[0].contains("no git repository"), "{said:?}");
    std::fs::write(folder.join("action.yml"), "changed").unwrap();
    assert_eq!(text(&store.fetch("octo/plain", "v1", None, &mut |_| {}).await.unwrap()), "changed");
}

#[tokio::test]
async fn a_copy_replaces_what_is_there_and_follows_no_link() {
    let scene = Scene::new();
    scene.commit("first");
    std::os::unix::fs::symlink("/etc", scene.repository().join("out")).unwrap();
    std::fs::create_dir(scene.repository().join("sub")).unwrap();
    std::fs::write(scene.repository().join("sub/index.js"), "1").unwrap();
    scene.commit("second");
    let fetched = fetch(&scene.store(), "main", None).await.unwrap();
    assert!(fetched.read(Path::new("out/passwd"), 10).is_err(), "a link out of the tree");
    assert_eq!(fetched.read(Path::new("none/action.yml"), 10).unwrap(), None);

    let work = scene.folder.path().join("job/work");
    let relative = Path::new("_actions/octo/act/main");
    std::fs::create_dir_all(work.join(relative)).unwrap();
    std::fs::write(work.join(relative).join("old"), "").unwrap();
    place(&fetched, &work, relative, &me()).await.unwrap();
    let placed = work.join(relative);
    assert_eq!(std::fs::read_to_string(placed.join("sub/index.js")).unwrap(), "1");
    assert!(placed.join("out").is_symlink() && !placed.join("old").exists());
    // A copy, not a second name of the same file.
    std::fs::write(placed.join("action.yml"), "by a step").unwrap();
    assert_eq!(text(&fetched), "second");

    let outside = scene.folder.path().join("outside");
    std::fs::create_dir(&outside).unwrap();
    std::fs::remove_dir_all(work.join("_actions/octo")).unwrap();
    std::os::unix::fs::symlink(&outside, work.join("_actions/octo")).unwrap();
    assert!(place(&fetched, &work, relative, &me()).await.is_err());
    assert!(place(&fetched, &work, Path::new("../x"), &me()).await.is_err());
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    let left: Vec<_> = std::fs::read_dir(work.parent().unwrap()).unwrap().flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}
