//! How far a file is good, by reading all of it.

use super::SqliteJournal;
use crate::journal::{JournalError, MAX_READ, Mark};

/// How far a journal is good.
pub(super) struct Scan {
    /// The record that the journal begins after.
    pub(super) anchor: Mark,
    /// The last record that is good, with all before it.
    pub(super) good: Mark,
    /// What is wrong after it; `None`: the journal is whole.
    pub(super) damage: Option<JournalError>,
}

/// Reads until something is wrong.
///
/// # Errors
/// Whatever is no damage: a file that cannot be read, or a newer format.
pub(super) fn scan(journal: &SqliteJournal) -> Result<Scan, JournalError> {
    let (row, unreadable) = match journal.leader_row() {
        Ok(row) => (Some(row), None),
        Err(error @ JournalError::Damaged { .. }) => (None, Some(error)),
        Err(error) => return Err(error),
    };
    let anchor = match row {
        Some((_, _, anchor)) => anchor,
        None => first_predecessor(journal),
    };
    let mut good = anchor;
    let damage = loop {
        match journal.page(good, MAX_READ) {
            Ok(records) => match records.last() {
                Some(record) => good = record.mark(),
                None => break unreadable,
            },
            Err(JournalError::Damaged { reason, .. }) => {
                // The page was refused whole: what is good of it is found one by one.
                loop {
                    match advance(journal, &mut good) {
                        Ok(()) => {}
                        Err(JournalError::Damaged { .. }) => break,
                        Err(error) => return Err(error),
                    }
                }
                break Some(JournalError::Damaged { position: good.position + 1, reason });
            }
            Err(error) => return Err(error),
        }
    };
    let Some((epoch, head, _)) = row.filter(|_| damage.is_none()) else {
        return Ok(Scan { anchor, good, damage });
    };
    if head == good {
        let last = journal.record(good.position)?;
        let damage = last.filter(|record| record.epoch > epoch).map(|_| JournalError::Damaged {
            position: good.position + 1,
            reason: format!("the leader's epoch {epoch} is behind the last record's"),
        });
        return Ok(Scan { anchor, good, damage });
    }
    let reason = format!("the journal should end at {}", head.position);
    if head.position == good.position && good.position > anchor.position {
        // Whether the record or the row that names it was changed, nobody can tell.
        let last = journal.record(good.position)?;
        let reason = "the last record was changed".to_owned();
        let damage = Some(JournalError::Damaged { position: good.position, reason });
        if let Some(last) = last {
            good = Mark { position: good.position - 1, hash: last.previous };
        }
        return Ok(Scan { anchor, good, damage });
    }
    let damage = Some(JournalError::Damaged { position: good.position + 1, reason });
    Ok(Scan { anchor, good, damage })
}

/// The last good record before a damage that was found: `error`, or one before it.
pub(super) fn first_damage(journal: &SqliteJournal, error: JournalError) -> JournalError {
    match scan(journal) {
        Ok(Scan { damage: Some(first), .. }) => first,
        Ok(Scan { damage: None, .. }) => error,
        Err(other) => other,
    }
}

/// Goes on to the next record.
fn advance(journal: &SqliteJournal, good: &mut Mark) -> Result<(), JournalError> {
    let position = good.position + 1;
    let record = journal
        .record(position)?
        .ok_or_else(|| JournalError::Damaged { position, reason: "it is missing".to_owned() })?;
    record.check(position, &good.hash)?;
    *good = record.mark();
    Ok(())
}

/// Where the journal begins if its own word for it is unreadable: before the first record that can be read.
fn first_predecessor(journal: &SqliteJournal) -> Mark {
    let first = journal.connection.query_row(
        &format!("{} ORDER BY position LIMIT 1", super::SELECT),
        [],
        super::read_row,
    );
    match first {
        Ok(first) => Mark { position: first.position.saturating_sub(1), hash: first.previous },
        Err(_) => Mark::BEGINNING,
    }
}
