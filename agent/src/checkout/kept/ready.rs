//! A working tree that is checked out before anybody asks for it.
//!
//! It belongs to the user it is for, and git's index agrees with its files, so that whoever gets it has nothing to read again. It lies
//! where no job reaches; the checkout that takes it moves it away as a whole.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use super::{Found, Kept};
use crate::checkout::git::{self, OWNED};
use crate::checkout::give_all;
use crate::checkout::inputs::Fetch;
use crate::docker::passwd::ContainerUser;
use crate::git as machine_git;
use crate::removal::remove;

/// Git takes a file for unchanged by its times only when the index is younger; its clock has whole seconds for that.
const INDEX_YOUNGER: Duration = Duration::from_millis(1_100);

/// What is made ready.
#[derive(Debug, Clone)]
pub(super) struct Recipe {
    /// The mirror's name.
    pub(super) name: String,
    pub(super) wanted: Fetch,
    pub(super) commit: String,
    pub(super) user: ContainerUser,
}

impl Recipe {
    /// The folder's name: one tree for each mirror and user.
    pub(super) fn folder(&self) -> String {
        folder(&self.name, &self.user)
    }

    pub(super) fn is_of_same_place(&self, other: &Self) -> bool {
        self.folder() == other.folder()
    }
}

fn folder(name: &str, user: &ContainerUser) -> String {
    format!("{name}-{}-{}", user.uid, user.gid)
}

/// A ready tree that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::checkout) struct Taken {
    /// What is checked out in it.
    pub(in crate::checkout) commit: String,
}

impl Kept {
    /// Moves the ready tree for this checkout to `staging`, if there is one.
    pub(in crate::checkout) fn take(
        &self,
        wanted: &Fetch,
        user: &ContainerUser,
        staging: &Path,
    ) -> Option<Taken> {
        let name = folder(&super::name_of(wanted), user);
        let commit = self.ready_commit(&name)?;
        let ready = self.ready_dir().join(name);
        // An empty folder is there.
        std::fs::remove_dir(staging).ok()?;
        let taken = std::fs::rename(&ready, staging);
        if let Err(error) = taken {
            tracing::warn!(%error, "a ready checkout cannot be taken");
            std::fs::create_dir_all(staging).ok()?;
            return None;
        }
        Some(Taken { commit })
    }

    /// What is checked out in the ready tree of this name; none: there is no such tree.
    pub(super) fn ready_commit(&self, name: &str) -> Option<String> {
        let head = std::fs::read_to_string(self.ready_dir().join(name).join(".git/HEAD")).ok()?;
        Some(head.trim().to_owned())
    }

    /// Makes one. The sentence says why not.
    pub(super) async fn make(&self, recipe: &Recipe) -> Result<(), String> {
        let place = self.making_dir().join(uuid::Uuid::new_v4().simple().to_string());
        let made = self.make_in(recipe, &place).await;
        if made.is_err() {
            let removing = place.clone();
            let _ = tokio::task::spawn_blocking(move || remove(&removing)).await;
        }
        made
    }

    async fn make_in(&self, recipe: &Recipe, place: &Path) -> Result<(), String> {
        let Recipe { wanted, commit, user, .. } = recipe;
        let told = |error: crate::checkout::CheckoutError| format!("{error:?}");
        let io = |error: std::io::Error| error.to_string();
        let Some(mirror) = self.mirror(wanted).await else {
            return Err("nothing is kept of such checkouts".to_owned());
        };
        std::fs::create_dir_all(place).map_err(io)?;
        git::begin(place, wanted, &mut |_| {}).await.map_err(told)?;
        let found = Found { object: commit.clone(), commit: commit.clone() };
        mirror.give(wanted, &found, &place.join(".git")).await.map_err(told)?;
        drop(mirror);
        // Whoever has a job to do goes first.
        nice(place, &["checkout", "--quiet", "--force", "--detach", commit]).await?;
        let (giving, user) = (place.to_owned(), user.clone());
        let given = tokio::task::spawn_blocking(move || give_all(&giving, &user)).await;
        given.map_err(|error| error.to_string())?.map_err(io)?;
        tokio::time::sleep(INDEX_YOUNGER).await;
        nice(place, &[&OWNED[..], &["update-index", "-q", "--refresh"]].concat()).await?;
        std::fs::create_dir_all(self.ready_dir()).map_err(io)?;
        let ready = self.ready_dir().join(recipe.folder());
        // One of an older commit was made while a slow checkout was under way.
        self.discard(vec![ready.clone()]).await;
        std::fs::rename(place, ready).map_err(io)
    }
}

/// Runs git with the least of the machine.
async fn nice(folder: &Path, arguments: &[&str]) -> Result<(), String> {
    let git = machine_git::command(folder, arguments);
    let mut command = tokio::process::Command::new("nice");
    command.args(["-n", "19", "git"]).args(git.as_std().get_args()).current_dir(folder);
    for (name, value) in git.as_std().get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let done = command.stdin(Stdio::null()).kill_on_drop(true).output().await;
    let done = done.map_err(|error| format!("`nice` cannot be started: {error}"))?;
    match done.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()),
    }
}
