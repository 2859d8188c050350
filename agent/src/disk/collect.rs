//! The collector: keeps the images that jobs brought within their limit, least recently used first, and removes what jobs left in the engine.
//!
//! It works while no job runs, or when the disk is low, and goes by the agent's own notes ([`super::images`]): neither a configured image nor
//! one in use nor one that was there without the agent is ever removed.
//!
//! Deliberately absent: kept actions and the agent's part of the cache, which keep their limits themselves; volumes, which go with their
//! containers; layers of the engine's builder.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior};

use super::DiskState;
use super::decide::Level;
use super::images::Images;
use super::mark::Marks;
use super::space::{Place, shown};
use crate::docker::Engine;
use crate::failure::Failure;
use crate::limits::{COLLECT_EVERY, COLLECT_LOOK_EVERY, COLLECT_LOW_EVERY};

/// An image that the agent brought, as it is here now.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    name: String,
    id: String,
    bytes: u64,
    used_ms: u64,
}

/// See the module.
pub struct Collector {
    /// The engine.
    pub engine: Engine,
    /// What was brought.
    pub images: Arc<Images>,
    /// Names of images that are never removed.
    pub configured: BTreeSet<String>,
    /// The folder of jobs' folders.
    pub jobs_dir: PathBuf,
    /// Bytes of images that may stay; none: any number.
    pub limit_bytes: Option<u64>,
    /// The engine's disk, if it is to be seen, and its marks.
    pub place: Option<Place>,
    /// See `place`.
    pub marks: Marks,
    /// Whether the disk is low.
    pub disk: watch::Receiver<DiskState>,
}

impl Collector {
    /// Collects until it is dropped.
    pub async fn run(self) {
        let mut ticks = tokio::time::interval(COLLECT_LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        let mut changed = false;
        loop {
            ticks.tick().await;
            changed |= self.images.take_changed();
            let low = self.disk.borrow().paused.is_some();
            let due = match low {
                true => last.elapsed() >= COLLECT_LOW_EVERY,
                false => changed && (self.is_idle() || last.elapsed() >= COLLECT_EVERY),
            };
            if !due {
                continue;
            }
            (last, changed) = (Instant::now(), false);
            if let Err(failure) = self.sweep().await {
                tracing::warn!(%failure, "the collector cannot work");
            }
        }
    }

    fn is_idle(&self) -> bool {
        std::fs::read_dir(&self.jobs_dir).map_or(true, |mut jobs| jobs.next().is_none())
    }

    /// Whether the engine's disk has too little room.
    fn is_low(&self) -> bool {
        let space = self.place.as_ref().and_then(|place| place.space().ok());
        space.is_some_and(|space| self.marks.level(Level::Low, &space) > Level::Roomy)
    }

    async fn sweep(&self) -> Result<(), Failure> {
        self.remove_orphans().await?;
        let kept = self.kept().await?;
        let mut total = total(&kept);
        let (mut images, mut bytes) = (0_u32, 0_u64);
        for image in self.removable(kept).await? {
            let surplus = self.limit_bytes.is_some_and(|limit| total > limit);
            if !surplus && !self.is_low() {
                break;
            }
            if self.images.remove(&self.engine, &image.name).await {
                tracing::info!(
                    image = image.name,
                    size = shown(image.bytes),
                    "an image that no job used lately is removed"
                );
                total = total.saturating_sub(image.bytes);
                bytes += image.bytes;
                images += 1;
            }
        }
        if images > 0 {
            let (removed, stay) = (shown(bytes), shown(total));
            tracing::info!(images, removed, stay, "images were collected");
        }
        Ok(())
    }

    /// What the agent brought and is still here.
    async fn kept(&self) -> Result<Vec<Kept>, Failure> {
        let mut kept = Vec::new();
        for (name, used_ms) in self.images.brought() {
            match self.engine.image_size(&name).await? {
                Some((id, bytes)) => kept.push(Kept { name, id, bytes, used_ms }),
                None => self.images.forget(&name),
            }
        }
        Ok(kept)
    }

    /// Those that may go, the least recently used first.
    async fn removable(&self, mut kept: Vec<Kept>) -> Result<Vec<Kept>, Failure> {
        let mut stay = self.engine.images_in_use().await?;
        for name in &self.configured {
            stay.extend(self.engine.image_size(name).await?.map(|(id, _)| id));
        }
        kept.retain(|image| !stay.contains(&image.id) && !self.configured.contains(&image.name));
        kept.sort_by(|a, b| (a.used_ms, &a.name).cmp(&(b.used_ms, &b.name)));
        Ok(kept)
    }

    /// Removes containers of jobs that are gone: a clean-up that failed, when the engine was too busy.
    async fn remove_orphans(&self) -> Result<(), Failure> {
        // A job's folder is there before its first container, and goes after the last: so these are listed first.
        for container in self.engine.own_containers().await? {
            let gone =
                !container.folder_name.is_empty() && !self.jobs_dir.join(&container.folder_name).exists();
            if gone {
                self.engine.remove_container(&container.id).await?;
                tracing::info!(container = container.id, "a container that a job left is removed");
            }
        }
        Ok(())
    }
}

/// What images take together; one of several names counts once. Layers that they share count for each: it is rather less.
fn total(kept: &[Kept]) -> u64 {
    let mut seen = BTreeSet::new();
    kept.iter().filter(|image| seen.insert(&image.id)).map(|image| image.bytes).fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_two_names_counts_once() {
        let kept = |name: &str, id: &str, bytes| Kept {
            name: name.to_owned(),
            id: id.to_owned(),
            bytes,
            used_ms: 0,
        };
        assert_eq!(total(&[kept("a:1", "x", 5), kept("a:2", "x", 5), kept("b:1", "y", 7)]), 12);
        assert_eq!(total(&[]), 0);
    }
}
