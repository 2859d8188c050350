//! `ArtifactService`.

use axum::response::Response;

use super::super::address::Permission;
use super::super::index::Artifact;
use super::caches::size;
use super::messages::{
    ArtifactIdResponse, CreateArtifactRequest, CreateArtifactResponse, FinalizeArtifactRequest,
    GetSignedArtifactUrlResponse, ListArtifactsRequest, ListArtifactsResponse, ListedArtifact,
    NamedArtifactRequest, Timestamp,
};
use super::{Call, TwirpError};

pub(super) async fn create(call: &Call<'_>) -> Result<Response, TwirpError> {
    let asked: CreateArtifactRequest = call.message()?;
    let ids = (asked.workflow_run_backend_id.as_str(), asked.workflow_job_run_backend_id.as_str());
    let expires_ms = asked.expires_at.map(Timestamp::ms);
    let id = call
        .results
        .create_artifact(&call.claims, ids, &asked.name, asked.mime_type.clone(), expires_ms)
        .await?;
    let signed_upload_url = call.results.address(&call.origin, id, Permission::Write, &call.claims.lease());
    Ok(call.form.answer(&CreateArtifactResponse { ok: true, signed_upload_url }))
}

pub(super) async fn finalize(call: &Call<'_>) -> Result<Response, TwirpError> {
    let asked: FinalizeArtifactRequest = call.message()?;
    let ids = (asked.workflow_run_backend_id.as_str(), asked.workflow_job_run_backend_id.as_str());
    let artifact_id = call
        .results
        .finish_artifact(&call.claims, ids, &asked.name, size(asked.size)?, asked.hash.as_deref())
        .await?;
    Ok(call.form.answer(&ArtifactIdResponse { ok: true, artifact_id }))
}

pub(super) async fn list(call: &Call<'_>) -> Result<Response, TwirpError> {
    let asked: ListArtifactsRequest = call.message()?;
    let ids = (asked.workflow_run_backend_id.as_str(), asked.workflow_job_run_backend_id.as_str());
    let listed =
        call.results.list_artifacts(&call.claims, ids, asked.name_filter.clone(), asked.id_filter).await?;
    Ok(listing(call, listed))
}

/// A method of Slipway's own: the same of another run, which the call names.
pub(super) async fn list_others(call: &Call<'_>) -> Result<Response, TwirpError> {
    let asked: ListArtifactsRequest = call.message()?;
    let run = &asked.workflow_run_backend_id;
    let listed = call.results.list_others_artifacts(&call.claims, run, asked.name_filter.clone()).await?;
    Ok(listing(call, listed))
}

fn listing(call: &Call<'_>, listed: Vec<Artifact>) -> Response {
    let artifacts = listed.into_iter().map(|artifact| ListedArtifact {
        workflow_run_backend_id: artifact.run,
        workflow_job_run_backend_id: artifact.instance,
        database_id: artifact.id,
        name: artifact.name,
        size: i64::try_from(artifact.size_bytes).unwrap_or(i64::MAX),
        created_at: Some(Timestamp::from_ms(artifact.created_ms)),
        digest: Some(format!("sha256:{}", artifact.sha256)),
    });
    call.form.answer(&ListArtifactsResponse { artifacts: artifacts.collect() })
}

pub(super) async fn address(call: &Call<'_>) -> Result<Response, TwirpError> {
    let asked: NamedArtifactRequest = call.message()?;
    let run = asked.workflow_run_backend_id;
    let signed_url = call.results.artifact_address(&call.claims, &run, asked.name, &call.origin).await?;
    Ok(call.form.answer(&GetSignedArtifactUrlResponse { signed_url }))
}

/// A method of Slipway's own: the same of another run.
pub(super) async fn others_address(call: &Call<'_>) -> Result<Response, TwirpError> {
    let asked: NamedArtifactRequest = call.message()?;
    let run = asked.workflow_run_backend_id;
    let signed_url =
        call.results.others_artifact_address(&call.claims, &run, asked.name, &call.origin).await?;
    Ok(call.form.answer(&GetSignedArtifactUrlResponse { signed_url }))
}

pub(super) async fn delete(call: &Call<'_>) -> Result<Response, TwirpError> {
    let asked: NamedArtifactRequest = call.message()?;
    let artifact_id =
        call.results.delete_artifact(&call.claims, asked.workflow_run_backend_id, asked.name).await?;
    Ok(call.form.answer(&ArtifactIdResponse { ok: true, artifact_id }))
}
