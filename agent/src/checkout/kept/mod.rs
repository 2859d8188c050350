//! What an agent keeps of the repositories that its jobs check out, so that the next checkout costs what has changed:
//!
//! - a *mirror* of each ([`mirror`]), into which commits are fetched and from which a checkout has its objects;
//! - for large ones a *ready* working tree ([`ready`]), made when nobody waits, that the next checkout gets by a rename.
//!
//! Jobs never see either: what a job gets is copied or moved to it, and nothing comes back. The server is asked each time, with the
//! job's own token: who may not read a repository gets nothing of its mirror.
//!
//! None of it is needed: what is damaged or in the way is removed, and the checkout fetches as without it.

mod mirror;
mod ready;

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest as _, Sha256};
use slipway_kit::shutdown::{Shutdown, Stage};
use tokio::sync::{Notify, watch};

use super::inputs::Fetch;
use crate::disk::DiskState;
use crate::docker::passwd::ContainerUser;
use crate::limits::{MIRRORS_MAX, READY_FROM_FILES, READY_PAUSE};
use crate::removal::remove;
pub(super) use mirror::{Found, Mirror};
use ready::Recipe;

/// The folder of the mirrors.
const MIRRORS: &str = "mirrors";

/// See the module.
#[derive(Debug)]
pub struct Kept {
    folder: PathBuf,
    /// Ready trees that are kept at most.
    ready: usize,
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Held by whoever uses a mirror, by its name.
    locks: HashMap<String, Arc<tokio::sync::Mutex<()>>>,
    /// What was checked out last, newest first: of these trees are made ready.
    wanted: VecDeque<Recipe>,
}

impl Kept {
    /// What is kept in an agent's data directory; no more than so many ready trees. Those of an earlier process go: a machine that lost
    /// power may have lost some of their bytes.
    #[must_use]
    pub fn open(data_dir: &Path, ready: usize) -> Self {
        let kept = Self {
            folder: data_dir.join("checkouts"),
            ready,
            state: Mutex::default(),
            changed: Notify::new(),
        };
        kept.forget_trees();
        kept
    }

