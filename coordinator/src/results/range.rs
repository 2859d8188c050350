//! Which bytes a download wants.

/// A `Range` of one piece (RFC 9110, section 14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Range {
    From(u64),
    Between(u64, u64),
    Last(u64),
}

/// Anything else counts as no range at all, as the RFC allows.
pub(super) fn range(text: &str) -> Option<Range> {
    let (first, last) = text.trim().strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.trim().parse::<u64>().ok();
    match (first.trim(), last.trim()) {
        ("", "") => None,
        ("", last) => number(last).map(Range::Last),
        (first, "") => number(first).map(Range::From),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Range::Between(first, last))
        }
    }
}

impl Range {
    /// First byte and the one after the last, if there is any.
    pub(super) fn of(self, size_bytes: u64) -> Option<(u64, u64)> {
        let (from, until) = match self {
            Self::From(from) => (from, size_bytes),
            Self::Between(from, last) => (from, last.saturating_add(1).min(size_bytes)),
            Self::Last(count) => (size_bytes.saturating_sub(count), size_bytes),
        };
        (from < until).then_some((from, until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        for (text, size_bytes, expected) in [
            ("bytes=0-9", 100, Some((0, 10))),
            ("bytes=0-", 100, Some((0, 100))),
            ("bytes=90-200", 100, Some((90, 100))),
            ("bytes=-5", 100, Some((95, 100))),
            ("bytes=-500", 100, Some((0, 100))),
            ("bytes=100-", 100, None),
            ("bytes=-0", 100, None),
            ("bytes=0-0", 0, None),
            ("bytes=0-18446744073709551615", 4, Some((0, 4))),
        ] {
            assert_eq!(range(text).and_then(|range| range.of(size_bytes)), expected, "{text}");
        }
        for text in ["", "bytes", "bytes=", "bytes=-", "bytes=5-4", "bytes=a-b", "lines=0-1", "bytes=0-1,3-4"]
        {
            assert_eq!(range(text), None, "{text}");
        }
    }
}
