//! Which images this agent brought to its machine, when they were used last, and who is about to use them.
//!
//! Invariant: an image is noted, durably, before it is pulled or built; what is not noted was there without the agent, and is never
//! removed. An image that a job has chosen is held until its container is made, and not removed meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use slipway_kit::clock::{Clock as _, SystemClock};
use tokio::sync::Notify;

use crate::docker::Engine;
use crate::docker::image::{Credentials, Image};
use crate::failure::Failure;

/// The note's format.
const VERSION: u32 = 1;

/// The note's name in the data directory.
pub const FILE: &str = "images.json";

/// One image that the agent brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    /// When a job chose it last, Unix milliseconds.
    used_ms: u64,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Note {
    version: u32,
    /// By the names under which they were pulled or built.
    images: BTreeMap<String, Entry>,
}

#[derive(Debug, Default)]
struct Inner {
    images: BTreeMap<String, Entry>,
    /// How many jobs are about to use an image.
    holds: BTreeMap<String, usize>,
    removing: BTreeSet<String>,
    /// Something was brought or let go since the last [`Images::take_changed`].
    changed: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Images {
    file: PathBuf,
    inner: Mutex<Inner>,
    /// A removal is over.
    settled: Notify,
}

/// Keeps an image from being removed; dropped, it lets go.
#[derive(Debug)]
pub struct Hold {
    images: Arc<Images>,
    name: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let mut inner = self.images.inner();
        inner.changed = true;
        if let Some(count) = inner.holds.get_mut(&self.name) {
            *count -= 1;
            if *count == 0 {
                inner.holds.remove(&self.name);
            }
        }
    }
}

