//! One server: a few connections to it, made when they are needed and made anew when they break.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
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
    lines: Vec<Mutex<Line>>,
    /// Calls answered, by line.
    answers: Vec<AtomicU64>,
    turn: AtomicUsize,
}

/// A place for one connection; each one made in it has a number.
#[derive(Default)]
struct Line {
    connection: Option<MultiplexedConnection>,
    number: u64,
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
        let lines = (0..connector.connections).map(|_| Mutex::default()).collect();
        let answers = (0..connector.connections).map(|_| AtomicU64::new(0)).collect();
        Ok(Self { connector: connector.clone(), client, lines, answers, turn: AtomicUsize::new(0) })
    }

    /// Sends all and waits for all answers, within a time that depends on the bytes; once more, over a new connection,
    /// if this one was found broken, as it is after the server was started anew.
    pub(super) async fn ask(&self, pipeline: &Pipeline, bytes: usize) -> Result<Vec<Reply>, NodeError> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.lines.len();
        match self.try_ask(turn, pipeline, bytes).await {
            Err(NodeError::Broken(_)) => self.try_ask(turn, pipeline, bytes).await,
            result => result,
        }
    }

    async fn try_ask(&self, turn: usize, pipeline: &Pipeline, bytes: usize) -> Result<Vec<Reply>, NodeError> {
        let (mut connection, number) = self.line(turn).await?;
        let count = pipeline.len();
        let moved = (bytes + count * REPLY_BYTES) as u64;
        let limit = self.connector.timeout + Duration::from_millis(moved / SLOWEST_BYTES_A_MS);
        let mut sent = std::pin::pin!(connection.send_packed_commands(pipeline, 0, count));
        let answers = &self.answers[turn];
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
        self.give_up(turn, number).await;
        Err(error)
    }

    async fn line(&self, turn: usize) -> Result<(MultiplexedConnection, u64), NodeError> {
        // Held while connecting: who else wants this line waits for the same connection.
        let mut line = self.lines[turn].lock().await;
        if let Some(connection) = &line.connection {
            return Ok((connection.clone(), line.number));
        }
        let connection = self.connector.connect(&self.client).await.map_err(NodeError::Silent)?;
        *line =
            Line { connection: Some(connection.clone()), number: NUMBERS.fetch_add(1, Ordering::Relaxed) };
        Ok((connection, line.number))
    }

    /// Forgets a connection, unless another is in its place already.
    async fn give_up(&self, turn: usize, number: u64) {
        let mut line = self.lines[turn].lock().await;
        if line.number == number {
            line.connection = None;
        }
    }
}
