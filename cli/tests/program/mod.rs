//! The built program in a directory of its own, without the machine's configuration.
#![allow(clippy::unwrap_used, dead_code, unreachable_pub)]

pub mod up;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// What a command left behind.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

/// A directory to run commands in.
pub struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    pub fn new() -> Self {
        Place { folder: tempfile::tempdir().unwrap() }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub fn write(&self, path: &str, text: &str) -> &Self {
        let full = self.folder.path().join(path);
        fs::create_dir_all(full.parent().unwrap()).unwrap();
        fs::write(full, text).unwrap();
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        command(self.folder.path(), arguments)
    }

    pub fn run(&self, arguments: &[&str]) -> Done {
        finish(self.command(arguments))
    }
}

pub fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.current_dir(folder).args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SLIPWAY_") {
            command.env_remove(name);
        }
    }
    command.env("SLIPWAY_DATA_DIR", folder.join("no-data")).env("GIT_CEILING_DIRECTORIES", "/");
    command.env("XDG_STATE_HOME", folder.join("no-state")).env("XDG_CACHE_HOME", folder.join("no-cache"));
    command
}

pub fn finish(mut command: Command) -> Done {
    let done = command.output().unwrap();
    Done {
        code: done.status.code().expect("ended by a signal"),
        out: String::from_utf8(done.stdout).unwrap(),
        err: String::from_utf8(done.stderr).unwrap(),
    }
}

/// One clear message: the expected exit code, something on standard error, no trace of a panic.
#[track_caller]
pub fn refuses(done: &Done, code: i32, fragments: &[&str]) {
    assert_eq!(done.code, code, "{done:?}");
    for fragment in fragments {
        assert!(done.err.contains(fragment), "`{fragment}` is missing: {done:?}");
    }
    assert!(!done.err.contains("panicked") && !done.err.contains("a defect of slipway"), "{done:?}");
}
