//! `journal`: batches appended to each engine, beside the same rows inserted by the same client without a journal: no hash
//! chain, no fencing, the same durability.

use std::path::Path;
use std::time::Instant;

use anyhow::Context as _;
use slipway_coordinator::journal::postgres::{PostgresJournal, PostgresOptions};
use slipway_coordinator::journal::sqlite::SqliteJournal;
use slipway_coordinator::journal::{Address, Entry, Journal, lead};
use tokio_postgres::NoTls;
use tokio_postgres::types::ToSql;

use crate::figure::{Figure, Samples};

/// What is appended.
#[derive(Debug, Clone, Copy)]
pub struct Load {
    /// Batches on each side.
    pub batches: usize,
    /// Records in a batch.
    pub records: usize,
    /// Bytes in a record.
    pub bytes: usize,
}

/// Times of all batches and how long they took together.
struct Side {
    samples: Samples,
    per_second: f64,
}

/// Measures SQLite in a new folder of `folder`, and PostgreSQL if there is a URL of an empty database, without TLS.
///
/// # Errors
/// When an engine cannot be opened or written.
pub async fn measure(load: Load, folder: &Path, postgres: Option<&str>) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir_in(folder)?;
    let ours = journaled(load, SqliteJournal::open(&folder.path().join("journal.db"))?)?;
    let raw = raw_sqlite(load, &folder.path().join("raw.db"))?;
    let mut figures = compare("sqlite", "raw INSERT, WAL, synchronous=FULL", ours, raw);
    if let Some(url) = postgres {
        let options = PostgresOptions::parse(url).map_err(anyhow::Error::msg)?;
        let ours =
            tokio::task::spawn_blocking(move || journaled(load, PostgresJournal::open(options)?)).await??;
        let raw = raw_postgres(load, url).await.context("the raw inserts")?;
        figures.extend(compare("postgres", "raw INSERT by the same client", ours, raw));
    }
    Ok(figures)
}

fn compare(engine: &str, baseline: &'static str, mut ours: Side, mut raw: Side) -> Vec<Figure> {
    let mut figures = vec![Figure::new(
        format!("journal.{engine}_records_per_s"),
        "per_s",
        ours.per_second,
        baseline,
        raw.per_second,
    )];
    for (name, share) in [("p50", 0.5), ("p99", 0.99)] {
        let (ours, raw) = (ours.samples.quantile_ms(share), raw.samples.quantile_ms(share));
        figures.push(Figure::new(format!("journal.{engine}_append_{name}"), "ms", ours, baseline, raw));
    }
    figures
}

/// What every record holds: it does not compress to nothing.
fn payload(load: Load, number: usize) -> Vec<u8> {
    (0..load.bytes).map(|index| (index * 31 + number * 17) as u8).collect()
}

fn journaled(load: Load, mut journal: impl Journal) -> anyhow::Result<Side> {
    let epoch = lead(&mut journal, &Address::default())?;
    let entries: Vec<Entry> =
        (0..load.records).map(|number| Entry { time_ms: 1, payload: payload(load, number) }).collect();
    let (mut samples, start) = (Samples::default(), Instant::now());
    for _ in 0..load.batches {
        let began = Instant::now();
        journal.append(epoch, &entries)?;
        samples.add(began.elapsed());
    }
    Ok(Side { samples, per_second: (load.batches * load.records) as f64 / start.elapsed().as_secs_f64() })
}

fn raw_sqlite(load: Load, path: &Path) -> anyhow::Result<Side> {
    let mut connection = rusqlite::Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE raw (position INTEGER PRIMARY KEY, payload BLOB NOT NULL) STRICT;",
    )?;
    let payloads: Vec<Vec<u8>> = (0..load.records).map(|number| payload(load, number)).collect();
    let (mut samples, start) = (Samples::default(), Instant::now());
    for _ in 0..load.batches {
        let began = Instant::now();
        let transaction = connection.transaction()?;
        {
            let mut insert = transaction.prepare_cached("INSERT INTO raw (payload) VALUES (?1)")?;
            for payload in &payloads {
                insert.execute([payload])?;
            }
        }
        transaction.commit()?;
        samples.add(began.elapsed());
    }
    Ok(Side { samples, per_second: (load.batches * load.records) as f64 / start.elapsed().as_secs_f64() })
}

async fn raw_postgres(load: Load, url: &str) -> anyhow::Result<Side> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    let driving = tokio::spawn(connection);
    client
        .batch_execute(
            "DROP TABLE IF EXISTS slipway_bench_raw;
             CREATE TABLE slipway_bench_raw (position bigserial PRIMARY KEY, payload bytea NOT NULL)",
        )
        .await?;
    let insert = client
        .prepare("INSERT INTO slipway_bench_raw (payload) SELECT payload FROM unnest($1::bytea[]) AS payload")
        .await?;
    let payloads: Vec<Vec<u8>> = (0..load.records).map(|number| payload(load, number)).collect();
    let (mut samples, start) = (Samples::default(), Instant::now());
    for _ in 0..load.batches {
        let began = Instant::now();
        let parameters: [&(dyn ToSql + Sync); 1] = [&payloads];
        client.execute(&insert, &parameters).await?;
        samples.add(began.elapsed());
    }
    let per_second = (load.batches * load.records) as f64 / start.elapsed().as_secs_f64();
    client.batch_execute("DROP TABLE slipway_bench_raw").await?;
    drop(client);
    driving.await??;
    Ok(Side { samples, per_second })
}
