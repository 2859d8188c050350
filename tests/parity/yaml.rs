//! The YAML reader against the package that GitHub's parser reads with, and against another Rust reader.

use serde_json::{Value as Json, json};
use slipway_workflow::diagnostics::Reporter;
use slipway_workflow::value::format_json_number;
use slipway_workflow::yaml::{self, Node, NodeKind};

use crate::listed;
use crate::oracle::ask;
use crate::random::{Random, seed};
use crate::workflows::whole_files;

/// Texts that are generated.
const GENERATED: usize = 20_000;

fn tree(node: &Node) -> Json {
    let leaf = |kind: &str, value: Json| json!([kind, value, node.position.line, node.position.column]);
    match &node.kind {
        NodeKind::Null => json!(["null"]),
        NodeKind::Bool(value) => leaf("bool", json!(value)),
        NodeKind::Number(value) => leaf("number", json!(script_number(*value))),
        NodeKind::String(text) => leaf("text", json!(&**text)),
        NodeKind::Sequence(items) => json!(["list", items.iter().map(tree).collect::<Vec<_>>()]),
        NodeKind::Mapping(entries) => json!([
            "map",
            entries.iter().map(|(key, value)| json!([&*key.text, tree(value)])).collect::<Vec<_>>()
        ]),
    }
}

/// As JavaScript's `String()` writes it.
fn script_number(value: f64) -> String {
    if value.is_nan() {
        "NaN".to_owned()
    } else if value.is_infinite() {
        if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format_json_number(value)
    }
}

/// Our tree, or our errors.
fn ours(text: &str) -> Result<Json, String> {
    let mut reporter = Reporter::new("f", text);
    let root = yaml::parse(&mut reporter);
    let found = reporter.finish();
    match (root, found.first()) {
        (Some(root), None) => Ok(tree(&root)),
        (_, Some(first)) => Err(first.message.clone()),
        (None, None) => Err("nothing".to_owned()),
    }
}

/// Whether two trees are equal. Places count where theirs has one: it has none for block scalars, and another one for
/// text that is not there; it counts UTF-16 units in a line and we count characters.
fn same(ours: &Json, theirs: &Json, places: bool) -> bool {
    let (a, b) = (ours.as_array().unwrap(), theirs.as_array().unwrap());
    if a[0] != b[0] {
        return false;
    }
    let items = |tree: &[Json]| tree[1].as_array().unwrap().clone();
    match a[0].as_str().unwrap() {
        "null" => true,
        "list" => {
            let (a, b) = (items(a), items(b));
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same(a, b, places))
        }
        "map" => {
            let (a, b) = (items(a), items(b));
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| a[0] == b[0] && same(&a[1], &b[1], places))
        }
        _ if b.len() == 2 || a[1] == "" || !places => a[..2] == b[..2],
        _ => a == b,
    }
}

fn compare(texts: &[String]) -> Vec<String> {
    let inputs: Vec<Json> = texts.iter().map(|text| json!(text)).collect();
    let answers = ask("yaml.mjs", &[], &inputs);
    assert_eq!(answers.len(), texts.len());
    let mut differences = Vec::new();
    for (text, theirs) in texts.iter().zip(&answers) {
        let ours = ours(text);
        let agree = match (&ours, theirs.get("tree")) {
            (Ok(ours), Some(theirs)) => same(ours, theirs, text.chars().all(|c| c.len_utf16() == 1)),
            (Err(_), None) => true,
            (Err(error), Some(_)) => listed::contains("- YAML, refused: `", error),
            (Ok(_), None) => false,
        };
        if !agree {
            differences.push(format!("{text:?}\n  ours:   {ours:?}\n  theirs: {theirs}"));
        }
    }
    differences
}

fn expect_none(differences: &[String], of: usize) {
    let shown: Vec<&str> = differences.iter().take(20).map(String::as_str).collect();
    assert!(
        differences.is_empty(),
        "{} of {of} differ (SLIPWAY_SEED={}):\n{}",
        differences.len(),
        seed(),
        shown.join("\n")
    );
}

#[test]
fn the_yaml_test_suite_is_read_as_github_reads_it() {
    let texts: Vec<String> =
        ask("yaml.mjs", &["suite"], &[]).iter().map(|text| text.as_str().unwrap().to_owned()).collect();
    assert!(texts.len() > 300, "the suite has {} texts", texts.len());
    expect_none(&compare(&texts), texts.len());
}

#[test]
fn whole_files_are_read_as_github_reads_them() {
    let texts: Vec<String> = whole_files().into_iter().map(|source| source.content).collect();
    expect_none(&compare(&texts), texts.len());
}

#[test]
fn generated_texts_are_read_as_github_reads_them() {
    let mut random = Random::new(seed());
    let texts: Vec<String> = (0..GENERATED).map(|_| generate(&mut random)).collect();
    expect_none(&compare(&texts), texts.len());
}

const PIECES: &[&str] = &[
    "a", "b: ", "key:", "- ", "-", ": ", ":", "[", "]", "{", "}", ",", ", ", "'", "\"", "'q'", "\"d\"", "|",
    ">", "|-", ">+", "|2", "# c", " # c", "&x ", "*x", "!!str ", "! ", "~", "null", "true", "1", "-1.50",
    "0x1F", "1e3", "\\n", "''", "a b", "a:b", "a#b", "---", "%", "@", "${{ x }}", "é", "<<", "a\tb", "\r\n",
    "on", "yes",
];

/// Pieces of YAML put together with little care, so that many texts are nearly right. Lines of nothing but blanks are
/// empty: what they mean to a block scalar is a matter of taste, and the package's changes with the indentation.
fn generate(random: &mut Random) -> String {
    let mut text = String::new();
    for _ in 0..1 + random.below(6) {
        if random.once_in(2) {
            text.push_str(random.pick(&[
                "k: ",
                "j:\n  ",
                "- ",
                "l: [",
                "m: {n: ",
                "o: |\n  ",
                "p: \"",
                "",
                "q: &x ",
                "? r\n: v\n",
            ]));
        }
        for _ in 0..random.below(5) {
            text.push_str(random.pick(PIECES));
            if random.once_in(3) {
                text.push(' ');
            }
        }
        if random.once_in(8) {
            text.push_str(random.pick(&["]", "}", "\"", "'"]));
        }
        text.push_str(random.pick(&["\n", "\n", "\n  ", "\n    ", "\n\n", "\n ", "\r\n"]));
    }
    text.split_inclusive('\n').map(|line| if line.trim().is_empty() { "\n" } else { line }).collect()
}
