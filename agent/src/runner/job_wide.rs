//! What the lanes of a job share besides its log: numbers of processes, and the actions that are loaded.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use slipway_workflow::action::Manifest;

use super::attempt::End;
use super::course::Loaded;
use super::folder::JobFolder;
use crate::failure::{Cause, Failure};
use crate::records::ledger::State;

/// As the journal keeps it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct JobWideSaved {
    /// Number of the next process in the job's containers.
    next_process: u32,
    /// Whether the run's own repository stands beside the workspace, for its actions.
    own: bool,
    /// Actions that were loaded, in that order; their manifests are files of the job's folder.
    actions: Vec<Loaded>,
}

impl Default for JobWideSaved {
    fn default() -> Self {
        Self { next_process: 1, own: false, actions: Vec::new() }
    }
}

/// See the module. Cheap to clone; all clones are the same.
#[derive(Debug, Clone)]
pub(super) struct JobWide {
    inner: Arc<Mutex<Inner>>,
    placing: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Debug)]
struct Inner {
    saved: JobWideSaved,
    /// The files of the actions in `saved.actions`, in the same order.
    manifests: Vec<Arc<Manifest>>,
}

impl JobWide {
    pub(super) fn new() -> Self {
        Self::with(JobWideSaved::default(), Vec::new())
    }

    /// Goes on with what an earlier process kept.
    pub(super) fn open(state: &State, folder: &JobFolder) -> Result<Self, Failure> {
        let saved: JobWideSaved = serde_json::from_str(state.get()).map_err(|error| {
            Failure::new(Cause::Internal, format!("the job's journal is damaged: {error}"))
        })?;
        let manifests = super::action::kept_manifests(folder, saved.actions.len())?;
        Ok(Self::with(saved, manifests))
    }

    fn with(saved: JobWideSaved, manifests: Vec<Arc<Manifest>>) -> Self {
        Self { inner: Arc::new(Mutex::new(Inner { saved, manifests })), placing: Arc::default() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn saved(&self) -> JobWideSaved {
        self.inner().saved.clone()
    }

    /// A number that no process has had.
    pub(super) fn next_process(&self) -> u32 {
        let mut inner = self.inner();
        let number = inner.saved.next_process;
        inner.saved.next_process += 1;
        number
    }

    /// An action, by its index.
    pub(super) fn action(&self, index: usize) -> Option<Loaded> {
        self.inner().saved.actions.get(index).cloned()
    }

    /// Its file.
    pub(super) fn manifest(&self, index: usize) -> Option<Arc<Manifest>> {
        self.inner().manifests.get(index).map(Arc::clone)
    }

    pub(super) fn manifests(&self) -> Vec<Arc<Manifest>> {
        self.inner().manifests.clone()
    }

    /// Index of the action with this key.
    pub(super) fn known(&self, key: &str) -> Option<usize> {
        self.inner().saved.actions.iter().position(|loaded| loaded.key == key)
    }

    /// Keeps what was read of an action in the job's folder; gives its index.
    pub(super) fn add(&self, folder: &JobFolder, loaded: Loaded, manifest: Manifest) -> Result<usize, End> {
        let io = |error: std::io::Error| Failure::io("cannot keep an action's file", &error);
        let bytes = serde_json::to_vec(&manifest)
            .map_err(|error| Failure::new(Cause::Internal, error.to_string()))?;
        let folder = folder.actions();
        std::fs::create_dir_all(&folder).map_err(io)?;
        let mut inner = self.inner();
        let index = inner.manifests.len();
        std::fs::write(folder.join(format!("{index}.json")), bytes).map_err(io)?;
        inner.manifests.push(Arc::new(manifest));
        inner.saved.actions.push(loaded);
        Ok(index)
    }

    /// The job begins anew: no action is loaded.
    pub(super) fn forget_actions(&self) {
        let mut inner = self.inner();
        inner.manifests.clear();
        inner.saved.actions.clear();
        inner.saved.own = false;
    }

    pub(super) fn has_own(&self) -> bool {
        self.inner().saved.own
    }

    pub(super) fn set_own(&self) {
        self.inner().saved.own = true;
    }

    /// One lane at a time puts actions into the work folder.
    pub(super) async fn placing(&self) -> tokio::sync::OwnedMutexGuard<()> {
        Arc::clone(&self.placing).lock_owned().await
    }
}
