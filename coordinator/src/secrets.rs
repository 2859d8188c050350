//! Secrets of the runs that are not finished.
//!
//! They never enter the journal, a blob or a job specification: each run's lie in a file of their own, readable by the
//! coordinator's user alone, handed out under a live lease only, and removed when the run ends. Where several coordinators
//! share the folder or object store, they are sealed under a key that only those have.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use slipway_scheduler::ids::RunId;

use crate::seal::Seal;
use crate::small_files::SmallFiles;

/// The most bytes that one run's secrets may have, names and values.
pub const MAX_SECRETS_BYTES: usize = 1 << 20;

/// Names and values.
pub type SecretMap = BTreeMap<String, String>;

/// One file for each run that has secrets.
#[derive(Debug, Clone)]
pub struct Secrets {
    files: SmallFiles,
    seal: Option<Seal>,
}

fn name(run: RunId) -> String {
    format!("{run}.json")
}

impl Secrets {
    /// The secrets in this place; sealed, if others may read it.
    #[must_use]
    pub(crate) fn new(files: SmallFiles, seal: Option<Seal>) -> Self {
        Self { files, seal }
    }

    /// Keeps a run's secrets, durably. None at all keeps nothing.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn save(&self, run: RunId, secrets: &SecretMap) -> io::Result<()> {
        if secrets.is_empty() {
            return Ok(());
        }
        let mut bytes = serde_json::to_vec(secrets)?;
        if let Some(seal) = &self.seal {
            bytes = seal.seal(&run.to_string(), &bytes)?;
        }
        self.files.write(&name(run), bytes).await
    }

    /// A run's secrets; none when none were kept.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn load(&self, run: RunId) -> io::Result<SecretMap> {
        let Some(mut bytes) = self.files.read(&name(run)).await? else { return Ok(SecretMap::new()) };
        if let Some(seal) = &self.seal {
            bytes = seal.open(&run.to_string(), &bytes)?;
        }
        Ok(serde_json::from_slice(&bytes)?)
    }

    /// Removes a run's secrets.
    ///
    /// # Errors
    /// When they are there and cannot be removed.
    pub async fn remove(&self, run: RunId) -> io::Result<()> {
        self.files.remove(&name(run)).await
    }

    /// Removes what belongs to no run of these: left by a crash between the run's end and the removal.
    ///
    /// # Errors
    /// When the place cannot be read or something in it cannot be removed.
    pub async fn keep_only(&self, runs: &BTreeSet<RunId>) -> io::Result<()> {
        for name in self.files.names().await? {
            let run = name.split_once('.').and_then(|(run, _)| run.parse().ok());
            if run.is_none_or(|run| !runs.contains(&run)) {
                self.files.remove(&name).await?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;

    use super::*;

    #[tokio::test]
    async fn secrets_live_as_long_as_their_run() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(SmallFiles::Folder(folder.path().to_owned()), None);
        let (first, second) = (RunId::from_u128(1), RunId::from_u128(2));
        let map = SecretMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]);
        secrets.save(first, &map).await.unwrap();
        secrets.save(second, &map).await.unwrap();
        assert_eq!(secrets.load(first).await.unwrap(), map);
        secrets.keep_only(&BTreeSet::from([second])).await.unwrap();
        assert!(secrets.load(first).await.unwrap().is_empty());
        assert_eq!(secrets.load(second).await.unwrap(), map);
        secrets.remove(second).await.unwrap();
        secrets.remove(second).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        secrets.save(first, &SecretMap::new()).await.unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
