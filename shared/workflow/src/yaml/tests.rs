//! Tests of the YAML reader.

use super::{MAX_FILE_BYTES, Node, NodeKind, parse, parse_quietly};
use crate::diagnostics::Reporter;

fn value(source: &str) -> NodeKind {
    let root = parse_quietly(&format!("k: {source}\n")).unwrap_or_else(|| panic!("{source}"));
    match root.kind {
        NodeKind::Mapping(entries) => entries[0].1.kind.clone(),
        other => other,
    }
}

fn errors(source: &str) -> Vec<String> {
    let mut reporter = Reporter::new("f", source);
    parse(&mut reporter);
    reporter
        .finish()
        .iter()
        .map(|found| format!("{}:{} {}", found.line, found.column, found.message))
        .collect()
}

#[test]
fn core_schema_scalars() {
    for text in [
        "yes",
        "no",
        "on",
        "off",
        "Yes",
        "y",
        "n",
        "tRue",
        "1_000",
        "0b11",
        "1:30",
        "2024-01-01",
        "0x",
        "0o8",
        "1e",
        ".",
        "+",
        "nan",
        "Infinity",
        "-Infinity",
        "0XFF",
        "1 2",
    ] {
        assert!(matches!(value(text), NodeKind::String(found) if &*found == text), "{text}");
    }
    for (text, number) in [
        ("1", 1.0),
        ("-1", -1.0),
        ("+1", 1.0),
        ("010", 10.0),
        ("0o10", 8.0),
        ("0x1F", 31.0),
        ("3.10", 3.1),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("1.", 1.0),
        ("-.inf", f64::NEG_INFINITY),
    ] {
        assert!(
            matches!(value(text), NodeKind::Number(found) if found == number),
            "{text}: {:?}",
            value(text)
        );
    }
    for text in ["", "~", "null", "Null", "NULL"] {
        assert!(matches!(value(text), NodeKind::Null), "{text}");
    }
    for text in ["true", "True", "TRUE"] {
        assert!(matches!(value(text), NodeKind::Bool(true)), "{text}");
    }
    for text in ["'true'", "\"1\"", "!!str 1", "! 1", "'null'"] {
        assert!(matches!(value(text), NodeKind::String(_)), "{text}");
    }
    assert!(matches!(value("!!int '7'"), NodeKind::Number(7.0)));
    assert!(matches!(value("!!float 7"), NodeKind::Number(7.0)));
}

#[test]
fn on_is_a_string_key() {
    let Some(Node { kind: NodeKind::Mapping(entries), .. }) = parse_quietly("on: push\n1: a\ntrue: b\n")
    else {
        panic!("no mapping");
    };
    let keys: Vec<&str> = entries.iter().map(|(key, _)| &*key.text).collect();
    assert_eq!(keys, ["on", "1", "true"]);
}

#[test]
fn every_node_has_its_place() {
    let Some(Node { kind: NodeKind::Mapping(entries), .. }) =
        parse_quietly("# c\né: [a, {b: 1}]\nc: |\n  text\nd:\n  - x\n")
    else {
        panic!("no mapping");
    };
    let place = |node: &Node| (node.position.line, node.position.column);
    assert_eq!(place(&entries[0].1), (2, 4));
    assert_eq!(place(&entries[1].1), (4, 3));
    let NodeKind::Sequence(items) = &entries[0].1.kind else { panic!("no list") };
    assert_eq!(place(&items[1]), (2, 8));
    assert_eq!((entries[2].0.position.line, entries[2].0.position.column), (5, 1));
}

#[test]
fn aliases_share_the_node() {
    let Some(Node { kind: NodeKind::Mapping(entries), .. }) =
        parse_quietly("a: &x {k: v}\nb: *x\nc: [*x, *x]\n")
    else {
        panic!("no mapping");
    };
    assert!(matches!(&entries[1].1.kind, NodeKind::Mapping(found) if &*found[0].0.text == "k"));
}

#[test]
fn what_is_refused() {
    for (source, part) in [
        ("a: [1, 2", "1:4 this is not valid YAML"),
        ("a: 'x", "this is not valid YAML"),
        ("", "1:1 the file is empty"),
        ("# only a comment\n", "the file is empty"),
        ("a: 1\n---\nb: 2", "2:1 a workflow file holds one document"),
        ("a: *x", "1:4 this is not valid YAML"),
        ("a: &x [*x]", "1:8 this alias stands inside"),
        ("a: {<<: {b: 1}}", "1:5 merge keys"),
        ("a: !foo 1", "1:4 the tag `!foo` is not allowed"),
        ("a: !!set {}", "is not allowed"),
        ("a: !!int x", "not what its tag"),
        ("? [a]\n: b", "1:3 this is not valid YAML: a key must be text"),
        ("{a: 1, b: 2, A: 3}", "1:14 the key `A` is already defined"),
    ] {
        let found = errors(source);
        assert!(found.iter().any(|error| error.contains(part)), "{source}: {found:?}");
        assert_eq!(found.len(), 1, "{source}: {found:?}");
    }
    assert!(errors("a: {'<<': 1}").is_empty());
}

#[test]
fn duplicates_in_large_mappings_are_found() {
    let mut source: String = (0..5000).map(|at| format!("key{at}: 1\n")).collect();
    assert!(errors(&source).is_empty());
    source.push_str("KEY4000: 2\n");
    assert_eq!(errors(&source).len(), 1);
}

#[test]
fn bombs_are_bounded() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", ")));
    }
    let found = errors(&bomb);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("once its aliases are followed"), "{found:?}");

    let deep = format!("a: {}{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(errors(&deep)[0].contains("deeper than 50"), "{:?}", errors(&deep));
    let mut ladder = "a0: &a0 [x]\n".to_owned();
    for level in 1..60 {
        ladder.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(errors(&ladder)[0].contains("deeper than 50"));

    let large = "#".repeat(MAX_FILE_BYTES + 1);
    assert!(errors(&large)[0].contains("larger than"));
}
