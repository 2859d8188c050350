//! Answers that GitHub marked with an `ETag`: asked again, it may say that they are as they were (HTTP 304), which counts against no
//! limit ("Best practices for using the REST API", conditional requests).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::HeaderMap;
use axum::http::header::{ETAG, HeaderName, HeaderValue, LINK};
use serde_json::Value as Json;

use super::answer::Answer;

/// Answers that are kept; the one that was of use the longest ago makes room.
const KEPT: usize = 256;

/// The largest one that is, in bytes: a page of a hundred deliveries is a quarter of it.
const KEPT_MAX_BYTES: usize = 256 << 10;

/// What a 304 need not say again.
const SAID_ONCE: [HeaderName; 2] = [ETAG, LINK];

/// An answer that may hold still.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) etag: HeaderValue,
    headers: HeaderMap,
    body: Json,
}

impl Before {
    /// The answer that a 304 with these headers stands for.
    pub(super) fn again(&self, mut headers: HeaderMap) -> Answer {
        for name in SAID_ONCE {
            if let Some(value) = self.headers.get(&name)
                && !headers.contains_key(&name)
            {
                headers.insert(name, value.clone());
            }
        }
        Answer { status: 200, headers, body: self.body.clone() }
    }
}

/// Whose answer it was, for others may see something else; and the path.
type Key = (String, String);

#[derive(Debug, Default)]
struct Kept {
    answers: HashMap<Key, (u64, Arc<Before>)>,
    uses: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Remembered(Mutex<Kept>);

impl Remembered {
    /// What was answered there before.
    pub(super) fn get(&self, whose: &str, path: &str) -> Option<Arc<Before>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let uses = kept.uses;
        let (used, before) = kept.answers.get_mut(&(whose.to_owned(), path.to_owned()))?;
        *used = uses;
        Some(Arc::clone(before))
    }

    /// Keeps an answer of so many bytes, if it can be asked for again.
    pub(super) fn keep(&self, whose: &str, path: &str, answer: &Answer, bytes: usize) {
        let Some(etag) = answer.headers.get(ETAG).filter(|_| answer.status == 200 && bytes <= KEPT_MAX_BYTES)
        else {
            return;
        };
        let said =
            SAID_ONCE.into_iter().filter_map(|name| Some((name.clone(), answer.headers.get(&name)?.clone())));
        let before = Before { etag: etag.clone(), headers: said.collect(), body: answer.body.clone() };
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let uses = kept.uses;
        kept.answers.insert((whose.to_owned(), path.to_owned()), (uses, Arc::new(before)));
        if kept.answers.len() > KEPT
            && let Some(oldest) =
                kept.answers.iter().min_by_key(|(_, (used, _))| *used).map(|(key, _)| key.clone())
        {
            kept.answers.remove(&oldest);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn answer(etag: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(ETAG, etag.parse().unwrap());
        headers.insert(LINK, "<next>".parse().unwrap());
        headers.insert("x-ratelimit-remaining", "9".parse().unwrap());
        Answer { status: 200, headers, body: Json::from(etag) }
    }

    #[test]
    fn an_answer_is_its_askers_alone_and_has_what_a_304_leaves_out() {
        let remembered = Remembered::default();
        remembered.keep("a", "/x", &answer("\"1\""), 10);
        assert!(remembered.get("b", "/x").is_none() && remembered.get("a", "/y").is_none());
        let before = remembered.get("a", "/x").unwrap();
        let mut now = HeaderMap::new();
        now.insert("x-ratelimit-remaining", "8".parse().unwrap());
        let again = before.again(now);
        assert_eq!(
            (again.status, again.body.clone(), again.header("link")),
            (200, Json::from("\"1\""), Some("<next>"))
        );
        assert_eq!(again.header("x-ratelimit-remaining"), Some("8"), "limits are those of now");
    }

    #[test]
    fn errors_large_ones_and_those_without_a_mark_are_not_kept() {
        let remembered = Remembered::default();
        remembered.keep("a", "/large", &answer("\"1\""), KEPT_MAX_BYTES + 1);
        remembered.keep("a", "/error", &Answer { status: 404, ..answer("\"1\"") }, 1);
        remembered.keep(
            "a",
            "/plain",
            &Answer { status: 200, headers: HeaderMap::new(), body: Json::Null },
            1,
        );
        for path in ["/large", "/error", "/plain"] {
            assert!(remembered.get("a", path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_one_that_was_of_use_the_longest_ago_makes_room() {
        let remembered = Remembered::default();
        for number in 0..KEPT {
            remembered.keep("a", &format!("/{number}"), &answer("\"1\""), 1);
        }
        remembered.get("a", "/0").unwrap();
        remembered.keep("a", "/new", &answer("\"1\""), 1);
        assert!(remembered.get("a", "/0").is_some() && remembered.get("a", "/new").is_some());
        assert!(remembered.get("a", "/1").is_none());
    }
}
