//! The projections in the journal's PostgreSQL database, in a schema of their own.
//!
//! Each transaction checks in its last statement that the journal's epoch is this leader's and that the cursor is where this leader
//! left it, so a leader that was replaced writes nothing; and it locks no row that an append needs. `synchronous_commit` is off: a
//! crash of the server may take the last transactions, whole; they are made again from the journal.

use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::Poll;

use bytes::BytesMut;
use tokio::time::timeout;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Client, Error, SimpleQueryMessage, Transaction};

use super::limits::{ANSWER_TIMEOUT, PIPELINED};
use super::schema::{self, Dialect, STEPS};
use super::tables::{APPLICATION, Cursor, FORMAT, HistoryError, Pending, Row, Statement, Tables, Value};
use crate::journal::postgres::{Link, PostgresOptions, words};
use crate::journal::{Hash, Mark};

/// The schema of the tables.
pub const SCHEMA: &str = "slipway_history";

/// Held while the tables are made, so that of two leaders at a change one makes them: "Slih".
const MIGRATION_LOCK: i64 = 0x536c_6968;

/// `$1` epoch, `$2` and `$3` the new mark, `$4` the end of a rebuild, `$5` and `$6` the mark before.
const MOVE: &str = "UPDATE slipway_history.projection SET position = $2, hash = $3, rebuild_to = $4
    WHERE epoch = $1 AND position = $5 AND hash = $6 AND EXISTS (SELECT FROM slipway.leader WHERE epoch = $1)";

/// `$1` epoch. The epoch before may be a greater one, of a journal that lost something since.
const CLAIM: &str = "UPDATE slipway_history.projection SET epoch = $1
    WHERE EXISTS (SELECT FROM slipway.leader WHERE epoch = $1) RETURNING position, hash, rebuild_to";

/// Projections in a PostgreSQL database.
#[derive(Debug)]
pub struct PostgresTables {
    link: Link,
    place: String,
    prepared: HashMap<&'static str, tokio_postgres::Statement>,
}

impl PostgresTables {
    /// Connects to the server that takes writes, and makes the tables or brings them to the current format.
    ///
    /// # Errors
    /// [`HistoryError::Newer`], [`HistoryError::Foreign`], [`HistoryError::Engine`].
    pub async fn open(options: &PostgresOptions) -> Result<Self, HistoryError> {
        let place = format!("schema {SCHEMA} of {options}");
        let failed = |reason: String| HistoryError::Engine { place: place.clone(), reason };
        let link = Link::open(options).await.map_err(failed)?;
        let mut tables = Self { link, place, prepared: HashMap::new() };
        let place = tables.place.clone();
        within(&place, prepare(&mut tables.link.client, &place)).await?;
        Ok(tables)
    }
}

/// What a server that hangs must not hold up for ever.
async fn within<T>(
    place: &str,
    work: impl Future<Output = Result<T, HistoryError>>,
) -> Result<T, HistoryError> {
    let late = || HistoryError::Engine {
        place: place.to_owned(),
        reason: format!("no answer for {} s", ANSWER_TIMEOUT.as_secs()),
    };
    timeout(ANSWER_TIMEOUT, work).await.unwrap_or_else(|_| Err(late()))
}

fn failed(place: &str) -> impl Fn(Error) -> HistoryError + Copy + '_ {
    move |error| HistoryError::Engine { place: place.to_owned(), reason: words(&error) }
}

async fn prepare(client: &mut Client, place: &str) -> Result<(), HistoryError> {
    let failed = failed(place);
    let transaction = client.transaction().await.map_err(failed)?;
    let lock = format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})");
    transaction.batch_execute(&lock).await.map_err(failed)?;
    let from = find(&transaction, place).await?;
    if from != Some(FORMAT) {
        if from.is_none() {
            transaction.batch_execute(&format!("CREATE SCHEMA {SCHEMA}")).await.map_err(failed)?;
        }
        // The tables alone: nothing else is made.
        transaction.batch_execute(&format!("SET LOCAL search_path = {SCHEMA}")).await.map_err(failed)?;
        transaction.batch_execute(&schema::drop_views()).await.map_err(failed)?;
        for (format, step) in STEPS.iter().filter(|(format, _)| *format > from.unwrap_or(0)) {
            transaction.batch_execute(step).await.map_err(failed)?;
            let number = format!("UPDATE meta SET format = {format}");
            transaction.batch_execute(&number).await.map_err(failed)?;
        }
        transaction.batch_execute(&schema::views(Dialect::Postgres)).await.map_err(failed)?;
    }
    transaction.commit().await.map_err(failed)?;
    let settings = format!("SET search_path = {SCHEMA}; SET synchronous_commit = off");
    client.batch_execute(&settings).await.map_err(failed)
}

