//! Artifacts of a run.

use super::Results;
use super::address::Permission;
use super::error::ResultsError;
use super::index::{Artifact, NewArtifact};
use super::limits::{ARTIFACT_MAX_BYTES, MEDIA_TYPE_MAX_BYTES, NAME_MAX_BYTES, RETENTION};
use super::token::{Claims, lease_word};

/// Characters that no artifact's name has, as in `@actions/artifact`: file systems refuse them.
const NAME_REFUSED: [char; 11] = ['"', ':', '<', '>', '|', '*', '?', '\r', '\n', '\\', '/'];

/// What artifacts of clients that say nothing are.
const ZIP: &str = "application/zip";

fn check_name(name: &str) -> Result<(), ResultsError> {
    if name.is_empty() || name.len() > NAME_MAX_BYTES || name.contains(NAME_REFUSED) || name.contains('\0') {
        return Err(ResultsError::Invalid(format!(
            "an artifact's name has 1 to {NAME_MAX_BYTES} bytes and none of \" : < > | * ? \\ /; this one is `{name}`"
        )));
    }
    Ok(())
}

/// The ids in a call must be the token's: they say in whose name it is made.
fn check_own(claims: &Claims, run: &str, instance: &str) -> Result<(), ResultsError> {
    if run == claims.run.to_string() && instance == claims.instance.to_string() {
        return Ok(());
    }
    Err(ResultsError::Denied("the ids in the call are not those in the job's token".to_owned()))
}

impl Results {
    /// Begins an artifact.
    pub(super) async fn create_artifact(
        &self,
        claims: &Claims,
        (run, instance): (&str, &str),
        name: &str,
        mime_type: Option<String>,
        expires_ms: Option<u64>,
    ) -> Result<i64, ResultsError> {
        check_own(claims, run, instance)?;
        check_name(name)?;
        let mime_type = mime_type.filter(|mime_type| !mime_type.is_empty()).unwrap_or_else(|| ZIP.to_owned());
        if mime_type.len() > MEDIA_TYPE_MAX_BYTES || mime_type.contains('\0') {
            return Err(ResultsError::Invalid(format!(
                "a media type has at most {MEDIA_TYPE_MAX_BYTES} bytes and no NUL"
            )));
        }
        let now_ms = self.now_ms();
        let latest = now_ms.saturating_add(u64::try_from(RETENTION.as_millis()).unwrap_or(u64::MAX));
        let new = NewArtifact {
            repository: claims.repository.clone(),
            family: claims.family.clone(),
            run_attempt: claims.run_attempt,
            run: run.to_owned(),
            instance: instance.to_owned(),
            name: name.to_owned(),
            mime_type,
            lease: lease_word(&claims.lease()),
            limit_bytes: ARTIFACT_MAX_BYTES,
            now_ms,
            expires_ms: expires_ms.unwrap_or(latest).min(latest),
        };
        let (id, replaced) = self.0.index.create_artifact(new, self.is_live()).await?;
        self.0.bytes.remove(replaced.into_iter().collect()).await;
        Ok(id)
    }

    /// Ends an artifact: its bytes are read again, and must be those that were announced.
    pub(super) async fn finish_artifact(
        &self,
        claims: &Claims,
        (run, instance): (&str, &str),
        name: &str,
        size_bytes: u64,
        hash: Option<&str>,
    ) -> Result<i64, ResultsError> {
        check_own(claims, run, instance)?;
        let lease = lease_word(&claims.lease());
        let (artifact, upload) = self.0.index.seal_artifact(run.to_owned(), name.to_owned(), lease).await?;
        if artifact.ready {
            return Ok(artifact.id);
        }
        let checked = self.check_artifact(artifact.id, upload.size_bytes, size_bytes, hash).await;
        match checked {
            Ok(sha256) => self.0.index.finish_artifact(artifact.id, sha256).await?,
            Err(error) => {
                // What was announced never came; the name is free again.
                self.remove(vec![artifact.id]).await?;
                return Err(error);
            }
        }
        Ok(artifact.id)
    }

