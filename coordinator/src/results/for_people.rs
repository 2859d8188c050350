//! Artifacts for people: what a run left, to look at, to download, to keep longer or to remove.

use axum::http::HeaderMap;
use axum::response::Response;
use serde::Serialize;
use slipway_scheduler::ids::RunId;

use super::Results;
use super::download;
use super::error::ResultsError;
use super::index::Artifact;

/// An artifact, as the API has it.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ArtifactView {
    /// Its number, which is never given again.
    pub(crate) id: i64,
    pub(crate) name: String,
    /// The job's instance that made it.
    pub(crate) instance: String,
    pub(crate) media_type: String,
    pub(crate) size_bytes: u64,
    pub(crate) sha256: String,
    pub(crate) created_ms: u64,
    /// When it goes; null: it is pinned.
    pub(crate) expires_ms: Option<u64>,
    pub(crate) pinned: bool,
}

impl From<Artifact> for ArtifactView {
    fn from(artifact: Artifact) -> Self {
        Self {
            id: artifact.id,
            name: artifact.name,
            instance: artifact.instance,
            media_type: artifact.mime_type,
            size_bytes: artifact.size_bytes,
            sha256: artifact.sha256,
            created_ms: artifact.created_ms,
            expires_ms: (!artifact.pinned).then_some(artifact.expires_ms),
            pinned: artifact.pinned,
        }
    }
}

impl Results {
    /// What a run left, by name.
    ///
    /// # Errors
    /// [`ResultsError::Failed`].
    pub(crate) async fn artifacts_of_run(&self, run: RunId) -> Result<Vec<ArtifactView>, ResultsError> {
        let found = self.0.index.artifacts_of_run(run.to_string(), None, self.now_ms()).await?;
        Ok(found.into_iter().map(ArtifactView::from).collect())
    }

    async fn artifact_of_run(&self, run: RunId, id: i64) -> Result<Artifact, ResultsError> {
        let found = self.0.index.artifacts_of_run(run.to_string(), Some(id), self.now_ms()).await?;
        let none = || ResultsError::NotFound(format!("the run {run} has no artifact {id}"));
        found.into_iter().next().ok_or_else(none)
    }

    /// An artifact's bytes, or the range of them that the headers ask for.
    ///
    /// # Errors
    /// [`ResultsError::NotFound`]; [`ResultsError::Failed`].
    pub(crate) async fn download_artifact(
        &self,
        run: RunId,
        id: i64,
        headers: &HeaderMap,
    ) -> Result<Response, ResultsError> {
        let artifact = self.artifact_of_run(run, id).await?;
        download::serve(self, artifact.id, headers).await
    }

    /// Keeps an artifact beyond its time, or no longer.
    ///
    /// # Errors
    /// [`ResultsError::NotFound`]; [`ResultsError::Failed`].
    pub(crate) async fn pin_artifact(
        &self,
        run: RunId,
        id: i64,
        pinned: bool,
    ) -> Result<ArtifactView, ResultsError> {
        let artifact = self.artifact_of_run(run, id).await?;
        self.0.index.pin_artifact(artifact.id, pinned).await?;
        Ok(Artifact { pinned, ..artifact }.into())
    }

    /// Removes an artifact, pinned or not; says which it was.
    ///
    /// # Errors
    /// [`ResultsError::NotFound`]; [`ResultsError::Failed`].
    pub(crate) async fn remove_artifact(&self, run: RunId, id: i64) -> Result<ArtifactView, ResultsError> {
        let artifact = self.artifact_of_run(run, id).await?;
        self.remove(vec![artifact.id]).await?;
        Ok(artifact.into())
    }
}
