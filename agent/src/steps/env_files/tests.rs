#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn parsed(text: &str) -> Result<Vec<(String, String)>, String> {
    let Pairs { pairs, error } = parse_pairs(text);
    error.map_or(Ok(pairs), |error| Err(error.to_string()))
}

#[test]
fn pairs_follow_githubs_rules() {
    let cases: [(&str, &[(&str, &str)]); 17] = [
        ("", &[]),
        ("\n\n", &[]),
        ("A=b", &[("A", "b")]),
        ("A=b\n\nC=d\n", &[("A", "b"), ("C", "d")]),
        ("A=", &[("A", "")]),
        (" A = b ", &[(" A ", " b ")]),
        ("A=b\r\n", &[("A", "b\r")]),
        ("A=b=c<<d", &[("A", "b=c<<d")]),
        ("A<<EOF\none\ntwo\nEOF\n", &[("A", "one\ntwo")]),
        ("A<<EOF\none\ntwo\nEOF", &[("A", "one\ntwo")]),
        ("A<<EOF\nEOF\nB=c", &[("A", ""), ("B", "c")]),
        ("A<<EOF\n\nEOF", &[("A", "")]),
        ("A<<EOF\n\n\nEOF", &[("A", "\n")]),
        ("A<<E=F\nx=y\nE=F", &[("A", "x=y")]),
        ("A<<'EOF'\nEOF\n'EOF'", &[("A", "EOF")]),
        ("A<<EOF\r\none\r\nEOF\r\n", &[("A", "one\r")]),
        ("A<< EOF \n EOF\n EOF ", &[("A", " EOF")]),
    ];
    for (text, expected) in cases {
        let expected: Vec<_> =
            expected.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        assert_eq!(parsed(text), Ok(expected), "{text:?}");
    }
}

#[test]
fn errors_have_githubs_texts() {
    for (text, expected) in [
        ("hello", "Invalid format 'hello'"),
        ("=x", "Invalid format '=x'. Name must not be empty"),
        ("<<EOF\nEOF", "Invalid format '<<EOF'. Name must not be empty and delimiter must not be empty"),
        ("A<<\nEOF", "Invalid format 'A<<'. Name must not be empty and delimiter must not be empty"),
        ("A<<EOF\nx\n", "Invalid value. Matching delimiter not found 'EOF'"),
        ("A<<EOF", "Invalid value. Matching delimiter not found 'EOF'"),
        ("A<<EOF\nxEOF", "Invalid value. EOF marker missing new line."),
        ("A=\0", "Invalid value. The name or value of 'A' holds a NUL character"),
    ] {
        assert_eq!(parsed(text), Err(expected.to_owned()), "{text:?}");
    }
}

#[test]
fn what_stands_before_an_error_counts() {
    let outcome = process(EnvFile::Output, b"A=b\nbad\nC=d\n");
    assert_eq!(outcome.effects.first(), Some(&Effect::SetOutput { name: "A".into(), value: "b".into() }));
    assert_eq!(outcome.effects.last(), Some(&Effect::FailStep));
    let texts: Vec<_> = outcome.texts.iter().map(|text| String::from_utf8_lossy(text)).collect();
    assert_eq!(
        texts,
        ["##[error]Unable to process file command 'output' successfully.", "##[error]Invalid format 'bad'"]
    );
}

#[test]
fn each_file_has_its_effect() {
    assert_eq!(
        process(EnvFile::Path, b"/a\r\n\n/b\r/c").effects,
        [Effect::AddPath("/a".into()), Effect::AddPath("/b".into()), Effect::AddPath("/c".into())]
    );
    assert_eq!(
        process(EnvFile::State, b"A=b").effects,
        [Effect::SaveState { name: "A".into(), value: "b".into() }]
    );
    assert_eq!(
        process(EnvFile::Env, b"\xef\xbb\xbfA=\xff").effects,
        [Effect::SetEnv { name: "A".into(), value: "\u{fffd}".into() }]
    );
    let refused = process(EnvFile::Env, b"node_options=--x\nA=b");
    assert!(
        refused.texts[0].ends_with(b"Can't store NODE_OPTIONS output parameter using '$GITHUB_ENV' command.")
    );
    assert!(!refused.effects.contains(&Effect::FailStep) && refused.effects.len() == 2);
    let excess = vec![b'x'; MAX_FILE_BYTES + 1];
    assert_eq!(process(EnvFile::Env, &excess).effects.last(), Some(&Effect::FailStep));
}

#[test]
fn summaries() {
    assert_eq!(process(EnvFile::StepSummary, b""), LineOutcome::default());
    assert_eq!(process(EnvFile::StepSummary, b"# x").effects, [Effect::Summary(b"# x".to_vec())]);
    assert_eq!(process(EnvFile::StepSummary, &vec![b'x'; MAX_SUMMARY_BYTES]).texts.len(), 0);
    let excess = process(EnvFile::StepSummary, &vec![b'x'; MAX_SUMMARY_BYTES + 1024]);
    assert!(String::from_utf8_lossy(&excess.texts[0]).contains("up to a size of 1024k, got 1025k"));
    assert!(!excess.effects.contains(&Effect::FailStep));
}

proptest! {
    #[test]
    fn any_value_survives_a_block(
        name in "[^=<\n\0]{1,9}",
        value in "([^\0]|\n){0,40}",
    ) {
        let text = format!("{name}<<ghadelimiter_1\n{value}\nghadelimiter_1\n");
        prop_assume!(!value.split('\n').any(|line| line == "ghadelimiter_1"));
        prop_assert_eq!(parsed(&text), Ok(vec![(name, value)]));
    }

    #[test]
    fn any_bytes_are_read(bytes in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'='), Just(b'<'), Just(b'\n')], 0..80)) {
        for file in EnvFile::ALL {
            let outcome = process(file, &bytes);
            prop_assert_eq!(outcome.effects.contains(&Effect::FailStep), outcome.texts.iter().any(|text| text.starts_with(b"##[error]Unable")));
        }
    }
}
