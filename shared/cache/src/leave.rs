//! Clients that ask before they send.

use axum::http::{HeaderMap, header};

/// Whether a client sends its body only when it is told to (`Expect: 100-continue`, RFC 9110 section 10.1.1). It is told by whoever
/// begins to read the body, so a request that is refused is better not read.
#[must_use]
pub fn waits_for_leave(headers: &HeaderMap) -> bool {
    headers
        .get(header::EXPECT)
        .is_some_and(|expected| expected.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    #[test]
    fn only_what_the_standard_names_is_leave() {
        let expects = |text| HeaderMap::from_iter([(header::EXPECT, HeaderValue::from_static(text))]);
        assert!(waits_for_leave(&expects("100-continue")) && waits_for_leave(&expects("100-Continue")));
        assert!(!waits_for_leave(&expects("100")) && !waits_for_leave(&HeaderMap::new()));
    }
}
