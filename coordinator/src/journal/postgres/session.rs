//! One connection to the server that takes writes, set up for a journal.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt as _;
use futures_util::stream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};

use super::failure::{Failure, of_statement, passes, words};
use super::limits::{ANSWER_TIMEOUT, CHANNEL, CLOSE_PATIENCE, SERVER_MIN};
use super::options::{PostgresOptions, Target};
use super::schema;
use super::statements::Statements;
use super::tls::{Stream, Tls};
use crate::journal::JournalError;

/// What the server tells besides answers.
#[derive(Debug, Default)]
pub(super) struct Signals {
    /// Something was appended, somebody took over, or the connection ended.
    pub(super) changed: Notify,
    /// The last warning since it was looked for.
    warning: Mutex<Option<String>>,
}

impl Signals {
    /// The warning since the last call. A commit that stops to wait for its synchronous stand-by tells so by a warning
    /// before its answer, and in no other way.
    pub(super) fn take_warning(&self) -> Option<String> {
        self.warning.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A connection.
pub(super) struct Session {
    pub(super) client: Client,
    pub(super) statements: Statements,
    pub(super) signals: Arc<Signals>,
    /// Whether it holds the advisory lock of the epoch that its handle leads.
    pub(super) locked: AtomicBool,
    task: JoinHandle<()>,
}

impl Session {
    /// Connects to the first host that takes writes.
    pub(super) async fn open(options: &PostgresOptions, tls: &Tls, place: &str) -> Result<Self, Failure> {
        let (host, connected) = Connected::open(options, tls, place).await?;
        let set_up = tokio::time::timeout(ANSWER_TIMEOUT, connected.set_up(place)).await;
        set_up.unwrap_or_else(|_| Err(Failure::Lost(format!("{host}: no answer"))))
    }

    /// Ends it in good order, so that the server gives back its lock at once.
    pub(super) async fn close(self) {
        drop(self.client);
        // A server that does not answer finds out by itself.
        let _ = tokio::time::timeout(CLOSE_PATIENCE, self.task).await;
    }
}

/// A connection to a server that takes writes.
struct Connected {
    client: Client,
    signals: Arc<Signals>,
    task: JoinHandle<()>,
}

impl Connected {
    /// Connects to the first host that takes writes, and names it.
    async fn open(options: &PostgresOptions, tls: &Tls, place: &str) -> Result<(String, Self), Failure> {
        let (mut reasons, mut lasting) = (Vec::new(), true);
        for target in options.targets() {
            match tokio::time::timeout(ANSWER_TIMEOUT, Self::to_host(&target, tls)).await {
                Ok(Ok(connected)) => return Ok((target.place, connected)),
                Ok(Err(refusal)) => {
                    lasting &= refusal.lasting;
                    reasons.push(format!("{}: {}", target.place, refusal.reason));
                }
                Err(_) => {
                    lasting = false;
                    reasons.push(format!("{}: no answer", target.place));
                }
            }
        }
        let reason = reasons.join("; ");
        match lasting {
            true => Err(Failure::Final(JournalError::Engine { place: place.to_owned(), reason })),
            false => Err(Failure::Lost(reason)),
        }
    }

    async fn to_host(target: &Target, tls: &Tls) -> Result<Self, Refusal> {
        let (client, connection) = target.config.connect(tls.clone()).await.map_err(Refusal::of)?;
        let signals = Arc::<Signals>::default();
        let task = tokio::spawn(drive(connection, Arc::clone(&signals)));
        check_server(&client, &target.place).await?;
        Ok(Self { client, signals, task })
    }

    async fn set_up(mut self, place: &str) -> Result<Session, Failure> {
        let error = of_statement(place);
        schema::prepare(&mut self.client, place).await?;
        let statements = Statements::prepare(&self.client).await.map_err(error)?;
        self.client.batch_execute(&format!("LISTEN {CHANNEL}")).await.map_err(error)?;
        let Self { client, signals, task } = self;
        Ok(Session { client, statements, signals, locked: AtomicBool::new(false), task })
    }
}

/// A connection to the journal's server for something beside the journal. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) client: Client,
}

impl Link {
    /// Connects to the first host that takes writes.
    ///
    /// # Errors
    /// Why none does, for a person; a password is never in it.
    pub(crate) async fn open(options: &PostgresOptions) -> Result<Self, String> {
        let tls = Tls::new(options)?;
        match Connected::open(options, &tls, &options.to_string()).await {
            // The task that moves its bytes ends with the client.
            Ok((_, Connected { client, .. })) => Ok(Self { client }),
            Err(Failure::Lost(reason)) => Err(reason),
            Err(Failure::Final(error)) => Err(error.to_string()),
        }
    }
}

/// A host that cannot be used.
struct Refusal {
    reason: String,
    /// Whether waiting is no help.
    lasting: bool,
}

impl Refusal {
    fn of(error: tokio_postgres::Error) -> Self {
        Self { reason: words(&error), lasting: !passes(&error) }
    }
}

/// What the server says about itself; each part is readable for every user.
const ABOUT: &str = "SELECT pg_is_in_recovery(), current_setting('server_version_num')::int, \
                     current_setting('synchronous_commit'), current_setting('fsync'), \
                     current_setting('synchronous_standby_names'), (SELECT count(*) FROM pg_stat_replication), \
                     current_setting('transaction_read_only')";

/// What every session has: a commit waits for the disk and for the synchronous stand-by if there is one, and nothing but
/// our own patience ends a statement.
const SETTINGS: &str = "SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', \
                        'lock_timeout', 'idle_session_timeout', 'transaction_timeout', \
                        'idle_in_transaction_session_timeout'); \
                        SET search_path = pg_catalog; SET default_transaction_isolation = 'read committed'";

/// Checks that the server takes writes and keeps what it confirms.
async fn check_server(client: &Client, place: &str) -> Result<(), Refusal> {
    let row = client.query_one(ABOUT, &[]).await.map_err(Refusal::of)?;
    let (stand_by, version): (bool, i32) = (row.get(0), row.get(1));
    let (commit, fsync, names): (String, String, String) = (row.get(2), row.get(3), row.get(4));
    let attached: i64 = row.get(5);
    let read_only: String = row.get(6);
    if version < SERVER_MIN {
        let reason =
            format!("PostgreSQL {} is too old; at least {} is needed", version / 10_000, SERVER_MIN / 10_000);
        return Err(Refusal { reason, lasting: true });
    }
    if stand_by || read_only == "on" {
        let reason = if stand_by { "it is a stand-by and takes no writes" } else { "it takes no writes" };
        return Err(Refusal { reason: reason.to_owned(), lasting: false });
    }
    client.batch_execute(SETTINGS).await.map_err(Refusal::of)?;
    // `remote_apply` is even more than `on`.
    if commit != "on" && commit != "remote_apply" {
        client.batch_execute("SET synchronous_commit = on").await.map_err(Refusal::of)?;
        tracing::warn!(
            place,
            "the server's synchronous_commit is `{commit}`, with which a confirmed transaction can be lost; the journal's own \
             connections use `on`"
        );
    }
    if fsync != "on" {
        tracing::warn!(
            place,
            "the server's fsync is off: a power cut can damage the journal or lose its end"
        );
    }
    match names.is_empty() {
        true => tracing::info!(
            place,
            replicas = attached,
            "PostgreSQL without a synchronous stand-by: what it confirmed last is lost with this server"
        ),
        false => tracing::info!(
            place,
            replicas = attached,
            synchronous = names,
            "PostgreSQL with a synchronous stand-by"
        ),
    }
    Ok(())
}

/// Moves bytes until the connection ends.
async fn drive(mut connection: Connection<Socket, Stream<Socket>>, signals: Arc<Signals>) {
    let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
    while let Some(message) = messages.next().await {
        match message {
            Ok(AsyncMessage::Notification(_)) => signals.changed.notify_one(),
            Ok(AsyncMessage::Notice(notice)) if notice.severity() == "WARNING" => {
                let text = notice.message().to_owned();
                *signals.warning.lock().unwrap_or_else(PoisonError::into_inner) = Some(text);
            }
            Ok(_) => {}
            Err(error) => {
                tracing::debug!(error = words(&error), "the connection to the journal ended");
                break;
            }
        }
    }
    signals.changed.notify_one();
}
