//! The tables, in SQL that both engines take, and how an older form becomes the current one.
//!
//! Columns are `bigint` or `text` and nothing else. Times are Unix milliseconds in columns that end in `_ms`; beside each table
//! with such columns there is a view whose name ends in `_utc`, with the same moments as text. docs/HISTORY.md describes
//! every column; a test compares.

use std::fmt::Write as _;

/// Each step and the format it leads to.
pub(super) const STEPS: &[(u32, &str)] = &[(1, FIRST), (2, TESTS), (3, REPORTS)];

const FIRST: &str = "CREATE TABLE meta (application text NOT NULL, format bigint NOT NULL);
    INSERT INTO meta (application, format) VALUES ('slipway-history', 0);
    CREATE TABLE projection (
        single bigint PRIMARY KEY CHECK (single = 1),
        epoch bigint NOT NULL,
        position bigint NOT NULL,
        hash text NOT NULL,
        rebuild_to bigint NOT NULL);
    INSERT INTO projection (single, epoch, position, hash, rebuild_to)
        VALUES (1, 0, 0, '0000000000000000000000000000000000000000000000000000000000000000', 0);
    CREATE TABLE runs (
        run text PRIMARY KEY,
        repository text NOT NULL,
        forge text NOT NULL,
        workflow_file text NOT NULL,
        workflow_name text NOT NULL,
        run_number bigint NOT NULL,
        run_attempt bigint NOT NULL,
        event_name text NOT NULL,
        git_ref text NOT NULL,
        sha text NOT NULL,
        actor text NOT NULL,
        untrusted bigint NOT NULL,
        share text,
        priority bigint NOT NULL,
        submitted_ms bigint NOT NULL,
        cancelled_by text,
        cancel_reason text,
        finished_ms bigint,
        result text,
        cause text,
        position bigint NOT NULL,
        finished_position bigint);
    CREATE INDEX runs_submitted ON runs (submitted_ms);
    CREATE INDEX runs_position ON runs (position);
    CREATE TABLE jobs (
        run text NOT NULL,
        job text NOT NULL,
        number bigint NOT NULL,
        instance text,
        name text NOT NULL,
        labels text,
        strict bigint,
        timeout_ms bigint,
        created_ms bigint NOT NULL,
        queued_ms bigint,
        started_ms bigint,
        finished_ms bigint,
        attempts bigint NOT NULL,
        result text,
        cause text,
        message text,
        position bigint NOT NULL,
        finished_position bigint,
        PRIMARY KEY (run, job, number));
    CREATE UNIQUE INDEX jobs_instance ON jobs (instance);
    CREATE INDEX jobs_position ON jobs (position);
    CREATE TABLE attempts (
        instance text NOT NULL,
        attempt bigint NOT NULL,
        run text NOT NULL,
        agent text NOT NULL,
        token text NOT NULL,
        leased_ms bigint NOT NULL,
        cancel_requested text,
        finished_ms bigint,
        outcome text,
        cause text,
        reported bigint,
        records bigint,
        records_digest text,
        message text,
        position bigint NOT NULL,
        finished_position bigint,
        PRIMARY KEY (instance, attempt));
    CREATE INDEX attempts_run ON attempts (run);
    CREATE INDEX attempts_position ON attempts (position);
    CREATE TABLE steps (
        instance text NOT NULL,
        attempt bigint NOT NULL,
        step bigint NOT NULL,
        run text NOT NULL,
        step_id text NOT NULL,
        name text NOT NULL,
        started_ms bigint,
        finished_ms bigint,
        outcome text,
        conclusion text,
        exit_code bigint,
        cpu_ms bigint,
        max_rss_bytes bigint,
        lines bigint NOT NULL,
        PRIMARY KEY (instance, attempt, step));
    CREATE INDEX steps_run ON steps (run);
    CREATE TABLE usage (
        instance text NOT NULL,
        attempt bigint NOT NULL,
        run text NOT NULL,
        repository text NOT NULL,
        job text NOT NULL,
        labels text,
        agent text NOT NULL,
        arch text,
        started_ms bigint NOT NULL,
        finished_ms bigint NOT NULL,
        slot_ms bigint NOT NULL,
        cpu_ms bigint,
        max_rss_bytes bigint,
        position bigint NOT NULL,
        PRIMARY KEY (instance, attempt));
    CREATE INDEX usage_finished ON usage (finished_ms);
    CREATE INDEX usage_position ON usage (position);
    CREATE TABLE audit (
        position bigint PRIMARY KEY,
        at_ms bigint NOT NULL,
        actor text NOT NULL,
        source text NOT NULL,
        action text NOT NULL,
        target text NOT NULL,
        effect text NOT NULL);
    CREATE INDEX audit_at ON audit (at_ms);
    CREATE TABLE agents (
        agent text PRIMARY KEY,
        name text NOT NULL,
        arch text NOT NULL,
        labels text NOT NULL,
        seen_ms bigint NOT NULL);";

