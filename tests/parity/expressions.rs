//! Expressions against `@actions/expressions`.

use serde_json::{Value as Json, json};
use slipway_workflow::expression::{
    Availability, Environment, ErrorKind, Expression, ExpressionError, StatusArity,
};
use slipway_workflow::value::{Value, format_json_number};

use crate::generate::Generator;
use crate::listed;
use crate::oracle::ask;
use crate::random::{Random, seed};

/// Expressions that are generated.
const GENERATED: usize = 20_000;

struct Contexts(Value);

impl Environment for Contexts {
    fn context(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }
}

/// What the expressions see.
fn contexts() -> Json {
    json!({
        "github": {
            "ref": "refs/heads/main", "event_name": "push", "run_number": 7, "Actor": "Octo-Cat", "empty": "",
            "event": {
                "commits": [{"id": "a1", "author": {"name": "Ann"}}, {"id": "b2"}, {"author": {"name": "bob"}}, 3],
                "labels": [{"name": "bug"}, {"name": "Help Wanted"}, {"name": null}],
                "deep": {"a": {"x": 1, "y": [1, 2, [3, 4]]}, "b": {"x": "2"}, "c": "text"},
                "forced": false, "ratio": 0.5, "none": null
            }
        },
        "matrix": {"os": "ubuntu-latest", "node": 20, "flag": true, "list": ["a", "B", "1", 1, null, true], "minus": -1.5},
        "env": {"HOME": "/home/u", "json": "{\"k\": [1, \"two\", null, {\"z\": 1.5}]}", "number": " 0x1F ", "word": "İı ß"},
        "needs": {"build": {"result": "success", "outputs": {"v": "1.2"}}, "test": {"result": "failure", "outputs": {}}},
        "inputs": {}
    })
}

fn encode(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Bool(value) => json!(value),
        Value::String(text) => json!(&**text),
        Value::Number(number) => json!({"number": number_text(*number)}),
        Value::Array(array) => array.items.iter().map(encode).collect(),
        Value::Object(object) => {
            json!({"object": object.iter().map(|(key, value)| json!([&**key, encode(value)])).collect::<Vec<_>>()})
        }
    }
}

/// As JavaScript's `String()` writes it.
pub(crate) fn number_text(number: f64) -> String {
    if number.is_nan() {
        "NaN".to_owned()
    } else if number.is_infinite() {
        if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned()
    } else {
        format_json_number(number)
    }
}

/// Our answer in the oracle's form.
fn ours(source: &str, contexts: &Json) -> Json {
    let names: Vec<&str> = contexts.as_object().unwrap().keys().map(String::as_str).collect();
    let availability = Availability { contexts: &names, status: StatusArity::None, hash_files: false };
    let answer = Expression::parse(source, &availability)
        .and_then(|expression| expression.evaluate(&Contexts(Value::from(contexts))));
    match answer {
        Ok(value) => json!({"value": encode(&value)}),
        Err(ExpressionError { kind: ErrorKind::Evaluation, message, .. }) => {
            json!({"error": "evaluation", "message": message})
        }
        Err(error) => json!({"error": "parsing", "message": error.message}),
    }
}

/// Both answers to each expression.
fn both(expressions: &[String]) -> Vec<(Json, Json)> {
    let contexts = contexts();
    let inputs: Vec<Json> =
        expressions.iter().map(|text| json!({"expression": text, "contexts": contexts})).collect();
    let theirs = ask("expressions.mjs", &[], &inputs);
    assert_eq!(theirs.len(), expressions.len());
    expressions.iter().map(|text| ours(text, &contexts)).zip(theirs).collect()
}

fn agree(ours: &Json, theirs: &Json) -> bool {
    ours.get("value") == theirs.get("value") && ours.get("error") == theirs.get("error")
}

/// What an answer looks like in `docs/DIFFERENCES.md`.
fn shown(answer: &Json) -> String {
    match answer.get("value") {
        Some(Json::Object(number)) if number.contains_key("number") => {
            number["number"].as_str().unwrap().to_owned()
        }
        Some(value) => value.to_string(),
        None => "error".to_owned(),
    }
}

fn expect_agreement(expressions: &[String]) {
    let mut differences = Vec::new();
    for (expression, (ours, theirs)) in expressions.iter().zip(both(expressions)) {
        if !agree(&ours, &theirs) {
            let cut = |text: String| text.chars().take(400).collect::<String>();
            let (ours, theirs) = (cut(ours.to_string()), cut(theirs.to_string()));
            differences.push(format!("{}\n  ours:   {ours}\n  theirs: {theirs}", cut(expression.clone())));
        }
    }
    let shown: Vec<&str> = differences.iter().take(20).map(String::as_str).collect();
    assert!(
        differences.is_empty(),
        "{} of {} differ (SLIPWAY_SEED={}):\n{}",
        differences.len(),
        expressions.len(),
        seed(),
        shown.join("\n")
    );
}

#[test]
fn generated_expressions_agree_with_github() {
    let mut random = Random::new(seed());
    let expressions: Vec<String> = (0..GENERATED).map(|_| Generator::new(&mut random).expression()).collect();
    let answers = both(&expressions);
    let good = answers.iter().filter(|(_, theirs)| theirs.get("value").is_some()).count();
    // A generator whose expressions are nearly all wrong, or nearly all right, would test little.
    assert!(good > GENERATED / 3 && good < GENERATED * 95 / 100, "{good} of {GENERATED} have a value");
    expect_agreement(&expressions);
}

#[test]
fn picked_expressions_agree_with_github() {
    let expressions: Vec<String> = include_str!("expressions.txt").lines().map(str::to_owned).collect();
    assert!(expressions.len() > 100);
    expect_agreement(&expressions);
}

#[test]
fn long_and_deep_expressions_agree_with_github() {
    let repeat =
        |open: &str, close: &str, times: usize| format!("{}1{}", open.repeat(times), close.repeat(times));
    let mut expressions = Vec::new();
    for times in [1, 24, 25, 47, 48, 49, 50, 51, 60] {
        expressions.push(repeat("(", ")", times));
        expressions.push(repeat("!", "", times));
        expressions.push(repeat("join(", ")", times));
        expressions.push(repeat("1 && (0 || ", ")", times));
        expressions.push(format!("github{}", ".a".repeat(times)));
        expressions.push(format!("github{}", "['a']".repeat(times)));
        expressions.push(repeat("github[", "]", times));
    }
    for length in [20_999, 21_000, 21_001] {
        expressions.push(format!("'{}'", "x".repeat(length - 2)));
        expressions.push(format!("'{}'", "é".repeat(length - 2)));
        expressions.push(format!("'{}'", "😀".repeat((length - 2) / 2)));
    }
    expressions.push(vec!["1"; 1_000].join("=="));
    expressions.push(vec!["1"; 5_000].join("||"));
    expressions.push(format!("format('{{0}}'{})", ",1".repeat(254)));
    expressions.push(format!("format('{{0}}'{})", ",1".repeat(255)));
    expect_agreement(&expressions);
}

#[test]
fn every_listed_difference_is_as_it_is_told() {
    let rows = listed::rows("## Expressions");
    assert!(!rows.is_empty());
    let expressions: Vec<String> = rows.iter().map(|row| row[0].clone()).collect();
    for (row, (ours, theirs)) in rows.iter().zip(both(&expressions)) {
        assert_eq!(shown(&theirs), row[1], "GitHub's package on {}: {theirs}", row[0]);
        assert_eq!(shown(&ours), row[2], "Slipway on {}: {ours}", row[0]);
        assert_ne!(row[1], row[2], "no difference: {}", row[0]);
    }
}
