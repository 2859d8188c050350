//! Secrets of the runs that are not finished.
//!
//! They never enter the journal, a blob or a job specification: each run's lie in a file of their own, readable by the
//! coordinator's user alone, handed out under a live lease only, and removed when the run ends. Where several coordinators
//! share the folder, the files are sealed under a key that only those have.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::PathBuf;

use slipway_scheduler::ids::RunId;

use crate::seal::Seal;
use crate::secret_file;

/// The most bytes that one run's secrets may have, names and values.
pub const MAX_SECRETS_BYTES: usize = 1 << 20;

/// Names and values.
pub type SecretMap = BTreeMap<String, String>;

/// A folder with one file for each run that has secrets.
#[derive(Debug, Clone)]
pub struct Secrets {
    folder: PathBuf,
    seal: Option<Seal>,
}

impl Secrets {
    /// The secrets in this folder, which exists; sealed, if others may read it.
    #[must_use]
    pub(crate) fn new(folder: PathBuf, seal: Option<Seal>) -> Self {
        Self { folder, seal }
    }

    fn path(&self, run: RunId) -> PathBuf {
        self.folder.join(format!("{run}.json"))
    }

    /// Keeps a run's secrets, durably. None at all keeps nothing.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, run: RunId, secrets: &SecretMap) -> io::Result<()> {
        if secrets.is_empty() {
            return Ok(());
        }
        let mut bytes = serde_json::to_vec(secrets)?;
        if let Some(seal) = &self.seal {
            bytes = seal.seal(&run.to_string(), &bytes)?;
        }
        secret_file::write(&self.path(run), &bytes)
    }

    /// A run's secrets; none when none were kept.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load(&self, run: RunId) -> io::Result<SecretMap> {
        match fs::read(self.path(run)) {
            Ok(mut bytes) => {
                if let Some(seal) = &self.seal {
                    bytes = seal.open(&run.to_string(), &bytes)?;
                }
                Ok(serde_json::from_slice(&bytes)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(SecretMap::new()),
            Err(error) => Err(error),
        }
    }

    /// Removes a run's secrets.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(&self, run: RunId) -> io::Result<()> {
        match fs::remove_file(self.path(run)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Removes what belongs to no run of these: left by a crash between the run's end and the removal.
    ///
    /// # Errors
    /// When the folder cannot be read or a file cannot be removed.
    pub fn keep_only(&self, runs: &BTreeSet<RunId>) -> io::Result<()> {
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let run = path.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.parse().ok());
            if run.is_none_or(|run| !runs.contains(&run)) {
                fs::remove_file(path)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn secrets_live_as_long_as_their_run() {
        let folder = tempfile::tempdir().unwrap();
        let secrets = Secrets::new(folder.path().to_owned(), None);
        let (first, second) = (RunId::from_u128(1), RunId::from_u128(2));
        let map = SecretMap::from([("TOKEN".to_owned(), "s3cret".to_owned())]);
        secrets.save(first, &map).unwrap();
        secrets.save(second, &map).unwrap();
        assert_eq!(secrets.load(first).unwrap(), map);
        secrets.keep_only(&BTreeSet::from([second])).unwrap();
        assert!(secrets.load(first).unwrap().is_empty());
        assert_eq!(secrets.load(second).unwrap(), map);
        secrets.remove(second).unwrap();
        secrets.remove(second).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        secrets.save(first, &SecretMap::new()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
