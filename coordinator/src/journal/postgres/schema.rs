//! The tables, and how an older form becomes the current one.
//!
//! Invariant: whatever the format is, it was reached step by step, each step and its number in one transaction, under an
//! advisory lock, so that of several coordinators that start at once one migrates and the others find it done.

use tokio_postgres::{Client, Transaction};

use super::failure::{Failure, of_statement};
use super::limits::LOCK_CLASS;
use crate::journal::record::GENESIS;
use crate::journal::{FORMAT, JournalError};

/// Each step and the format it leads to. The numbers are those of [`FORMAT`], which all engines share: PostgreSQL came with 2.
const STEPS: &[(u32, &str)] = &[(
    2,
    "CREATE TABLE slipway.meta (
        single boolean PRIMARY KEY DEFAULT true CHECK (single),
        application text NOT NULL,
        format integer NOT NULL);
    INSERT INTO slipway.meta (application, format) VALUES ('slipway', 2);
    CREATE TABLE slipway.leader (
        single boolean PRIMARY KEY DEFAULT true CHECK (single),
        epoch bigint NOT NULL,
        claim bytea NOT NULL,
        http text NOT NULL,
        grpc text NOT NULL,
        beat timestamptz NOT NULL,
        head_position bigint NOT NULL,
        head_hash bytea NOT NULL,
        anchor_position bigint NOT NULL,
        anchor_hash bytea NOT NULL) WITH (fillfactor = 50);
    CREATE TABLE slipway.record (
        position bigint PRIMARY KEY,
        version bigint NOT NULL,
        epoch bigint NOT NULL,
        time_ms bigint NOT NULL,
        previous bytea NOT NULL,
        payload bytea NOT NULL,
        checksum bigint NOT NULL);
    CREATE TABLE slipway.snapshot (
        position bigint PRIMARY KEY,
        version bigint NOT NULL,
        checksum bigint NOT NULL,
        size_bytes bigint NOT NULL,
        state bytea NOT NULL);",
)];

/// What lies in the database.
enum Found {
    /// Nothing of ours.
    Nothing { schema: bool },
    /// Our tables in this format.
    Format(u32),
}

/// Makes the tables or brings them up to date.
pub(super) async fn prepare(client: &mut Client, place: &str) -> Result<(), Failure> {
    // Without a lock first: this is done with every connection, and almost always there is nothing to do.
    if let Found::Format(FORMAT) = find(client, place).await? {
        return Ok(());
    }
    let error = of_statement(place);
    let transaction = client.transaction().await.map_err(error)?;
    let lock = format!("SELECT pg_advisory_xact_lock({LOCK_CLASS}, 0)");
    transaction.batch_execute(&lock).await.map_err(error)?;
    let format = match find(transaction.client(), place).await? {
        Found::Format(format) => format,
        Found::Nothing { schema } => {
            if !schema {
                transaction.batch_execute("CREATE SCHEMA slipway").await.map_err(error)?;
            }
            0
        }
    };
    migrate(&transaction, format, place).await?;
    transaction.commit().await.map_err(error)
}

async fn migrate(transaction: &Transaction<'_>, from: u32, place: &str) -> Result<(), Failure> {
    let error = of_statement(place);
    for (format, step) in STEPS.iter().filter(|(format, _)| *format > from) {
        transaction.batch_execute(step).await.map_err(error)?;
        let number = format!("UPDATE slipway.meta SET format = {format}");
        transaction.batch_execute(&number).await.map_err(error)?;
        tracing::info!(place, format, "the journal's tables were brought to this format");
    }
    if from == 0 {
        let first = "INSERT INTO slipway.leader (epoch, claim, http, grpc, beat, head_position, head_hash, \
                     anchor_position, anchor_hash) VALUES (0, '', '', '', '-infinity', 0, $1, 0, $1)";
        transaction.execute(first, &[&GENESIS.as_slice()]).await.map_err(error)?;
    }
    Ok(())
}

async fn find(client: &Client, place: &str) -> Result<Found, Failure> {
    let error = of_statement(place);
    let foreign = || {
        let place = format!("schema `slipway` of {place}");
        Failure::Final(JournalError::Foreign { place })
    };
    let row = client
        .query_one(
            // From the catalogues, which everybody may read, whoever the schema belongs to.
            "WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname = 'slipway') \
             SELECT EXISTS (SELECT FROM ours), \
                 (SELECT count(*) FROM pg_class JOIN ours ON relnamespace = ours.oid), \
                 EXISTS (SELECT FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid \
                     JOIN ours ON relnamespace = ours.oid WHERE relname = 'meta' AND attname = 'application')",
            &[],
        )
        .await
        .map_err(error)?;
    let (schema, relations, ours): (bool, i64, bool) = (row.get(0), row.get(1), row.get(2));
    if !ours {
        return if relations == 0 { Ok(Found::Nothing { schema }) } else { Err(foreign()) };
    }
    let row = client.query_opt("SELECT application, format FROM slipway.meta", &[]).await.map_err(error)?;
    let row = row.ok_or_else(foreign)?;
    let application: String = row.try_get(0).map_err(error)?;
    let format: i32 = row.try_get(1).map_err(error)?;
    if application != "slipway" {
        return Err(foreign());
    }
    match u32::try_from(format) {
        Ok(found) if found > FORMAT => Err(JournalError::Newer { found, supported: FORMAT }.into()),
        Ok(format) if format > 0 => Ok(Found::Format(format)),
        _ => Err(foreign()),
    }
}
