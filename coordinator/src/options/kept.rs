//! For how long things are kept.

use std::time::Duration;

use super::{KEEP_JOURNAL_DAYS, KEEP_JOURNAL_DAYS_MAX, OptionsError, days, wrong};
use crate::blobs::collector::KEEP_BLOBS_DAYS;
use crate::records::limits::KEEP_LOGS_DAYS;

/// A hundred years: a number beyond it was not meant.
const KEEP_MAX_DAYS: u32 = 36_500;

pub(super) fn journal(given: Option<u64>) -> Result<Option<Duration>, OptionsError> {
    let given = given.unwrap_or(KEEP_JOURNAL_DAYS);
    if given > KEEP_JOURNAL_DAYS_MAX {
        return Err(wrong(
            "--keep-journal",
            format!("at most {KEEP_JOURNAL_DAYS_MAX} days; 0 keeps for ever"),
        ));
    }
    Ok((given > 0).then(|| days(given)))
}

pub(super) fn logs(given: Option<u32>) -> Result<u32, OptionsError> {
    match given.unwrap_or(KEEP_LOGS_DAYS) {
        days @ 1..=KEEP_MAX_DAYS => Ok(days),
        days => {
            Err(wrong("--keep-logs", format!("{days} is not a number of days from 1 to {KEEP_MAX_DAYS}")))
        }
    }
}

pub(super) fn blobs(given: Option<u32>) -> Result<Option<Duration>, OptionsError> {
    match given.unwrap_or(KEEP_BLOBS_DAYS) {
        0 => Ok(None),
        given @ 1..=KEEP_MAX_DAYS => Ok(Some(days(given.into()))),
        _ => Err(wrong("--keep-blobs", format!("at most {KEEP_MAX_DAYS} days; 0 keeps for ever"))),
    }
}
