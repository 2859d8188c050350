//! For how long things are kept.

use std::time::Duration;

use super::{KEEP_JOURNAL_DAYS, OptionsError, days, wrong};
use crate::blobs::collector::KEEP_BLOBS_DAYS;
use crate::records::limits::KEEP_LOGS_DAYS;

/// A hundred years: a number beyond it was not meant.
const KEEP_MAX_DAYS: u32 = 36_500;

/// In days; 0 keeps for ever.
fn or_for_ever(flag: &'static str, given: u64) -> Result<Option<Duration>, OptionsError> {
    match given {
        0 => Ok(None),
        given if given <= KEEP_MAX_DAYS.into() => Ok(Some(days(given))),
        _ => Err(wrong(flag, format!("at most {KEEP_MAX_DAYS} days; 0 keeps for ever"))),
    }
}

pub(super) fn journal(given: Option<u64>) -> Result<Option<Duration>, OptionsError> {
    or_for_ever("--keep-journal", given.unwrap_or(KEEP_JOURNAL_DAYS))
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
    or_for_ever("--keep-blobs", given.unwrap_or(KEEP_BLOBS_DAYS).into())
}
