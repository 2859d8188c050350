//! Taking over records of another journal: what every engine checks first.

use super::{JournalError, Mark, Record};

/// Checks that records go on after `head`; gives the anchor that they begin after, for an empty journal, and their end. An
/// empty journal takes them from any position on: what was before was pruned where they come from.
pub(super) fn follow(head: Mark, records: &[Record]) -> Result<(Option<Mark>, Mark), JournalError> {
    let anchor = match records.first() {
        Some(first) if head.position == 0 && first.position > 1 => {
            Some(Mark { position: first.position - 1, hash: first.previous })
        }
        _ => None,
    };
    let mut end = anchor.unwrap_or(head);
    for record in records {
        record.check(end.position + 1, &end.hash)?;
        end = record.mark();
    }
    Ok((anchor, end))
}