/// Attempts that were projected before have their test cases with the next rebuild. Names are short enough for PostgreSQL's
/// indexes, whose entries have at most 2,704 bytes.
const TESTS: &str = "CREATE TABLE tests (
        instance text NOT NULL,
        attempt bigint NOT NULL,
        ordinal bigint NOT NULL,
        run text NOT NULL,
        report text NOT NULL,
        suite text NOT NULL,
        class text NOT NULL,
        name text NOT NULL,
        file text,
        line bigint,
        outcome text NOT NULL,
        duration_us bigint,
        message text,
        PRIMARY KEY (instance, attempt, ordinal));
    CREATE INDEX tests_run ON tests (run);
    CREATE INDEX tests_name ON tests (name, class);
    CREATE INDEX tests_duration ON tests (duration_us);";

/// Totals only: files, findings and components are in the records, as long as those are kept. Attempts that were projected
/// before have theirs with the next rebuild.
const REPORTS: &str = "CREATE TABLE reports (
        instance text NOT NULL,
        attempt bigint NOT NULL,
        run text NOT NULL,
        files bigint,
        lines bigint,
        covered bigint,
        critical bigint,
        high bigint,
        medium bigint,
        low bigint,
        components bigint,
        PRIMARY KEY (instance, attempt));
    CREATE INDEX reports_run ON reports (run);";

/// Tables with times, and which columns those are.
const MOMENTS: &[(&str, &[&str])] = &[
    ("runs", &["submitted_ms", "finished_ms"]),
    ("jobs", &["created_ms", "queued_ms", "started_ms", "finished_ms"]),
    ("attempts", &["leased_ms", "finished_ms"]),
    ("steps", &["started_ms", "finished_ms"]),
    ("usage", &["started_ms", "finished_ms"]),
    ("audit", &["at_ms"]),
    ("agents", &["seen_ms"]),
];

/// The SQL that the views have of their own in each engine.
#[derive(Debug, Clone, Copy)]
pub(super) enum Dialect {
    Sqlite,
    Postgres,
}

/// Drops the views, which are older than what the tables are about to be, and makes them anew.
pub(super) fn views(dialect: Dialect) -> String {
    let mut sql = String::new();
    for (table, columns) in MOMENTS {
        let moments: String = columns.iter().fold(String::new(), |mut text, column| {
            let (moment, name) = (moment(dialect, column), column.trim_end_matches("_ms"));
            // Writing to a string cannot fail.
            let _ = write!(text, ", {moment} AS {name}_utc");
            text
        });
        let _ = write!(sql, "CREATE VIEW {table}_utc AS SELECT {table}.*{moments} FROM {table};");
    }
    sql
}

/// What has to go before a step, for it may change columns.
pub(super) fn drop_views() -> String {
    MOMENTS.iter().map(|(table, _)| format!("DROP VIEW IF EXISTS {table}_utc;")).collect()
}

/// `2026-01-31T23:59:59.999Z`.
fn moment(dialect: Dialect, column: &str) -> String {
    match dialect {
        Dialect::Sqlite => format!("strftime('%Y-%m-%dT%H:%M:%fZ', {column} / 1000.0, 'unixepoch')"),
        Dialect::Postgres => format!(
            "to_char(to_timestamp({column} / 1000.0) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')"
        ),
    }
}