/// The format of what is there: `None` without the schema, 0 for an empty one.
async fn find(transaction: &Transaction<'_>, place: &str) -> Result<Option<u32>, HistoryError> {
    let failed = failed(place);
    let found = transaction
        .query_one(
            "WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname = $1) \
             SELECT EXISTS (SELECT FROM ours), (SELECT count(*) FROM pg_class JOIN ours ON relnamespace = ours.oid), \
             EXISTS (SELECT FROM pg_class JOIN ours ON relnamespace = ours.oid WHERE relname = 'meta')",
            &[&SCHEMA],
        )
        .await
        .map_err(failed)?;
    let (schema, relations, meta): (bool, i64, bool) = (found.get(0), found.get(1), found.get(2));
    let foreign = || HistoryError::Foreign { place: place.to_owned() };
    match (schema, relations, meta) {
        (false, ..) => return Ok(None),
        (true, 0, _) => return Ok(Some(0)),
        (true, _, false) => return Err(foreign()),
        (true, _, true) => {}
    }
    let query = format!("SELECT application, format FROM {SCHEMA}.meta");
    let row = transaction.query_opt(&query, &[]).await.map_err(failed)?.ok_or_else(foreign)?;
    let application: String = row.try_get(0).map_err(|_| foreign())?;
    let found: i64 = row.try_get(1).map_err(|_| foreign())?;
    match u32::try_from(found) {
        Ok(found) if application == APPLICATION && found > FORMAT => {
            Err(HistoryError::Newer { place: place.to_owned(), found })
        }
        Ok(found) if application == APPLICATION => Ok(Some(found)),
        _ => Err(foreign()),
    }
}

impl ToSql for Value {
    fn to_sql(
        &self,
        kind: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Number(number) => number.to_sql(kind, out),
            Self::Text(text) => text.to_sql(kind, out),
        }
    }

    fn accepts(kind: &Type) -> bool {
        // No column is anything else.
        [Type::INT8, Type::TEXT].contains(kind)
    }

    to_sql_checked!();
}

fn integer(number: u64) -> Value {
    number.into()
}

impl Tables for PostgresTables {
    fn claim(&mut self, epoch: u64) -> Pending<'_, Cursor> {
        let (client, place) = (&self.link.client, self.place.as_str());
        Box::pin(within(place, async move {
            let row = client.query_opt(CLAIM, &[&integer(epoch)]).await.map_err(failed(place))?;
            let row = row.ok_or(HistoryError::Fenced)?;
            let number = |at| row.try_get::<_, i64>(at).map(|number| u64::try_from(number).unwrap_or(0));
            let (position, rebuild_to) =
                (number(0).map_err(failed(place))?, number(2).map_err(failed(place))?);
            // A hash that is none is no record's: the journal shows that.
            let mut hash = Hash::default();
            let _ = hex::decode_to_slice(row.try_get::<_, &str>(1).map_err(failed(place))?, &mut hash);
            Ok(Cursor { mark: Mark { position, hash }, rebuild_to })
        }))
    }

    fn apply<'a>(
        &'a mut self,
        epoch: u64,
        from: Mark,
        statements: &'a [Statement],
        to: Cursor,
    ) -> Pending<'a, ()> {
        let Self { link, place, prepared } = self;
        let place = place.as_str();
        Box::pin(within(place, async move {
            let failed = failed(place);
            for sql in statements.iter().map(|statement| statement.sql).chain([MOVE]) {
                if !prepared.contains_key(sql) {
                    // Parameters are written with a dollar here.
                    let statement = link.client.prepare(&sql.replace('?', "$")).await.map_err(failed)?;
                    prepared.insert(sql, statement);
                }
            }
            let transaction = link.client.transaction().await.map_err(failed)?;
            for some in statements.chunks(PIPELINED) {
                in_order(&transaction, prepared, some).await.map_err(failed)?;
            }
            let moved: [Value; 6] = [
                integer(epoch),
                integer(to.mark.position),
                Value::Text(hex::encode(to.mark.hash)),
                integer(to.rebuild_to),
                integer(from.position),
                Value::Text(hex::encode(from.hash)),
            ];
            let moved = Statement::new(MOVE, moved);
            if in_order(&transaction, prepared, &[moved]).await.map_err(failed)? == 0 {
                transaction.rollback().await.map_err(failed)?;
                return Err(HistoryError::Fenced);
            }
            transaction.commit().await.map_err(failed)
        }))
    }

    fn query<'a>(&'a mut self, sql: &'a str) -> Pending<'a, Vec<Row>> {
        let (client, place) = (&self.link.client, self.place.as_str());
        Box::pin(within(place, async move {
            let messages = client.simple_query(sql).await.map_err(failed(place))?;
            let rows = messages.iter().filter_map(|message| match message {
                SimpleQueryMessage::Row(row) => {
                    Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect())
                }
                _ => None,
            });
            Ok(rows.collect())
        }))
    }
}

/// How many rows a statement changed, later.
type Answer<'a> = Pin<Box<dyn Future<Output = Result<u64, Error>> + Send + 'a>>;

/// Has statements done one after the other without waiting for each answer, and counts the rows that they change. They are sent in
/// the order in which they are first polled.
async fn in_order(
    transaction: &Transaction<'_>,
    prepared: &HashMap<&'static str, tokio_postgres::Statement>,
    statements: &[Statement],
) -> Result<u64, Error> {
    let parameters: Vec<Vec<&(dyn ToSql + Sync)>> = statements
        .iter()
        .map(|statement| statement.values.iter().map(|value| value as _).collect())
        .collect();
    let mut waiting: Vec<Option<Answer<'_>>> = Vec::new();
    for (Statement { sql, .. }, parameters) in statements.iter().zip(&parameters) {
        // All were prepared just now.
        let Some(statement) = prepared.get(sql) else { continue };
        waiting.push(Some(Box::pin(transaction.execute(statement, parameters))));
    }
    let mut changed = 0;
    poll_fn(|context| {
        let mut open = false;
        for slot in &mut waiting {
            let Some(answer) = slot else { continue };
            match answer.as_mut().poll(context) {
                Poll::Ready(Ok(rows)) => {
                    changed += rows;
                    *slot = None;
                }
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => open = true,
            }
        }
        if open { Poll::Pending } else { Poll::Ready(Ok(changed)) }
    })
    .await
}
