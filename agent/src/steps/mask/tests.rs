#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn masked(secrets: &[&str], text: &str) -> String {
    Masks::new(secrets.iter().copied()).mask_str(text)
}

#[test]
fn every_form_is_masked() {
    let secret = r#"p"w'd&+<xyz>/é%longer"#;
    let shifted = |prefix: &str| {
        base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{prefix}{secret}"))
    };
    for form in [
        secret.to_owned(),
        r#"p\"w'd&+<xyz>/é%longer"#.to_owned(),
        r#"p"w''d&+<xyz>/é%longer"#.to_owned(),
        "p%22w%27d%26%2B%3Cxyz%3E%2F%C3%A9%25longer".to_owned(),
        "p&quot;w&apos;d&amp;+&lt;xyz&gt;/é%longer".to_owned(),
        r#"p"w'd&+"#.to_owned(),
        "xyz>/é%longer".to_owned(),
        shifted(""),
    ] {
        assert_eq!(masked(&[secret], &format!("<{form}>")), "<***>", "{form}");
    }
    // After other bytes the first characters belong to those; what follows is masked.
    for prefix in ["u:", "us:", "use:"] {
        let text = shifted(prefix);
        let found = masked(&[secret], &text);
        assert!(found.ends_with("***") && found.len() <= 8 + 3, "{prefix}: {found}");
    }
}

#[test]
fn base64_is_masked_when_more_follows() {
    let secret = "hunter2-secret";
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, format!("{secret}\n"));
    let found = masked(&[secret], &text);
    assert!(found.starts_with("***") && found.len() <= 3 + 2, "{found}");
}

#[test]
fn json_and_lines() {
    let secret = " line one\r\n\t two \u{1}\n\n{\n";
    assert_eq!(masked(&[secret], r"a line one\r\n\t two \u0001\n\n{ b"), "a *** b");
    assert_eq!(masked(&[secret], "line one|two \u{1}|{|x"), "***|***|***|x");
    assert_eq!(masked(&["\"quoted-value\""], "quoted-value"), "***");
    assert_eq!(masked(&["", "  ", "\n"], "a  b\n"), "a  b\n");
}

#[test]
fn overlapping_and_touching_secrets_make_one_mask() {
    assert_eq!(masked(&["abcd", "cdef"], "xabcdefx"), "x***x");
    assert_eq!(masked(&["abcd", "efgh"], "xabcdefghx"), "x***x");
    assert_eq!(masked(&["abcd"], "abcdabcd abcd"), "*** ***");
    assert_eq!(masked(&["aaaa", "aa"], "baaaaab"), "b***b");
    assert_eq!(masked(&["x"], "axb"), "a***b");
}

#[test]
fn masks_added_later_count_from_then_on() {
    let mut masks = Masks::new(["first-secret"]);
    assert_eq!(masks.mask_str("first-secret second-secret"), "*** second-secret");
    masks.add("second-secret\nthird-line");
    assert_eq!(masks.mask_str("first-secret second-secret third-line"), "*** *** ***");
    assert_eq!(masks.added(), ["second-secret\nthird-line"]);
    assert!(masks.contains_secret(b"xsecond-secretx") && !masks.contains_secret(b"second"));
    assert!(!format!("{masks:?}").contains("secret"));
}

#[test]
fn too_much_to_mask_hides_everything() {
    let mut masks = Masks::default();
    masks.add(&"s".repeat(MAX_PATTERN_BYTES));
    assert_eq!(masks.mask(b"innocent").as_ref(), MASK);
    assert_eq!(MaskStream::default().push(&masks, b"innocent", true), MASK);
    assert!(masks.contains_secret(b"x"));
}

/// The definition, position by position.
fn naive(patterns: &[Vec<u8>], text: &[u8]) -> Vec<u8> {
    let mut stretches: Vec<Range<usize>> = Vec::new();
    for start in 0..text.len() {
        for pattern in patterns.iter().filter(|pattern| text[start..].starts_with(pattern)) {
            let end = start + pattern.len();
            match stretches.last_mut() {
                Some(last) if last.end >= start => last.end = last.end.max(end),
                _ => stretches.push(start..end),
            }
        }
    }
    let (mut out, mut done) = (Vec::new(), 0);
    for stretch in stretches {
        out.extend_from_slice(&text[done..stretch.start]);
        out.extend_from_slice(MASK);
        done = stretch.end;
    }
    out.extend_from_slice(&text[done..]);
    out
}

proptest! {
    #[test]
    fn agrees_with_the_definition_in_any_pieces(
        secrets in proptest::collection::vec("[ab&\"]{1,9}", 0..4),
        text in proptest::collection::vec(prop_oneof![4 => b'a'..=b'b', 1 => Just(b'&'), 1 => any::<u8>()], 0..80),
        cuts in proptest::collection::vec(0usize..80, 0..6),
    ) {
        let masks = Masks::new(secrets.iter().map(String::as_str));
        let patterns: Vec<Vec<u8>> = masks.patterns.iter().cloned().collect();
        let expected = naive(&patterns, &text);
        prop_assert_eq!(masks.mask(&text).into_owned(), expected.clone());
        prop_assert_eq!(masks.contains_secret(&text), expected != text || !masks.stretches(&text).is_empty());

        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(text.len())).collect();
        cuts.extend([0, text.len()]);
        cuts.sort_unstable();
        let mut stream = MaskStream::default();
        let mut out = Vec::new();
        for pair in cuts.windows(2) {
            out.extend(stream.push(&masks, &text[pair[0]..pair[1]], false));
            prop_assert!(stream.held.len() < masks.longest().max(1));
            stream = serde_json::from_str(&serde_json::to_string(&stream).unwrap()).unwrap();
        }
        out.extend(stream.push(&masks, b"", true));
        prop_assert_eq!(out, expected);
    }

    #[test]
    fn any_secret_is_gone_in_any_text(secret in "\\PC{4,20}", before in "\\PC{0,10}", after in "\\PC{0,10}") {
        let masks = Masks::new([secret.as_str()]);
        prop_assume!(!secret.trim().is_empty() && secret.trim() != "***" && !secret.contains('*'));
        let found = masks.mask_str(&format!("{before}{secret}{after}"));
        prop_assert!(!found.contains(secret.trim()), "{}", found);
    }
}

#[test]
fn a_value_that_is_known_costs_no_new_search() {
    let mut masks = Masks::new(["correct horse"]);
    masks.add("battery");
    assert_eq!(masks.mask(b"a battery").as_ref(), b"a ***");
    masks.add("battery");
    assert!(masks.finder.get().is_some(), "the search that was built is still there");
    masks.add("staple");
    assert!(masks.finder.get().is_none(), "and one that lacks something is not");
    assert_eq!(masks.mask(b"a staple").as_ref(), b"a ***");
}
