//! One server: a few connections to it, made when they are needed and made anew when they break.
//!
//! Nothing that others wait for is held by a call: whoever made it may have stopped looking after it, for as long as he waits for
//! another call, which would wait for the first one then.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Client, Pipeline, Value as Reply};
use tokio::sync::Mutex;

use super::commands::REPLY_BYTES;
use super::connect::Connector;

/// Bytes a second that a call's time limit counts on.
const SLOWEST_BYTES_A_MS: u64 = 8_000;

/// A server.
pub(super) struct Node {
    connector: Connector,
    client: Client,
    lines: Vec<Arc<Line>>,
    turn: AtomicUsize,
}

/// A place for one connection.
#[derive(Default)]
struct Line {
    /// The one in it and its number: each that is made has another.
    known: std::sync::Mutex<Option<Known>>,
    /// One at a time makes one; the others wait for the same.
    making: Mutex<()>,
    /// Calls answered.
    answers: AtomicU64,
}

type Known = (MultiplexedConnection, u64);

impl Line {
    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        // Nothing that can panic runs while it is held.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn made(self: Arc<Self>, connector: Connector, client: Client) -> Result<Known, String> {
        let _making = self.making.lock().await;
        if let Some(known) = self.known().clone() {
            return Ok(known);
        }
        let made = (connector.connect(&client).await?, NUMBERS.fetch_add(1, Ordering::Relaxed));
        Ok(self.known().insert(made).clone())
    }
}

/// Why a server was not asked, or did not answer.
#[derive(Debug)]
pub(super) enum NodeError {
    /// The connection broke: asking once more may help.
    Broken(String),
    /// No answer in time, or no connection: asking once more would only double the wait.
    Silent(String),
}

static NUMBERS: AtomicU64 = AtomicU64::new(1);

impl Node {
    pub(super) fn new(connector: &Connector, host: &str, port: u16) -> Result<Self, String> {
        let client = connector.client(host, port).map_err(|error| error.to_string())?;
        let lines = (0..connector.connections).map(|_| Arc::default()).collect();
        Ok(Self { connector: connector.clone(), client, lines, turn: AtomicUsize::new(0) })
    }

    /// Sends all and waits for all answers, within a time that depends on the bytes; once more, over a new connection,
    /// if this one was found broken, as it is after the server was started anew.
    pub(super) async fn ask(&self, pipeline: &Pipeline, bytes: usize) -> Result<Vec<Reply>, NodeError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.lines.len();
        let line = &self.lines[turn];
        match self.try_ask(line, pipeline, bytes).await {
            Err(NodeError::Broken(_)) => self.try_ask(line, pipeline, bytes).await,
            result => result,
        }
    }

    async fn try_ask(
        &self,
        line: &Arc<Line>,
        pipeline: &Pipeline,
        bytes: usize,
    ) -> Result<Vec<Reply>, NodeError> {
        let (mut connection, number) = self.connection(line).await?;
        let count = pipeline.len();
        let moved = (bytes + count * REPLY_BYTES) as u64;
        let limit = self.connector.timeout + Duration::from_millis(moved / SLOWEST_BYTES_A_MS);
        let mut sent = std::pin::pin!(connection.send_packed_commands(pipeline, 0, count));
        let answers = &line.answers;
        let mut seen = answers.load(Ordering::Relaxed);
        let answered = loop {
            match tokio::time::timeout(limit, &mut sent).await {
                Ok(answered) => break Some(answered),
                // As long as calls before this one are answered the server is busy, not gone.
                Err(_) if answers.load(Ordering::Relaxed) != seen => seen = answers.load(Ordering::Relaxed),
                Err(_) => break None,
            }
        };
        let error = match answered {
            Some(Ok(replies)) if replies.len() == count => {
                answers.fetch_add(1, Ordering::Relaxed);
                return Ok(replies);
            }
            Some(Ok(_)) => NodeError::Broken("fewer answers than questions".to_owned()),
            Some(Err(error)) => NodeError::Broken(error.to_string()),
            None => NodeError::Silent(format!("no answer within {} ms", limit.as_millis())),
        };
        // Forgotten, unless another is in its place already.
        line.known().take_if(|(_, known)| *known == number);
        Err(error)
    }

    async fn connection(&self, line: &Arc<Line>) -> Result<Known, NodeError> {
        let known = line.known().clone();
        if let Some(known) = known {
            return Ok(known);
        }
        // In a task of its own, which goes on whether or not somebody looks after this call.
        let making = tokio::spawn(Arc::clone(line).made(self.connector.clone(), self.client.clone()));
        let made = making.await.unwrap_or_else(|_| Err("the process ends".to_owned()));
        made.map_err(NodeError::Silent)
    }
}
