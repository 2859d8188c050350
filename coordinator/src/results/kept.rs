//! A store that outlives its coordinators: each private fleet of `slipway run` begins where the one before ended.
//!
//! Whoever gives it keeps others from it for as long as the coordinator runs.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use slipway_kit::clock::Clock;

use super::error::ResultsError;
use super::{Results, ResultsPlaces, Sharing};
use crate::driver::leases::LeaseTable;
use crate::key::SigningKey;

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
    /// Opens a kept store. Caches are no reason not to run: of one that cannot be used, such as one that another version or a
    /// damaged disk left, a person is told, and there is none.
    pub(crate) async fn open_kept(
        kept: &KeptResults,
        key: &SigningKey,
        leases: Arc<LeaseTable>,
        clock: Arc<dyn Clock>,
    ) -> Option<Self> {
        let opened = async {
            let places = ResultsPlaces::folder(&kept.folder, Sharing::Alone);
            let results = Self::open(places, key, leases, clock).await?;
            results.keep_artifacts_of(&kept.runs).await?;
            Ok::<_, ResultsError>(results)
        };
        match opened.await {
            Ok(results) => Some(results),
            Err(error) => {
                let folder = kept.folder.display();
                tracing::warn!(%folder, %error, "the kept caches and artifacts cannot be used; delete the folder to begin anew");
                None
            }
        }
    }

    /// Removes the artifacts of all other runs.
    async fn keep_artifacts_of(&self, runs: &[(String, u64)]) -> Result<(), ResultsError> {
        let kept: BTreeSet<String> = runs.iter().map(|(file, number)| family(file, *number)).collect();
        let all = self.0.index.artifact_families().await?;
        let over = all.into_iter().filter(|(_, family)| !kept.contains(family));
        self.remove(over.map(|(id, _)| id).collect()).await
    }
}