impl Images {
    /// Reads the note of a data directory. One that can't be read is begun anew: its images stay for good.
    #[must_use]
    pub fn open(data_dir: &Path) -> Arc<Self> {
        let file = data_dir.join(FILE);
        let images = match read(&file) {
            Ok(images) => images,
            Err(error) => {
                tracing::warn!(file = %file.display(), %error, "what images the agent brought is not known any more; they stay");
                BTreeMap::new()
            }
        };
        let inner = Inner { images, changed: true, ..Inner::default() };
        Arc::new(Self { file, inner: Mutex::new(inner), settled: Notify::new() })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the image of this name; waits while it is just being removed.
    pub async fn hold(self: &Arc<Self>, name: &str) -> Arc<Hold> {
        loop {
            let settled = self.settled.notified();
            {
                let mut inner = self.inner();
                if !inner.removing.contains(name) {
                    *inner.holds.entry(name.to_owned()).or_default() += 1;
                    return Arc::new(Hold { images: Arc::clone(self), name: name.to_owned() });
                }
            }
            settled.await;
        }
    }

    /// The image of this name, pulled when it is not here ([`Engine::ensure_image`]), and held for as long as the answer lives.
    ///
    /// # Errors
    /// As [`Engine::ensure_image`]; `disk_full` or `internal` when it can't be noted.
    pub async fn ensure(
        self: &Arc<Self>,
        engine: &Engine,
        name: &str,
        platform: Option<&str>,
        credentials: Option<&Credentials>,
        told: impl FnMut(String) + Send,
    ) -> Result<Image, Failure> {
        let hold = self.hold(name).await;
        let mut image = match engine.image(name).await? {
            Some(image) => image,
            None => {
                self.bring(name)?;
                engine.ensure_image(name, platform, credentials, told).await?
            }
        };
        self.used(name);
        image.held = Some(hold);
        Ok(image)
    }

    /// Notes that the image of this name is about to come here by this agent.
    ///
    /// # Errors
    /// `disk_full` or `internal` when that can't be noted.
    pub fn bring(&self, name: &str) -> Result<(), Failure> {
        let mut inner = self.inner();
        inner.images.insert(name.to_owned(), Entry { used_ms: SystemClock.unix_ms() });
        inner.changed = true;
        self.save(&inner, true)
            .map_err(|error| Failure::io("cannot note the images that the agent brings", &error))
    }

    /// A job chose it.
    pub fn used(&self, name: &str) {
        let mut inner = self.inner();
        let Some(entry) = inner.images.get_mut(name) else { return };
        entry.used_ms = SystemClock.unix_ms();
        if let Err(error) = self.save(&inner, false) {
            // It only goes too early.
            tracing::debug!(name, %error, "an image's use is not noted");
        }
    }

    /// Those that the agent brought, with when they were used last.
    #[must_use]
    pub fn brought(&self) -> Vec<(String, u64)> {
        self.inner().images.iter().map(|(name, entry)| (name.clone(), entry.used_ms)).collect()
    }

    /// Whether something was brought or let go since the last call.
    pub fn take_changed(&self) -> bool {
        std::mem::take(&mut self.inner().changed)
    }

    /// Removes an image unless a job is about to use it; whether it is gone. The engine refuses where a container has it.
    pub async fn remove(&self, engine: &Engine, name: &str) -> bool {
        {
            let mut inner = self.inner();
            if inner.holds.contains_key(name) || !inner.removing.insert(name.to_owned()) {
                return false;
            }
        }
        let removed = engine.remove_image(name).await;
        let gone = match removed {
            Ok(gone) => gone,
            Err(failure) => {
                tracing::warn!(name, %failure, "an image cannot be removed");
                false
            }
        };
        let mut inner = self.inner();
        inner.removing.remove(name);
        if gone {
            inner.images.remove(name);
            if let Err(error) = self.save(&inner, false) {
                tracing::debug!(name, %error, "an image's removal is not noted");
            }
        }
        drop(inner);
        self.settled.notify_waiters();
        gone
    }

    /// Forgets an image that somebody else has removed.
    pub fn forget(&self, name: &str) {
        let mut inner = self.inner();
        if !inner.holds.contains_key(name) && inner.images.remove(name).is_some() {
            // Otherwise it is found missing again.
            let _ = self.save(&inner, false);
        }
    }

    fn save(&self, inner: &Inner, sync: bool) -> std::io::Result<()> {
        let note = Note { version: VERSION, images: inner.images.clone() };
        let draft = self.file.with_extension("new");
        let mut file = std::fs::File::create(&draft)?;
        file.write_all(&serde_json::to_vec(&note)?)?;
        if sync {
            file.sync_all()?;
        }
        std::fs::rename(draft, &self.file)
    }
}

fn read(file: &Path) -> std::io::Result<BTreeMap<String, Entry>> {
    let text = match std::fs::read(file) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    let note: Note = serde_json::from_slice(&text)?;
    if note.version != VERSION {
        return Err(std::io::Error::other(format!("version {} of it is not known here", note.version)));
    }
    Ok(note.images)
}

/// The names of the images that the agent with this data directory brought, for whoever looks after its machine.
///
/// # Errors
/// When its note can't be read.
pub fn brought_by(data_dir: &Path) -> std::io::Result<Vec<String>> {
    Ok(read(&data_dir.join(FILE))?.into_keys().collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn what_was_brought_is_known_to_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let images = Images::open(folder.path());
        assert!(images.take_changed(), "what an earlier process left is looked at");
        images.bring("one:1").unwrap();
        images.used("never-brought:1");
        assert!(images.take_changed() && !images.take_changed());
        drop(images.hold("one:1").await);
        assert!(images.take_changed());
        let next = Images::open(folder.path());
        assert_eq!(next.brought().into_iter().map(|(name, _)| name).collect::<Vec<_>>(), ["one:1"]);
        assert_eq!(brought_by(folder.path()).unwrap(), ["one:1"]);
        next.forget("one:1");
        assert_eq!(Images::open(folder.path()).brought(), []);
        std::fs::write(folder.path().join(FILE), "nonsense").unwrap();
        assert_eq!(Images::open(folder.path()).brought(), [], "then they stay");
    }
}
