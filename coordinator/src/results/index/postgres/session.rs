//! One connection, and the transaction on it.

use std::collections::HashMap;

use bytes::BytesMut;
use futures_util::future::try_join_all;
use tokio::runtime::Handle;
use tokio::time::timeout;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use tokio_postgres::{Error, Statement};

use super::super::sql::{Fault, Row, Sql, Value};
use super::limits::{ANSWER_TIMEOUT, IDLE_TIMEOUT, LOCK_TIMEOUT, PIPELINED};
use super::{Place, fault, schema};
use crate::journal::postgres::{Link, PostgresOptions};

/// A connection.
pub(super) struct Session {
    link: Link,
    prepared: HashMap<&'static str, Statement>,
    place: Place,
}

/// What a server that hangs must not hold up for ever.
async fn within<T>(place: &Place, work: impl Future<Output = Result<T, Error>>) -> Result<T, Fault> {
    match timeout(ANSWER_TIMEOUT, work).await {
        Ok(done) => done.map_err(fault(place)),
        Err(_) => Err(Fault::Passing(format!("{place}: no answer for {} s", ANSWER_TIMEOUT.as_secs()))),
    }
}

impl Session {
    /// Connects to the server that takes writes, and makes the tables if need be.
    pub(super) async fn open(options: &PostgresOptions, place: &Place) -> Result<Self, Fault> {
        let mut link = Link::open(options).await.map_err(Fault::Passing)?;
        let prepared = timeout(ANSWER_TIMEOUT, schema::prepare(&mut link.client, place)).await;
        prepared.unwrap_or_else(|_| Err(Fault::Passing(format!("{place}: no answer"))))?;
        let settings = format!(
            "SET search_path = slipway; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = {}",
            LOCK_TIMEOUT.as_millis(),
            IDLE_TIMEOUT.as_millis()
        );
        within(place, link.client.batch_execute(&settings)).await?;
        Ok(Self { link, prepared: HashMap::new(), place: place.clone() })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.link.client.is_closed()
    }

    /// Does something that has no parameters and no answer.
    pub(super) async fn batch(&self, sql: &str) -> Result<(), Fault> {
        within(&self.place, self.link.client.batch_execute(sql)).await
    }

    async fn prepare(&mut self, sql: &'static str) -> Result<Statement, Fault> {
        if let Some(known) = self.prepared.get(sql) {
            return Ok(known.clone());
        }
        // Parameters are written with a dollar here.
        let statement = within(&self.place, self.link.client.prepare(&sql.replace('?', "$"))).await?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    pub(super) async fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, Fault> {
        let statement = self.prepare(sql).await?;
        let found = within(&self.place, self.link.client.query(&statement, &parameters(values))).await?;
        found.iter().map(|row| read(row).map_err(fault(&self.place))).collect()
    }

    async fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, Fault> {
        let statement = self.prepare(sql).await?;
        within(&self.place, self.link.client.execute(&statement, &parameters(values))).await
    }

    async fn execute_each(&mut self, sql: &'static str, each: &[Vec<Value>]) -> Result<(), Fault> {
        let statement = self.prepare(sql).await?;
        for some in each.chunks(PIPELINED) {
            let parameters: Vec<_> = some.iter().map(|values| parameters(values)).collect();
            let sent = parameters.iter().map(|values| self.link.client.execute(&statement, values));
            within(&self.place, try_join_all(sent)).await?;
        }
        Ok(())
    }
}

fn parameters(values: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    values.iter().map(|value| value as _).collect()
}

fn read(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let value = |(at, column): (usize, &tokio_postgres::Column)| {
        Ok(if *column.type_() == Type::INT8 {
            row.try_get::<_, Option<i64>>(at)?.map_or(Value::Null, Value::Number)
        } else {
            row.try_get::<_, Option<String>>(at)?.map_or(Value::Null, Value::Text)
        })
    };
    Ok(Row(row.columns().iter().enumerate().map(value).collect::<Result<_, Error>>()?))
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

/// A transaction, on a thread that may block.
pub(super) struct Under<'a> {
    pub(super) session: &'a mut Session,
    pub(super) runtime: &'a Handle,
}

impl Sql for Under<'_> {
    fn query(&mut self, sql: &'static str, values: &[Value]) -> Result<Vec<Row>, Fault> {
        self.runtime.block_on(self.session.query(sql, values))
    }

    fn execute(&mut self, sql: &'static str, values: &[Value]) -> Result<u64, Fault> {
        self.runtime.block_on(self.session.execute(sql, values))
    }

    fn execute_each(&mut self, sql: &'static str, each: &[Vec<Value>]) -> Result<(), Fault> {
        self.runtime.block_on(self.session.execute_each(sql, each))
    }
}
