//! Artifacts: a name once in an attempt of a run.

use super::super::error::ResultsError;
use super::super::limits::{ARTIFACTS_LISTED_MAX, ARTIFACTS_PER_JOB_MAX};
use super::Index;
use super::sql::{Row, all, first, only, values};
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
    /// When its time is over.
    pub(in super::super) expires_ms: u64,
    /// Somebody wants it kept beyond that.
    pub(in super::super) pinned: bool,
}

fn artifact(row: &Row) -> Result<Artifact, ResultsError> {
    Ok(Artifact {
        id: row.number(0)?,
        run: row.text(1)?,
        instance: row.text(2)?,
        name: row.text(3)?,
        mime_type: row.text(4)?,
        sha256: row.text(5)?,
        size_bytes: row.count(6)?,
        created_ms: row.count(7)?,
        ready: row.yes(8)?,
        expires_ms: row.count(9)?,
        pinned: row.yes(10)?,
    })
}

const KNOWN: &str = "SELECT artifact.id, ready, lease,
     CAST(CASE WHEN EXISTS (SELECT 1 FROM part WHERE part.upload = artifact.id) THEN 0 ELSE 1 END AS BIGINT)
     FROM artifact JOIN upload USING (id)
     WHERE repository = ?1 AND family = ?2 AND run_attempt = ?3 AND name = ?4";

const CREATE: &str = "INSERT INTO artifact
     (id, repository, family, run_attempt, name, run, instance, mime_type, created_ms, expires_ms)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)";

const OWN: &str = "SELECT artifact.id, run, instance, name, mime_type, sha256, size_bytes, created_ms, ready, expires_ms, pinned
     FROM artifact JOIN upload USING (id) WHERE run = ?1 AND name = ?2 AND lease = ?3";

const LIST: &str = "SELECT artifact.id, run, instance, name, mime_type, sha256, size_bytes, created_ms, ready, expires_ms, pinned
     FROM artifact JOIN upload USING (id)
     WHERE repository = ?1 AND family = ?2 AND ready = 1 AND (expires_ms > ?3 OR pinned = 1)
     AND (CAST(?4 AS TEXT) IS NULL OR name = CAST(?4 AS TEXT))
     AND (CAST(?5 AS BIGINT) IS NULL OR artifact.id = CAST(?5 AS BIGINT))
     ORDER BY artifact.id LIMIT ?6";

const OF_RUN: &str = "SELECT artifact.id, run, instance, name, mime_type, sha256, size_bytes, created_ms, ready, expires_ms, pinned
     FROM artifact JOIN upload USING (id)
     WHERE run = ?1 AND ready = 1 AND (expires_ms > ?2 OR pinned = 1)
     AND (CAST(?3 AS BIGINT) IS NULL OR artifact.id = CAST(?3 AS BIGINT))
     ORDER BY name, artifact.id LIMIT ?4";

const OF_ATTEMPTS: &str =
    "SELECT artifact.id, run, instance, name, mime_type, sha256, size_bytes, created_ms, ready, expires_ms, pinned
     FROM artifact JOIN upload USING (id)
     WHERE repository = ?1 AND family IN (SELECT family FROM artifact WHERE repository = ?1 AND run = ?2)
     AND ready = 1 AND (expires_ms > ?3 OR pinned = 1)
     AND (CAST(?4 AS TEXT) IS NULL OR name = CAST(?4 AS TEXT))
     ORDER BY artifact.id LIMIT ?5";

const SEEN: &str = "SELECT id FROM artifact
     WHERE repository = ?1 AND family = ?2 AND run = ?3 AND name = ?4 AND ready = 1";

