//! Journals on servers of the test.

use slipway_coordinator::journal::postgres::{PostgresJournal, PostgresOptions};
use slipway_coordinator::journal::{Address, Entry, Journal, JournalError, lead};
use slipway_tests::postgres::PostgresServer;

pub(crate) fn try_open(url: &str) -> Result<PostgresJournal, JournalError> {
    PostgresJournal::open(PostgresOptions::parse(url).unwrap())
}

pub(crate) fn open(url: &str) -> PostgresJournal {
    try_open(url).unwrap()
}

/// Opens what must not open; the message, in one line.
pub(crate) fn refused(url: &str) -> String {
    let message = try_open(url).unwrap_err().to_string();
    assert!(!message.contains('\n'), "{message}");
    assert!(!message.contains(slipway_tests::postgres::PASSWORD), "the password shows: {message}");
    message
}

pub(crate) fn leader(url: &str) -> (PostgresJournal, u64) {
    let mut journal = open(url);
    let epoch = lead(&mut journal, &Address::default()).unwrap();
    (journal, epoch)
}

pub(crate) fn entry(text: impl ToString) -> Entry {
    Entry { time_ms: 1, payload: text.to_string().into_bytes() }
}

/// The whole journal, as texts.
pub(crate) fn texts(journal: &mut dyn Journal) -> Vec<String> {
    let (mut texts, mut position) = (Vec::new(), journal.anchor().position);
    loop {
        let records = journal.read(position).unwrap();
        let Some(last) = records.last() else { return texts };
        position = last.position;
        texts.extend(records.into_iter().map(|record| String::from_utf8(record.payload).unwrap()));
    }
}

/// Stand-by servers, once they follow and the primary waits for `synchronous`.
pub(crate) fn wait_for_synchronous(primary: &PostgresServer) {
    slipway_tests::wait_until("the stand-by is synchronous", || {
        let query = "SELECT count(*) FROM pg_stat_replication WHERE sync_state IN ('sync', 'quorum')";
        (primary.sql("postgres", query) == "1").then_some(())
    });
}
