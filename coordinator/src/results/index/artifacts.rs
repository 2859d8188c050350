//! Artifacts: a name once in an attempt of a run.

use rusqlite::{OptionalExtension as _, Row, params};

use super::super::error::ResultsError;
use super::super::limits::{ARTIFACTS_LISTED_MAX, ARTIFACTS_PER_JOB_MAX};
use super::Index;
use super::uploads::{self, Known, Upload, Way};

/// An artifact to make.
#[derive(Debug, Clone)]
pub(in super::super) struct NewArtifact {
    pub(in super::super) repository: String,
    /// What the attempts of one run share.
    pub(in super::super) family: String,
    pub(in super::super) run_attempt: u64,
    pub(in super::super) run: String,
    pub(in super::super) instance: String,
    pub(in super::super) name: String,
    pub(in super::super) mime_type: String,
    pub(in super::super) lease: String,
    pub(in super::super) limit_bytes: u64,
    pub(in super::super) now_ms: u64,
    pub(in super::super) expires_ms: u64,
}

/// An artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Artifact {
    pub(in super::super) id: i64,
    pub(in super::super) run: String,
    pub(in super::super) instance: String,
    pub(in super::super) name: String,
    pub(in super::super) mime_type: String,
    pub(in super::super) sha256: String,
    pub(in super::super) size_bytes: u64,
    pub(in super::super) created_ms: u64,
    pub(in super::super) ready: bool,
}

const SELECT: &str =
    "SELECT artifact.id, run, instance, name, mime_type, sha256, size_bytes, created_ms, ready
 FROM artifact JOIN upload USING (id)";

fn artifact(row: &Row<'_>) -> rusqlite::Result<Artifact> {
    Ok(Artifact {
        id: row.get(0)?,
        run: row.get(1)?,
        instance: row.get(2)?,
        name: row.get(3)?,
        mime_type: row.get(4)?,
        sha256: row.get(5)?,
        size_bytes: row.get(6)?,
        created_ms: row.get(7)?,
        ready: row.get(8)?,
    })
}