    /// Removes everything but the mirrors, on a thread of its own: trees may be large.
    fn forget_trees(&self) {
        let mut old = Vec::new();
        for name in names_in(&self.folder).into_iter().filter(|name| name != MIRRORS) {
            let aside = self.folder.join(format!("old-{}", uuid::Uuid::new_v4().simple()));
            match std::fs::rename(self.folder.join(&name), &aside) {
                Ok(()) => old.push(aside),
                Err(error) => tracing::warn!(name, %error, "old checkouts stay behind"),
            }
        }
        if !old.is_empty() {
            std::thread::spawn(move || old.iter().try_for_each(|folder| remove(folder)));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn mirrors_dir(&self) -> PathBuf {
        self.folder.join(MIRRORS)
    }

    fn ready_dir(&self) -> PathBuf {
        self.folder.join("ready")
    }

    /// Where a tree is that is not ready yet, and what is about to be removed.
    fn making_dir(&self) -> PathBuf {
        self.folder.join("making")
    }

    /// The mirror for what a checkout wants, held until it is dropped; none: it is fetched as it is.
    pub(super) async fn mirror(&self, wanted: &Fetch) -> Option<Mirror> {
        if !is_kept(wanted) {
            return None;
        }
        let name = name_of(wanted);
        let lock = Arc::clone(self.lock().locks.entry(name.clone()).or_default());
        let held = lock.lock_owned().await;
        Some(Mirror::new(self.mirrors_dir().join(&name), held))
    }

    /// Fetches into the mirror what a checkout will want. Whatever goes wrong is told by that checkout.
    pub(crate) async fn fetch_ahead(&self, wanted: &Fetch) {
        if !super::git::is_address(&wanted.url) {
            return;
        }
        let Some(mirror) = self.mirror(wanted).await else { return };
        let authorization = super::git::authorization(wanted);
        if let Err(error) = mirror.fetch(wanted, authorization.as_ref(), &mut |_| {}).await {
            tracing::debug!(url = wanted.url, ?error, "nothing was fetched ahead of a checkout");
        }
    }

    /// A checkout was made of this commit, and has so many files: the next one is to find it ready, if that is worth it.
    pub(super) fn note(&self, wanted: &Fetch, commit: &str, user: &ContainerUser, files: u32) {
        // There may be a mirror too many.
        self.changed.notify_one();
        if self.ready == 0 || files < READY_FROM_FILES || !is_kept(wanted) {
            return;
        }
        let (commit, user) = (commit.to_owned(), user.clone());
        let recipe = Recipe { name: name_of(wanted), wanted: wanted.without_token(), commit, user };
        let mut state = self.lock();
        state.wanted.retain(|other| !other.is_of_same_place(&recipe));
        state.wanted.push_front(recipe);
        state.wanted.truncate(self.ready);
        drop(state);
        self.changed.notify_one();
    }

    /// Makes trees ready, one at a time and a while after they were asked for, until the agent drains; and gives the disk up when it is low.
    pub async fn keep(self: Arc<Self>, mut disk: watch::Receiver<DiskState>, mut stop: Shutdown) {
        loop {
            if disk.borrow_and_update().paused.is_some() {
                self.clear().await;
            } else if let Some(recipe) = self.missing() {
                let making = async {
                    tokio::time::sleep(READY_PAUSE).await;
                    // A checkout that was under way has noted its commit meanwhile.
                    match self.missing() {
                        Some(recipe) => self.make(&recipe).await,
                        None => Ok(()),
                    }
                };
                let made = tokio::select! {
                    () = stop.reached(Stage::Drain) => return,
                    made = making => made,
                };
                if let Err(reason) = made {
                    tracing::warn!(url = recipe.wanted.url, reason, "a checkout is not made ready");
                    self.lock().wanted.retain(|other| !other.is_of_same_place(&recipe));
                }
                self.trim().await;
                continue;
            } else {
                self.trim().await;
            }
            tokio::select! {
                () = stop.reached(Stage::Drain) => return,
                () = self.changed.notified() => {}
                changed = disk.changed() => if changed.is_err() {
                    return;
                }
            }
        }
    }

    /// The newest that is wanted and not there; one of another commit may be in its place.
    fn missing(&self) -> Option<Recipe> {
        let wanted = self.lock().wanted.clone();
        wanted.into_iter().find(|recipe| self.ready_commit(&recipe.folder()).as_ref() != Some(&recipe.commit))
    }

    /// Removes everything that no checkout is at.
    pub(crate) async fn clear(&self) {
        self.lock().wanted.clear();
        let names = names_in(&self.ready_dir());
        self.discard(names.into_iter().map(|name| self.ready_dir().join(name)).collect()).await;
        for name in names_in(&self.mirrors_dir()) {
            self.remove_mirror(&name).await;
        }
    }

    /// Removes ready trees that nobody wants any more, and the mirrors used longest ago above [`MIRRORS_MAX`].
    async fn trim(&self) {
        let wanted: Vec<String> = self.lock().wanted.iter().map(Recipe::folder).collect();
        let surplus = names_in(&self.ready_dir()).into_iter().filter(|name| !wanted.contains(name));
        self.discard(surplus.map(|name| self.ready_dir().join(name)).collect()).await;
        let used = |name: &String| {
            let used = std::fs::metadata(self.mirrors_dir().join(name)).and_then(|found| found.modified());
            used.unwrap_or(std::time::UNIX_EPOCH)
        };
        let mut mirrors = names_in(&self.mirrors_dir());
        mirrors.sort_by_key(|name| std::cmp::Reverse(used(name)));
        for name in mirrors.into_iter().skip(MIRRORS_MAX) {
            self.remove_mirror(&name).await;
        }
        // Those of mirrors that are gone, or never came about.
        let mirrors = self.mirrors_dir();
        self.lock().locks.retain(|name, lock| Arc::strong_count(lock) > 1 || mirrors.join(name).exists());
    }

    async fn remove_mirror(&self, name: &str) {
        let lock = self.lock().locks.get(name).map(Arc::clone);
        let held = match lock {
            // Somebody is at it.
            Some(lock) => match lock.try_lock_owned() {
                Ok(held) => Some(held),
                Err(_) => return,
            },
            None => None,
        };
        self.discard(vec![self.mirrors_dir().join(name)]).await;
        drop(held);
        self.lock().locks.remove(name);
    }

    /// Removes folders, off the runtime's threads: first by name, so that nobody takes them meanwhile.
    async fn discard(&self, folders: Vec<PathBuf>) {
        let making = self.making_dir();
        let removing = move || {
            for folder in folders {
                let aside = making.join(uuid::Uuid::new_v4().simple().to_string());
                let moved = std::fs::create_dir_all(&making).and_then(|()| std::fs::rename(&folder, &aside));
                match moved.and_then(|()| remove(&aside)) {
                    // Somebody took it, or it was never there.
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        tracing::warn!(folder = %folder.display(), %error, "a kept checkout stays behind");
                    }
                    _ => {}
                }
            }
        };
        let _ = tokio::task::spawn_blocking(removing).await;
    }
}

/// Whether anything is kept of such a checkout. What is left out of the objects is another set for each, and submodules are repositories of their
/// own.
fn is_kept(wanted: &Fetch) -> bool {
    wanted.filter.is_none() && wanted.sparse.is_empty() && !wanted.submodules
}

/// Checkouts of one name have their objects in common: the same repository, with as much of its history.
fn name_of(wanted: &Fetch) -> String {
    let of = format!("{}\0{}\0{}", wanted.url, wanted.depth, wanted.tags);
    hex::encode(Sha256::digest(of)).chars().take(40).collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}
