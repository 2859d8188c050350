#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use super::event::{Wishes, git_ref, payload};
use super::{Checkout, NO_COMMIT, archive, repository};

const PAGE: &str = "https://example.org/team/engine";

fn git(root: &Path, arguments: &[&str]) {
    let done = Command::new("git")
        .arg("-C")
        .arg(root)
        .args(["-c", "user.name=Ada Lovelace", "-c", "user.email=ada@example.org"])
        .args(arguments)
        .output()
        .unwrap();
    assert!(done.status.success(), "git {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
}

fn committed() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join(".github/workflows")).unwrap();
    fs::write(root.join(".github/workflows/ci.yml"), "on: push\n").unwrap();
    fs::write(root.join(".gitignore"), "/target\n").unwrap();
    fs::write(root.join("kept.txt"), "old\n").unwrap();
    fs::write(root.join("removed.txt"), "gone soon\n").unwrap();
    git(root, &["init", "--quiet", "--initial-branch=topic"]);
    git(root, &["config", "user.name", "Ada Lovelace"]);
    git(root, &["config", "core.hooksPath", "/nonexistent"]);
    git(root, &["remote", "add", "origin", "https://ada:secret-word@example.org/team/engine.git"]);
    git(root, &["add", "."]);
    git(root, &["commit", "--quiet", "-m", "Begin"]);
    folder
}

/// What is in the archive: path → (kind, mode, content or target).
fn unpacked(packed: archive::Archive) -> BTreeMap<String, (tar::EntryType, u32, String)> {
    let mut tar = tar::Archive::new(zstd::Decoder::new(packed.file).unwrap());
    let mut entries = BTreeMap::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = entry.path().unwrap().display().to_string();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        let target = entry.link_name().unwrap().map(|target| target.display().to_string());
        let text = target.unwrap_or_else(|| String::from_utf8_lossy(&content).into_owned());
        entries.insert(path, (entry.header().entry_type(), entry.header().mode().unwrap(), text));
    }
    entries
}

#[test]
fn uncommitted_changes_go_along_and_ignored_files_stay() {
    let folder = committed();
    let root = folder.path();
    fs::write(root.join("kept.txt"), "new\n").unwrap();
    fs::write(root.join("added.sh"), "#!/bin/sh\n").unwrap();
    fs::set_permissions(root.join("added.sh"), fs::Permissions::from_mode(0o755)).unwrap();
    fs::remove_file(root.join("removed.txt")).unwrap();
    fs::create_dir(root.join("target")).unwrap();
    fs::write(root.join("target/out"), "big").unwrap();
    symlink("kept.txt", root.join("link")).unwrap();
    symlink("/etc/passwd", root.join("outside")).unwrap();
    let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
    fs::create_dir(root.join("d".repeat(120))).unwrap();
    fs::write(root.join(&long), "deep").unwrap();

    let packed = archive::pack(&Checkout::open(root).unwrap(), PAGE).unwrap();
    assert!(packed.with_git);
    let entries = unpacked(packed);
    assert_eq!(entries["kept.txt"].2, "new\n");
    assert_eq!(entries["added.sh"].1, 0o755);
    assert_eq!((entries["link"].0, entries["link"].2.as_str()), (tar::EntryType::Symlink, "kept.txt"));
    assert_eq!(entries["outside"].2, "/etc/passwd", "a link goes along as a link");
    assert_eq!(entries[&long].2, "deep");
    assert!(!entries.contains_key("removed.txt"));
    assert!(!entries.contains_key("target/out"));
}

#[test]
fn git_works_in_the_archive_and_no_credential_is_in_it() {
    let folder = committed();
    let root = folder.path();
    fs::write(root.join("kept.txt"), "new\n").unwrap();
    let packed = archive::pack(&Checkout::open(root).unwrap(), PAGE).unwrap();
    let out = tempfile::tempdir().unwrap();
    tar::Archive::new(zstd::Decoder::new(packed.file).unwrap()).unpack(out.path()).unwrap();
    let config = fs::read_to_string(out.path().join(".git/config")).unwrap();
    assert!(!config.contains("secret-word") && !config.contains("hooksPath"), "{config}");
    let status = Command::new("git").arg("-C").arg(out.path()).args(["status", "--short"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&status.stdout), " M kept.txt\n");
}

