//! A store that outlives its coordinators: each private fleet of `slipway run` begins where the one before ended.
//!
//! Whoever gives it keeps others from it for as long as the coordinator runs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use super::Results;
use super::error::ResultsError;

/// Where the store is, and what of it is still wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptResults {
    /// The folder, for one coordinator at a time.
    pub folder: PathBuf,
    /// The runs whose artifacts are kept, as path of the workflow file and `github.run_number`: they are to be repeated, or
    /// may be. No other's can be asked for again, and those go when the store is opened.
    pub runs: Vec<(String, u64)>,
}

/// What the attempts of one run share.
pub(super) fn family(workflow_file: &str, run_number: u64) -> String {
    format!("{workflow_file}#{run_number}")
}

impl Results {
    /// Removes the artifacts of all other runs.
    ///
    /// # Errors
    /// [`ResultsError::Failed`].
    pub(crate) async fn keep_artifacts_of(&self, runs: &[(String, u64)]) -> Result<(), ResultsError> {
        let kept: BTreeSet<String> = runs.iter().map(|(file, number)| family(file, *number)).collect();
        let all = self.0.index.artifact_families().await?;
        let over = all.into_iter().filter(|(_, family)| !kept.contains(family));
        self.remove(over.map(|(id, _)| id).collect()).await
    }
}
