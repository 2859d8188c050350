#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::{Change, MirrorError, Mirrors, is_commit, is_ref};

struct Repository {
    folder: TempDir,
    mirrors: Mirrors,
    _data: TempDir,
}

impl Repository {
    fn new() -> Self {
        let (folder, data) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let repository = Self { mirrors: Mirrors::new(data.path().to_owned()), folder, _data: data };
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["config", "uploadpack.allowAnySHA1InWant", "true"]);
        repository
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.folder.path());
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.invalid"]).args(arguments);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn commit(&self, file: &str, text: &str) -> String {
        let path = self.folder.path().join(file);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).unwrap();
        std::fs::write(path, text).unwrap();
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", &format!("Change {file}\n\nBecause.")]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn url(&self) -> String {
        format!("file://{}", self.folder.path().display())
    }

    async fn changed(&self, change: Change) -> Option<Vec<String>> {
        self.mirrors.changed(&self.url(), &change).await.unwrap()
    }
}

#[tokio::test]
async fn differences_are_githubs() {
    let repository = Repository::new();
    let root = repository.commit("a", "1");
    let second = repository.commit("b", "1");
    let between = Change::Between { before: root.clone(), after: second.clone() };
    assert_eq!(repository.changed(between).await.unwrap(), ["b"]);
    let gone = Change::Between { before: "1".repeat(40), after: second.clone() };
    assert_eq!(repository.changed(gone).await, None);
    let from_nothing = Change::Since { first: root.clone(), after: second.clone() };
    assert_eq!(repository.changed(from_nothing).await.unwrap(), ["a", "b"]);
    let from_second = Change::Since { first: second.clone(), after: second.clone() };
    assert_eq!(repository.changed(from_second).await.unwrap(), ["b"]);

    repository.git(&["checkout", "--quiet", "-b", "topic"]);
    let head = repository.commit("c", "1");
    repository.git(&["checkout", "--quiet", "main"]);
    let base = repository.commit("b", "2");
    let topic = Change::Topic { base, head };
    assert_eq!(repository.changed(topic).await.unwrap(), ["c"], "what the base got since does not count");
}

#[tokio::test]
async fn a_topic_older_than_the_first_depth_is_found() {
    let repository = Repository::new();
    repository.commit("a", "0");
    repository.git(&["checkout", "--quiet", "-b", "topic"]);
    for number in 0..60 {
        repository.git(&["commit", "--quiet", "--allow-empty", "--message", &number.to_string()]);
    }
    let head = repository.commit("t", "1");
    repository.git(&["checkout", "--quiet", "main"]);
    let base = repository.commit("m", "1");
    assert_eq!(repository.changed(Change::Topic { base, head }).await.unwrap(), ["t"]);
}

#[tokio::test]
async fn tips_parents_messages_and_files_are_read() {
    let repository = Repository::new();
    let first = repository.commit(".github/workflows/a.yml", "on: push");
    let second = repository.commit(".github/workflows/deep/b.yml", "on: push");
    let (mirrors, url) = (&repository.mirrors, repository.url());
    assert_eq!(mirrors.tip(&url, "refs/heads/main").await.unwrap(), second);
    let missing = mirrors.tip(&url, "refs/heads/none").await.unwrap_err();
    assert!(matches!(missing, MirrorError::Missing(_)), "{missing}");
    assert_eq!(mirrors.parents(&url, &second).await.unwrap(), std::slice::from_ref(&first));
    assert_eq!(
        mirrors.message(&url, &second).await.unwrap(),
        "Change .github/workflows/deep/b.yml\n\nBecause."
    );
    let files = mirrors.workflows(&url, &second).await.unwrap();
    assert_eq!(files.iter().map(|file| file.path.as_str()).collect::<Vec<_>>(), [".github/workflows/a.yml"]);
    let file = mirrors.file(&url, &first, ".github/workflows/a.yml").await.unwrap().unwrap();
    assert_eq!(file.text.as_deref(), Ok("on: push"));
    assert_eq!(mirrors.file(&url, &first, ".github/workflows/deep/b.yml").await.unwrap(), None);
    let nowhere = mirrors.tip("file:///does/not/exist", "refs/heads/main").await.unwrap_err();
    assert!(matches!(nowhere, MirrorError::Missing(_)), "{nowhere}");
}

#[tokio::test]
async fn what_a_killed_fetch_left_behind_is_no_obstacle() {
    let repository = Repository::new();
    let first = repository.commit("a", "1");
    assert_eq!(repository.mirrors.tip(&repository.url(), "refs/heads/main").await.unwrap(), first);
    let turn = repository.mirrors.turn(&repository.url()).await.unwrap();
    std::fs::write(turn.mirror.join("shallow.lock"), "").unwrap();
    drop(turn);
    let second = repository.commit("a", "2");
    assert_eq!(repository.mirrors.tip(&repository.url(), "refs/heads/main").await.unwrap(), second);
}

#[test]
fn names_that_git_would_read_otherwise_are_refused() {
    for good in ["refs/heads/main", "v1", "release/1.x", "refs/pull/5/merge"] {
        assert!(is_ref(good), "{good}");
    }
    for bad in ["", "-x", "+a", "a:b", "a..b", "a b", "a^", "a~1", "@{u}", "a/", "a?", "a*", "a\nb", "/a"] {
        assert!(!is_ref(bad), "{bad}");
    }
    assert!(is_commit(&"a".repeat(40)) && !is_commit(&"g".repeat(40)) && !is_commit("abc"));
}