impl Index {
    /// Makes an artifact that is to be filled, and says which upload it replaces; see [`Index::create_cache`].
    pub(in super::super) async fn create_artifact(
        &self,
        new: NewArtifact,
        is_live: impl Fn(&str) -> bool + Send + 'static,
    ) -> Result<(i64, Option<i64>), ResultsError> {
        self.change(move |transaction| {
            let mut statement = transaction.prepare_cached(&format!(
                "SELECT {} FROM artifact JOIN upload USING (id) WHERE repository = ?1 AND family = ?2 AND run_attempt = ?3 AND name = ?4",
                Known::columns("artifact")
            ))?;
            let known = statement.query_row(params![new.repository, new.family, new.run_attempt, new.name], Known::of).optional()?;
            let taken = || format!("an artifact with this name already exists on the workflow run: {}", new.name);
            let replaced = match uploads::make_way(transaction, known, &new.lease, is_live, taken)? {
                Way::Again(id) => return Ok((id, None)),
                Way::Free(replaced) => replaced,
            };
            let count: u32 = transaction.query_row(
                "SELECT count(*) FROM artifact WHERE run = ?1 AND instance = ?2",
                params![new.run, new.instance],
                |row| row.get(0),
            )?;
            if count >= ARTIFACTS_PER_JOB_MAX {
                return Err(ResultsError::TooLarge(format!("a job has at most {ARTIFACTS_PER_JOB_MAX} artifacts")));
            }
            let id = uploads::begin(transaction, &new.lease, new.limit_bytes)?;
            transaction.execute(
                "INSERT INTO artifact
                 (id, repository, family, run_attempt, name, run, instance, mime_type, created_ms, expires_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                params![
                    id, new.repository, new.family, new.run_attempt, new.name, new.run, new.instance, new.mime_type,
                    new.now_ms, new.expires_ms,
                ],
            )?;
            Ok((id, replaced))
        })
        .await
    }

    /// Lets nobody change the upload of an artifact that this lease began; it is not seen yet.
    pub(in super::super) async fn seal_artifact(
        &self,
        run: String,
        name: String,
        lease: String,
    ) -> Result<(Artifact, Upload), ResultsError> {
        self.change(move |transaction| {
            let found = transaction
                .prepare_cached(&format!("{SELECT} WHERE run = ?1 AND name = ?2 AND lease = ?3"))?
                .query_row(params![run, name, lease], artifact)
                .optional()?;
            let found = found.ok_or_else(|| {
                ResultsError::NotFound(format!("this job did not begin an artifact of the name {name}"))
            })?;
            let upload = uploads::seal(transaction, found.id)?;
            Ok((found, upload))
        })
        .await
    }

    /// Lets everybody see a sealed artifact.
    pub(in super::super) async fn finish_artifact(
        &self,
        id: i64,
        sha256: String,
    ) -> Result<(), ResultsError> {
        self.change(move |transaction| {
            transaction
                .execute("UPDATE artifact SET ready = 1, sha256 = ?2 WHERE id = ?1", params![id, sha256])?;
            Ok(())
        })
        .await
    }

    /// The artifacts of all attempts of a run that can be seen, oldest first.
    pub(in super::super) async fn list_artifacts(
        &self,
        repository: String,
        family: String,
        name: Option<String>,
        id: Option<i64>,
        now_ms: u64,
    ) -> Result<Vec<Artifact>, ResultsError> {
        self.look(move |connection| {
            let mut statement = connection.prepare_cached(&format!(
                "{SELECT} WHERE repository = ?1 AND family = ?2 AND ready = 1 AND expires_ms > ?3
                 AND (?4 IS NULL OR name = ?4) AND (?5 IS NULL OR artifact.id = ?5)
                 ORDER BY artifact.id LIMIT ?6",
            ))?;
            let rows = statement
                .query_map(params![repository, family, now_ms, name, id, ARTIFACTS_LISTED_MAX], artifact)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Forgets an artifact of a run that can be seen; its number comes back.
    pub(in super::super) async fn delete_artifact(
        &self,
        repository: String,
        family: String,
        run: String,
        name: String,
    ) -> Result<i64, ResultsError> {
        self.change(move |transaction| {
            let found: Option<i64> = transaction
                .query_row(
                    "SELECT id FROM artifact
                     WHERE repository = ?1 AND family = ?2 AND run = ?3 AND name = ?4 AND ready = 1",
                    params![repository, family, run, name],
                    |row| row.get(0),
                )
                .optional()?;
            let id = found.ok_or_else(|| ResultsError::NotFound(format!("there is no artifact {name}")))?;
            uploads::forget(transaction, id)?;
            Ok(id)
        })
        .await
    }

    /// An artifact's name and media type, if this is one.
    pub(in super::super) async fn artifact_name(
        &self,
        id: i64,
    ) -> Result<Option<(String, String)>, ResultsError> {
        self.look(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT name, mime_type FROM artifact WHERE id = ?1")?;
            Ok(statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?))).optional()?)
        })
        .await
    }

    /// All artifacts, finished or not, and what the attempts of their runs share.
    pub(in super::super) async fn artifact_families(&self) -> Result<Vec<(i64, String)>, ResultsError> {
        self.look(move |connection| {
            let mut statement = connection.prepare("SELECT id, family FROM artifact")?;
            let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// Artifacts whose time is over.
    pub(in super::super) async fn expired_artifacts(
        &self,
        now_ms: u64,
        limit: u32,
    ) -> Result<Vec<i64>, ResultsError> {
        self.look(move |connection| {
            let mut statement =
                connection.prepare_cached("SELECT id FROM artifact WHERE expires_ms <= ?1 LIMIT ?2")?;
            let ids = statement.query_map(params![now_ms, limit], |row| row.get(0))?;
            Ok(ids.collect::<Result<_, _>>()?)
        })
        .await
    }
}
