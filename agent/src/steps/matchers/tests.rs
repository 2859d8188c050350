#![allow(clippy::unwrap_used)]

use super::*;

/// The matcher of a compiler: everything in one line.
const GCC: &str = r#"{"problemMatcher": [{"owner": "gcc", "pattern": [{
    "regexp": "^(.*?):(\\d+):(\\d*):?\\s+(?:fatal\\s+)?(warning|error):\\s+(.*)$",
    "file": 1, "line": 2, "column": 3, "severity": 4, "message": 5}]}]}"#;

/// As `setup-node` has it for eslint: the file's name first, then its messages.
const ESLINT: &str = r#"{"problemMatcher": [{"owner": "eslint-stylish", "pattern": [
    {"regexp": "^([^\\s].*)$", "file": 1},
    {"regexp": "^\\s+(\\d+):(\\d+)\\s+(error|warning|info)\\s+(.*)\\s\\s+(.*)$",
     "line": 1, "column": 2, "severity": 3, "message": 4, "code": 5, "loop": true}]}]}"#;

fn matchers(files: &[&str]) -> Matchers {
    let mut matchers = Matchers::default();
    for file in files {
        matchers.add(file.as_bytes()).unwrap();
    }
    matchers
}

fn look(matchers: &mut Matchers, line: &str) -> Option<String> {
    let found = matchers.look(line.as_bytes(), "/w")?;
    Some(format!(
        "{} {}:{}:{} {}{}",
        found.level.name(),
        found.file,
        found.line,
        found.column,
        found.message,
        if found.title.is_empty() { String::new() } else { format!(" [{}]", found.title) }
    ))
}

#[test]
fn a_message_in_one_line_colours_aside() {
    let mut matchers = matchers(&[GCC]);
    assert_eq!(
        look(&mut matchers, "\u{1b}[1m/w/src/a.c:3:5: \u{1b}[31merror: \u{1b}[0mno such thing").unwrap(),
        "error src/a.c:3:5 no such thing"
    );
    assert_eq!(look(&mut matchers, "./b.c:1:: warning: hm").unwrap(), "warning b.c:1:0 hm");
    assert_eq!(look(&mut matchers, "make: nothing to do"), None);
}

#[test]
fn messages_under_their_file_s_name() {
    let mut matchers = matchers(&[ESLINT]);
    let lines = [
        ("a/b.js", None),
        ("  1:2  error  Unused  no-unused", Some("error a/b.js:1:2 Unused [no-unused]")),
        ("  3:4  warning  Old  no-old", Some("warning a/b.js:3:4 Old [no-old]")),
        ("", None),
        ("  5:6  error  Lost  x", None),
    ];
    for (line, wanted) in lines {
        assert_eq!(look(&mut matchers, line).as_deref(), wanted, "{line}");
    }
}

#[test]
fn the_newest_comes_first_and_takes_its_owner_s_place() {
    let other = GCC.replace("\"gcc\"", "\"other\", \"severity\": \"notice\"").replace("\"severity\": 4,", "");
    let mut matchers = matchers(&[GCC, &other]);
    assert_eq!(look(&mut matchers, "a.c:1:2: error: x").unwrap(), "notice a.c:1:2 x");
    matchers.remove("OTHER");
    assert_eq!(look(&mut matchers, "a.c:1:2: error: x").unwrap(), "error a.c:1:2 x");
    matchers.remove_file(GCC.as_bytes()).unwrap();
    assert_eq!(look(&mut matchers, "a.c:1:2: error: x"), None);
}

#[test]
fn progress_outlives_a_restart() {
    let mut first = matchers(&[ESLINT]);
    assert_eq!(look(&mut first, "a.js"), None);
    let saved = serde_json::to_string(&first).unwrap();
    let mut second: Matchers = serde_json::from_str(&saved).unwrap();
    assert_eq!(first, second);
    assert_eq!(look(&mut second, "  1:2  error  m  c").unwrap(), "error a.js:1:2 m [c]");
}

#[test]
fn files_that_cannot_be_used_are_told() {
    let with = |pattern: &str| format!(r#"{{"problemMatcher": [{{"owner": "o", "pattern": {pattern}}}]}}"#);
    for (file, words) in [
        ("{}".to_owned(), "no matcher"),
        (with("[]"), "1 to 32 patterns"),
        (with(r#"[{"regexp": "("  , "message": 1}]"#), "can't be used"),
        (with(r#"[{"regexp": "a"}]"#), "where the message is"),
        (with(r#"[{"regexp": "a", "message": 0, "loop": true}]"#), "only pattern"),
    ] {
        let error = Matchers::default().add(file.as_bytes()).unwrap_err();
        assert!(error.contains(words), "{file}: {error}");
    }
}

#[test]
fn a_pattern_that_never_ends_is_dropped() {
    let slow = r#"{"problemMatcher": [{"owner": "slow", "pattern": [{"regexp": "^(a+)(a+)(a+)(a+)\\1\\2\\3\\4b$", "message": 1}]}]}"#;
    let mut matchers = matchers(&[slow]);
    let line = "a".repeat(5_000);
    for _ in 0..MAX_OVERRUNS {
        assert_eq!(look(&mut matchers, &line), None);
    }
    assert!(matchers.list.is_empty());
}
