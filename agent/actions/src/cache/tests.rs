//! Archives against GNU tar, which the original uses.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, UNIX_EPOCH};

use super::{pack, unpack};

/// A workspace and a home beside it, with a bit of everything.
fn tree(root: &Path) -> PathBuf {
    let workspace = root.join("w/r/r");
    let home = root.join("home/.cargo");
    for folder in [workspace.join("target/empty"), home.join("bin"), home.join("locked")] {
        fs::create_dir_all(folder).unwrap();
    }
    let long = "l".repeat(150);
    for (path, text) in [
        (workspace.join("target/a"), "a"),
        (workspace.join(format!("target/{long}")), "long"),
        (workspace.join("target/größe"), "umlaut"),
        (home.join("bin/tool"), "#!/bin/sh"),
        (home.join("locked/x"), "x"),
    ] {
        fs::write(path, text).unwrap();
    }
    symlink("a", workspace.join("target/link")).unwrap();
    symlink(&long, workspace.join("target/long-link")).unwrap();
    symlink("nowhere", workspace.join("target/broken")).unwrap();
    fs::hard_link(workspace.join("target/a"), workspace.join("target/z")).unwrap();
    let time = UNIX_EPOCH + Duration::new(1_600_000_000, 123_456_789);
    fs::File::options().write(true).open(workspace.join("target/a")).unwrap().set_modified(time).unwrap();
    fs::File::open(workspace.join("target/empty")).unwrap().set_modified(time).unwrap();
    for (path, mode) in [("bin/tool", 0o755), ("locked/x", 0o440), ("locked", 0o550)] {
        fs::set_permissions(home.join(path), fs::Permissions::from_mode(mode)).unwrap();
    }
    workspace
}

fn members() -> Vec<PathBuf> {
    ["target", "../../../home/.cargo", "target/a"].map(PathBuf::from).into()
}

/// What is at a path, in words that must be the same after a way there and back.
fn facts(path: &Path) -> String {
    let status = fs::symlink_metadata(path).unwrap();
    let content = match status.file_type() {
        kind if kind.is_symlink() => format!("-> {}", fs::read_link(path).unwrap().display()),
        kind if kind.is_dir() => "folder".to_owned(),
        _ => fs::read_to_string(path).unwrap(),
    };
    format!("{:o} {}.{} {content}", status.mode(), status.mtime(), status.mtime_nsec())
}

fn walk(folder: &Path, root: &Path, into: &mut Vec<(String, String)>) {
    for name in crate::files::children(folder).unwrap() {
        let path = folder.join(name);
        into.push((path.strip_prefix(root).unwrap().display().to_string(), facts(&path)));
        if fs::symlink_metadata(&path).unwrap().is_dir() {
            walk(&path, root, into);
        }
    }
}

fn all(root: &Path) -> Vec<(String, String)> {
    let mut all = Vec::new();
    for folder in ["w/r/r/target", "home/.cargo"] {
        let folder = root.join(folder);
        all.push((folder.strip_prefix(root).unwrap().display().to_string(), facts(&folder)));
        walk(&folder, root, &mut all);
    }
    all
}

fn tar(arguments: &[&str], folder: &Path) -> String {
    let output = Command::new("tar").args(arguments).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "tar {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn what_is_packed_is_unpacked_by_tar_and_by_itself() {
    let from = tempfile::tempdir().unwrap();
    let workspace = tree(from.path());
    let mut archive = Vec::new();
    pack(&mut archive, &workspace, &members()).unwrap();
    let file = from.path().join("cache.tar");
    fs::write(&file, &archive).unwrap();
    let listed = tar(&["-tPf", file.to_str().unwrap()], from.path());
    assert_eq!(listed.lines().filter(|line| *line == "target/a").count(), 1, "a member once: {listed}");

    let by_tar = tempfile::tempdir().unwrap();
    let there = by_tar.path().join("w/r/r");
    fs::create_dir_all(&there).unwrap();
    tar(&["-xPpf", file.to_str().unwrap()], &there);
    assert_eq!(all(by_tar.path()), all(from.path()));

    let by_us = tempfile::tempdir().unwrap();
    let there = by_us.path().join("w/r/r");
    // Once more, over what is there.
    for _ in 0..2 {
        unpack(archive.as_slice(), &there).unwrap();
    }
    assert_eq!(all(by_us.path()), all(from.path()));
    let inode = |name: &str| fs::metadata(there.join(name)).unwrap().ino();
    assert_eq!(inode("target/a"), inode("target/z"), "one file with two names");
}

#[test]
fn what_tar_packs_is_unpacked() {
    let from = tempfile::tempdir().unwrap();
    let workspace = tree(from.path());
    let file = from.path().join("cache.tar");
    let names = ["target", "../../../home/.cargo"];
    tar(&[&["--posix", "-Pcf", file.to_str().unwrap()][..], &names].concat(), &workspace);
    let into = tempfile::tempdir().unwrap();
    unpack(fs::File::open(&file).unwrap(), &into.path().join("w/r/r")).unwrap();
    assert_eq!(all(into.path()), all(from.path()));
}

#[test]
fn a_damaged_archive_is_an_error() {
    let from = tempfile::tempdir().unwrap();
    let workspace = tree(from.path());
    let mut archive = Vec::new();
    pack(&mut archive, &workspace, &members()).unwrap();
    let into = tempfile::tempdir().unwrap();
    let half = archive.get(..archive.len() / 2 + 7).unwrap();
    assert!(unpack(half, into.path()).is_err());
    assert!(unpack(&[b'x'; 2048][..], into.path()).is_err());
    let missing = pack(Vec::new(), &workspace, &["gone".into()]).unwrap_err().to_string();
    assert!(missing.contains("gone"), "{missing}");
}