impl Index {
    /// Makes an artifact that is to be filled, and says which upload it replaces; see [`Index::create_cache`].
    pub(in super::super) async fn create_artifact(
        &self,
        new: NewArtifact,
        is_live: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Result<(i64, Option<i64>), ResultsError> {
        self.change(move |sql| {
            let of = values![&new.repository, &new.family, new.run_attempt, &new.name];
            let known = first(sql, KNOWN, of)?.as_ref().map(Known::of).transpose()?;
            let taken =
                || format!("an artifact with this name already exists on the workflow run: {}", new.name);
            let replaced = match uploads::make_way(sql, known, &new.lease, &is_live, taken)? {
                Way::Again(id) => return Ok((id, None)),
                Way::Free(replaced) => replaced,
            };
            let of = values![&new.run, &new.instance];
            let count =
                only(sql, "SELECT count(*) FROM artifact WHERE run = ?1 AND instance = ?2", of)?.count(0)?;
            if count >= u64::from(ARTIFACTS_PER_JOB_MAX) {
                let reason = format!("a job has at most {ARTIFACTS_PER_JOB_MAX} artifacts");
                return Err(ResultsError::TooLarge(reason).into());
            }
            let id = uploads::begin(sql, &new.lease, new.limit_bytes)?;
            sql.execute(
                CREATE,
                values![
                    id,
                    &new.repository,
                    &new.family,
                    new.run_attempt,
                    &new.name,
                    &new.run,
                    &new.instance,
                    &new.mime_type,
                    new.now_ms,
                    new.expires_ms,
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
        self.change(move |sql| {
            let none =
                || ResultsError::NotFound(format!("this job did not begin an artifact of the name {name}"));
            let found = first(sql, OWN, values![&run, &name, &lease])?.ok_or_else(none)?;
            let found = artifact(&found)?;
            let upload = uploads::seal(sql, found.id)?;
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
        self.change(move |sql| {
            sql.execute("UPDATE artifact SET ready = 1, sha256 = ?2 WHERE id = ?1", values![id, &sha256])?;
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
        self.look(move |sql| {
            let of = values![&repository, &family, now_ms, name.as_deref(), id, ARTIFACTS_LISTED_MAX];
            all(sql, LIST, of, artifact)
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
        self.change(move |sql| {
            let none = || ResultsError::NotFound(format!("there is no artifact {name}"));
            let found = first(sql, SEEN, values![&repository, &family, &run, &name])?.ok_or_else(none)?;
            let id = found.number(0)?;
            uploads::forget(sql, id)?;
            Ok(id)
        })
        .await
    }

    /// The artifacts of one run that can be seen, by name; or the one of this number, if it is such a one.
    pub(in super::super) async fn artifacts_of_run(
        &self,
        run: String,
        id: Option<i64>,
        now_ms: u64,
    ) -> Result<Vec<Artifact>, ResultsError> {
        self.look(move |sql| all(sql, OF_RUN, values![&run, now_ms, id, ARTIFACTS_LISTED_MAX], artifact))
            .await
    }

    /// The artifacts of all attempts of a repository's run that can be seen, oldest first; none of one that left none itself.
    pub(in super::super) async fn artifacts_of_attempts(
        &self,
        repository: String,
        run: String,
        name: Option<String>,
        now_ms: u64,
    ) -> Result<Vec<Artifact>, ResultsError> {
        self.look(move |sql| {
            let of = values![&repository, &run, now_ms, name.as_deref(), ARTIFACTS_LISTED_MAX];
            all(sql, OF_ATTEMPTS, of, artifact)
        })
        .await
    }

    /// Keeps an artifact beyond its time, or no longer.
    pub(in super::super) async fn pin_artifact(&self, id: i64, pinned: bool) -> Result<(), ResultsError> {
        self.change(move |sql| {
            let pinned = i64::from(pinned);
            sql.execute("UPDATE artifact SET pinned = ?2 WHERE id = ?1", values![id, pinned])?;
            Ok(())
        })
        .await
    }

    /// An artifact's name and media type, if this is one.
    pub(in super::super) async fn artifact_name(
        &self,
        id: i64,
    ) -> Result<Option<(String, String)>, ResultsError> {
        self.look(move |sql| {
            let found = first(sql, "SELECT name, mime_type FROM artifact WHERE id = ?1", values![id])?;
            Ok(found.map(|row| Ok::<_, ResultsError>((row.text(0)?, row.text(1)?))).transpose()?)
        })
        .await
    }

    /// All artifacts, finished or not, and what the attempts of their runs share.
    pub(in super::super) async fn artifact_families(&self) -> Result<Vec<(i64, String)>, ResultsError> {
        self.look(move |sql| {
            all(sql, "SELECT id, family FROM artifact", values![], |row| Ok((row.number(0)?, row.text(1)?)))
        })
        .await
    }

    /// Artifacts whose time is over and that nobody wants kept.
    pub(in super::super) async fn expired_artifacts(
        &self,
        now_ms: u64,
        limit: u32,
    ) -> Result<Vec<i64>, ResultsError> {
        self.look(move |sql| {
            let over = "SELECT id FROM artifact WHERE expires_ms <= ?1 AND pinned = 0 LIMIT ?2";
            all(sql, over, values![now_ms, limit], |row| row.number(0))
        })
        .await
    }
}