    async fn check_artifact(
        &self,
        id: i64,
        uploaded_bytes: u64,
        announced_bytes: u64,
        hash: Option<&str>,
    ) -> Result<String, ResultsError> {
        if uploaded_bytes != announced_bytes {
            return Err(ResultsError::Invalid(format!(
                "{uploaded_bytes} bytes were uploaded, not {announced_bytes}"
            )));
        }
        let (_, parts) = self.0.index.parts(id).await?;
        let sha256 = hex::encode(self.0.bytes.sha256(id, parts).await?);
        let announced = hash.map(|hash| hash.strip_prefix("sha256:").unwrap_or(hash));
        match announced.filter(|announced| !announced.eq_ignore_ascii_case(&sha256)) {
            None => Ok(sha256),
            Some(announced) => Err(ResultsError::Invalid(format!(
                "the bytes that were uploaded have the SHA-256 {sha256}, not {announced}"
            ))),
        }
    }

    /// The artifacts of the token's run, over all its attempts.
    pub(super) async fn list_artifacts(
        &self,
        claims: &Claims,
        ids: (&str, &str),
        name: Option<String>,
        id: Option<i64>,
    ) -> Result<Vec<Artifact>, ResultsError> {
        check_own(claims, ids.0, ids.1)?;
        let (repository, family) = (claims.repository.clone(), claims.family.clone());
        self.0.index.list_artifacts(repository, family, name, id, self.now_ms()).await
    }

    /// Where an artifact of the run can be downloaded.
    pub(super) async fn artifact_address(
        &self,
        claims: &Claims,
        run: &str,
        name: String,
        origin: &str,
    ) -> Result<String, ResultsError> {
        let (repository, family) = (claims.repository.clone(), claims.family.clone());
        let listed =
            self.0.index.list_artifacts(repository, family, Some(name.clone()), None, self.now_ms()).await?;
        let found = listed.into_iter().find(|artifact| artifact.run == run);
        let found = found.ok_or_else(|| ResultsError::NotFound(format!("there is no artifact {name}")))?;
        Ok(self.address(origin, found.id, Permission::Read, &claims.lease()))
    }

    /// The artifacts of another run of the token's repository, over all its attempts: what `actions/download-artifact` gets with a
    /// `run-id`. Code from outside sees its own run's alone: nobody looked at what another run may have left.
    pub(super) async fn list_others_artifacts(
        &self,
        claims: &Claims,
        run: &str,
        name: Option<String>,
    ) -> Result<Vec<Artifact>, ResultsError> {
        if claims.outside {
            let why = "code from outside of the repository gets artifacts of its own run alone";
            return Err(ResultsError::Denied(why.to_owned()));
        }
        let repository = claims.repository.clone();
        self.0.index.artifacts_of_attempts(repository, run.to_owned(), name, self.now_ms()).await
    }

    /// Where an artifact of another run can be downloaded.
    pub(super) async fn others_artifact_address(
        &self,
        claims: &Claims,
        run: &str,
        name: String,
        origin: &str,
    ) -> Result<String, ResultsError> {
        let listed = self.list_others_artifacts(claims, run, Some(name.clone())).await?;
        let found = listed.into_iter().find(|artifact| artifact.run == run);
        let found = found.ok_or_else(|| ResultsError::NotFound(format!("there is no artifact {name}")))?;
        Ok(self.address(origin, found.id, Permission::Read, &claims.lease()))
    }

    /// Deletes an artifact of the run.
    pub(super) async fn delete_artifact(
        &self,
        claims: &Claims,
        run: String,
        name: String,
    ) -> Result<i64, ResultsError> {
        let (repository, family) = (claims.repository.clone(), claims.family.clone());
        let id = self.0.index.delete_artifact(repository, family, run, name).await?;
        self.0.bytes.remove(vec![id]).await;
        Ok(id)
    }
}