#[test]
fn a_linked_worktree_brings_its_newest_commit() {
    let folder = committed();
    let tree = folder.path().join("tree");
    git(folder.path(), &["worktree", "add", "--quiet", "-b", "other", tree.to_str().unwrap()]);
    let packed = archive::pack(&Checkout::open(&tree).unwrap(), PAGE).unwrap();
    assert!(packed.with_git);
    let out = tempfile::tempdir().unwrap();
    tar::Archive::new(zstd::Decoder::new(packed.file).unwrap()).unpack(out.path()).unwrap();
    let log = Command::new("git").arg("-C").arg(out.path()).args(["log", "--format=%s"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&log.stdout), "Begin\n");
    git(out.path(), &["diff", "--exit-code"]);
}

#[test]
fn without_git_everything_goes_along_but_sockets() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    fs::create_dir_all(root.join("empty/inner")).unwrap();
    fs::write(root.join("file"), "x").unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
    let packed = archive::pack(&Checkout::open(root).unwrap(), PAGE).unwrap();
    assert_eq!(packed.skipped, ["socket: a socket"]);
    assert!(!packed.with_git);
    let entries = unpacked(packed);
    assert_eq!(entries.keys().map(String::as_str).collect::<Vec<_>>(), ["empty", "empty/inner", "file"]);
}

#[test]
fn the_root_is_the_nearest_directory_with_workflows_or_git() {
    let folder = committed();
    let inner = folder.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    let root = folder.path().canonicalize().unwrap();
    assert_eq!(Checkout::open(&inner).unwrap().root, root);
    fs::create_dir_all(inner.join(".github/workflows")).unwrap();
    let nested = Checkout::open(&inner).unwrap();
    assert_eq!(nested.root, root.join("a/b"));
    assert!(nested.git.is_none(), "an example in a repository is its own checkout");
    let message = Checkout::open(&root.join("nowhere")).unwrap_err().to_string();
    assert!(message.starts_with("--dir "), "{message}");
}

#[test]
fn the_identity_comes_from_git() {
    let folder = committed();
    let identity = Checkout::open(folder.path()).unwrap().identity();
    assert_eq!(identity.repository, "team/engine");
    assert_eq!(identity.html_url, "https://example.org/team/engine");
    assert_eq!((identity.branch.as_str(), identity.default_branch.as_str()), ("topic", "main"));
    assert_eq!((identity.actor.as_str(), identity.message.as_str()), ("Ada-Lovelace", "Begin"));
    assert_eq!((identity.sha.len(), identity.parent.as_str()), (40, NO_COMMIT));
    git(folder.path(), &["tag", "v1.0"]);
    git(folder.path(), &["checkout", "--quiet", "--detach"]);
    let detached = Checkout::open(folder.path()).unwrap().identity();
    assert_eq!(git_ref("push", &detached), "refs/tags/v1.0");
}

#[test]
fn a_repository_is_named_after_its_remote() {
    for (remote, name) in [
        ("https://github.com/owner/name.git", "owner/name"),
        ("git@github.com:owner/name.git", "owner/name"),
        ("ssh://git@host:2222/group/owner/name/", "owner/name"),
        ("/srv/git/name.git", "local/folder"),
        ("file:///srv/name.git", "local/folder"),
        ("https://host", "local/folder"),
        ("https://host/a b/c\u{1b}d", "a-b/c-d"),
    ] {
        assert_eq!(repository(Some(remote), "folder").0, name, "{remote}");
    }
    assert_eq!(repository(None, "folder").0, "local/folder");
}

#[test]
fn payloads_look_like_githubs() {
    let folder = committed();
    let identity = Checkout::open(folder.path()).unwrap().identity();
    let push = payload("push", &identity, &Wishes::default());
    assert_eq!(push["ref"], "refs/heads/topic");
    assert_eq!(push["head_commit"]["message"], "Begin");
    assert_eq!(push["repository"]["owner"]["login"], "team");
    let request = payload("pull_request", &identity, &Wishes::default());
    assert_eq!(request["action"], "opened");
    assert_eq!(request["pull_request"]["base"]["ref"], "main");
    assert_eq!(request["pull_request"]["head"]["ref"], "topic");
    let inputs = BTreeMap::from([("level".to_owned(), "3".to_owned())]);
    let dispatch = payload("workflow_dispatch", &identity, &Wishes { inputs, ..Wishes::default() });
    assert_eq!(dispatch["inputs"]["level"], "3");
}
