//! When a key is made, signs and goes: a function of the keys that are published and of the time.

use std::time::Duration;

use slipway_scheduler::Timestamp;

use super::limits::{PUBLISH_AFTER, PUBLISH_AHEAD, ROTATE_EVERY};
use crate::house::IdentityKey;

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Due {
    /// A new key, which begins to sign in so many milliseconds.
    pub(super) make_in_ms: Option<u64>,
    /// Ids of keys that nobody needs to see any more.
    pub(super) remove: Vec<String>,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The keys in the order in which they sign.
fn in_order(keys: &[IdentityKey]) -> Vec<&IdentityKey> {
    let mut keys: Vec<&IdentityKey> = keys.iter().collect();
    keys.sort_by(|one, other| (one.signs_from, &one.id).cmp(&(other.signs_from, &other.id)));
    keys
}

/// The key that signs now. On a clock that was put back it is the first one.
pub(super) fn signing(keys: &[IdentityKey], now: Timestamp) -> Option<&IdentityKey> {
    let keys = in_order(keys);
    keys.iter().rev().find(|key| key.signs_from <= now).or(keys.first()).copied()
}

/// The key that is published and does not sign yet.
pub(super) fn next(keys: &[IdentityKey], now: Timestamp) -> Option<&IdentityKey> {
    in_order(keys).into_iter().skip(1).find(|key| key.signs_from > now)
}

/// What is due now.
pub(super) fn due(keys: &[IdentityKey], now: Timestamp) -> Due {
    let keys = in_order(keys);
    let Some(newest) = keys.last() else { return Due { make_in_ms: Some(0), remove: Vec::new() } };
    let ends = newest.signs_from.0.saturating_add(ms(ROTATE_EVERY));
    let is_due = now.0 >= ends.saturating_sub(ms(PUBLISH_AHEAD));
    let make_in_ms = is_due.then(|| ends.saturating_sub(now.0).max(ms(PUBLISH_AHEAD)));
    let is_over = |next: &IdentityKey| next.signs_from.0.saturating_add(ms(PUBLISH_AFTER)) <= now.0;
    let pairs = keys.iter().zip(keys.iter().skip(1));
    let remove = pairs.filter(|(_, next)| is_over(next)).map(|(key, _)| key.id.clone()).collect();
    Due { make_in_ms, remove }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY_MS: u64 = 24 * 3_600_000;

    fn key(id: &str, day: u64) -> IdentityKey {
        IdentityKey {
            id: id.to_owned(),
            modulus: String::new(),
            file: String::new(),
            signs_from: Timestamp(day * DAY_MS),
        }
    }

    fn at(day: u64) -> Timestamp {
        Timestamp(day * DAY_MS)
    }

    fn id(key: Option<&IdentityKey>) -> Option<&str> {
        key.map(|key| key.id.as_str())
    }

    #[test]
    fn a_key_is_made_a_day_before_it_signs_and_goes_a_day_after_the_next_one_does() {
        assert_eq!(due(&[], at(100)), Due { make_in_ms: Some(0), remove: vec![] });
        let first = key("a", 100);
        assert_eq!(due(std::slice::from_ref(&first), at(128)), Due::default());
        let made = due(std::slice::from_ref(&first), at(129));
        assert_eq!(made, Due { make_in_ms: Some(DAY_MS), remove: vec![] });
        let both = [key("b", 130), first];
        assert_eq!((id(signing(&both, at(129))), id(next(&both, at(129)))), (Some("a"), Some("b")));
        assert_eq!(due(&both, at(129)), Due::default());
        assert_eq!((id(signing(&both, at(130))), id(next(&both, at(130)))), (Some("b"), None));
        assert_eq!(due(&both, at(131)), Due::default(), "a token of the last moment is still verified");
        assert_eq!(due(&both, at(132)).remove, ["a"]);
        // A coordinator that was off for months: the next key is published ahead all the same.
        let late = due(&both, at(400));
        assert_eq!((late.make_in_ms, late.remove), (Some(DAY_MS), vec!["a".to_owned()]));
    }

    #[test]
    fn a_clock_that_was_put_back_signs_with_what_there_is() {
        let keys = [key("b", 130), key("a", 100)];
        assert_eq!(id(signing(&keys, at(1))), Some("a"));
        assert_eq!(due(&keys, at(1)), Due::default());
        assert_eq!(id(signing(&[], at(1))), None);
    }
}
