//! What goes wrong with a server: which of it is worth another try, and in what words it is told.

use std::error::Error as _;
use std::io;

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use super::tls::TlsError;
use crate::journal::JournalError;

/// Why something did not work on a connection.
#[derive(Debug)]
pub(super) enum Failure {
    /// The connection or its server went away, or the server can't just now: another try may do.
    Lost(String),
    /// It stays so.
    Final(JournalError),
}

impl From<JournalError> for Failure {
    fn from(error: JournalError) -> Self {
        Failure::Final(error)
    }
}

/// What a failed statement means.
pub(super) fn of_statement(place: &str) -> impl Fn(Error) -> Failure + Copy + '_ {
    move |error| match passes(&error) {
        true => Failure::Lost(words(&error)),
        false => Failure::Final(JournalError::Engine { place: place.to_owned(), reason: words(&error) }),
    }
}

/// Whether another try may do, on this server or on another one.
pub(crate) fn passes(error: &Error) -> bool {
    let Some(code) = error.code() else {
        return error.is_closed() || cause::<io::Error>(error).is_some() || timed_out(error);
    };
    let classes = ["08", "40", "57"];
    let states = [SqlState::READ_ONLY_SQL_TRANSACTION, SqlState::TOO_MANY_CONNECTIONS];
    states.contains(code) || classes.iter().any(|class| code.code().starts_with(class))
}

fn timed_out(error: &Error) -> bool {
    error.to_string().starts_with("timeout")
}

fn cause<T: std::error::Error + 'static>(error: &Error) -> Option<&T> {
    let mut next = error.source();
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// The error in one line. The server never sends a password back, and the library never shows one.
pub(crate) fn words(error: &Error) -> String {
    if let Some(tls) = cause::<TlsError>(error) {
        return tls.to_string();
    }
    let Some(said) = error.as_db_error() else {
        let mut text = error.to_string();
        let mut next = error.source();
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        if text.contains("does not support TLS") {
            return "it has no TLS; set `ssl = on` there, or accept clear text with sslmode=disable"
                .to_owned();
        }
        if text.contains("password missing") {
            return "it asks for a password; put it into the URL".to_owned();
        }
        return text;
    };
    let mut text = said.message().to_owned();
    if let Some(detail) = said.detail() {
        text = format!("{text} ({detail})");
    }
    let advice = match said.code() {
        code if *code == SqlState::INVALID_PASSWORD => "; check user and password in the URL",
        code if *code == SqlState::INVALID_CATALOG_NAME => "; create it, or name another one in the URL",
        code if *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            "; docs/POSTGRESQL.md has the rights that are needed"
        }
        code if *code == SqlState::DISK_FULL => "; make room on the database server",
        _ => "",
    };
    text.push_str(advice);
    // One line, whatever the server's language puts in.
    text.replace(['\n', '\r'], " ")
}
