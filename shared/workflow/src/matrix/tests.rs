//! Tests of matrices; numbers in comments are issues of nektos/act about the same trap.

use serde_json::{Value as Json, json};

use super::{MatrixError, expand, job_name};
use crate::value::Value;

fn values(matrix: &Json) -> Vec<Json> {
    expand(&Value::from(matrix)).unwrap().iter().map(|combination| combination.values.to_json()).collect()
}

fn names(matrix: &Json) -> Vec<String> {
    expand(&Value::from(matrix))
        .unwrap()
        .iter()
        .map(|combination| job_name("j", &combination.segments))
        .collect()
}

fn error(matrix: &Json) -> MatrixError {
    expand(&Value::from(matrix)).unwrap_err()
}

#[test]
fn the_last_vector_varies_fastest() {
    assert_eq!(
        values(&json!({"a": [1, 2], "b": ["x", "y"]})),
        [json!({"a":1,"b":"x"}), json!({"a":1,"b":"y"}), json!({"a":2,"b":"x"}), json!({"a":2,"b":"y"})]
    );
}

#[test]
fn exclude_compares_loosely_and_partially() {
    assert_eq!(
        values(&json!({"os": ["Linux", "mac"], "exclude": [{"os": "LINUX"}]})),
        [json!({"os": "mac"})]
    );
    assert_eq!(values(&json!({"v": [1, 2], "exclude": [{"v": "1"}]})), [json!({"v": 2})]);
    let nested = json!({"c": [{"n": "a", "k": 1}, {"n": "b", "k": 2}], "exclude": [{"c": {"n": "a"}}]});
    assert_eq!(values(&nested), [json!({"c": {"n": "b", "k": 2}})]);
    assert_eq!(
        error(&json!({"a": [1], "exclude": [{"b": 1}]})),
        MatrixError::UnknownExcludeKey("b".to_owned())
    );
    assert_eq!(error(&json!({"a": [1], "exclude": [{}]})), MatrixError::EmptyItem("exclude"));
    // All gone is no error.
    assert!(values(&json!({"a": [1], "exclude": [{"a": 1}]})).is_empty());
}

#[test]
fn include_as_documented() {
    // GitHub docs, "Expanding or adding matrix configurations".
    let matrix = json!({
        "fruit": ["apple", "pear"], "animal": ["cat", "dog"],
        "include": [
            {"color": "green"},
            {"color": "pink", "animal": "cat"},
            {"fruit": "apple", "shape": "circle"},
            {"fruit": "banana"},
            {"fruit": "banana", "animal": "cat"}
        ]
    });
    assert_eq!(
        values(&matrix),
        [
            json!({"fruit": "apple", "animal": "cat", "color": "pink", "shape": "circle"}),
            json!({"fruit": "apple", "animal": "dog", "color": "green", "shape": "circle"}),
            json!({"fruit": "pear", "animal": "cat", "color": "pink"}),
            json!({"fruit": "pear", "animal": "dog", "color": "green"}),
            json!({"fruit": "banana"}),
            json!({"fruit": "banana", "animal": "cat"}),
        ]
    );
}

#[test]
fn include_does_not_revive_what_is_excluded() {
    // 1182: the item matches no surviving combination, so it is one of its own.
    let matrix = json!({"a": [1, 2], "exclude": [{"a": 1}], "include": [{"a": 1, "x": true}]});
    assert_eq!(values(&matrix), [json!({"a": 2}), json!({"a": 1, "x": true})]);
}

#[test]
fn include_alone_makes_one_each() {
    let matrix = json!({"include": [{"os": "a", "x": 1}, {"os": "b"}]});
    assert_eq!(values(&matrix), [json!({"os": "a", "x": 1}), json!({"os": "b"})]);
    assert_eq!(names(&matrix), ["j (a, 1)", "j (b)"]);
}

#[test]
fn names_show_vectors_but_not_extras() {
    let matrix = json!({
        "os": ["linux"], "v": [1.50], "b": [true], "o": [{"x": "deep", "y": null}], "e": [""],
        "include": [{"os": "linux", "extra": "no"}]
    });
    assert_eq!(names(&matrix), ["j (linux, 1.5, true, deep)"]);
    assert_eq!(job_name("j", &[]), "j");
    let long = job_name(&"x".repeat(120), &[]);
    assert_eq!(long.len(), 100);
    assert!(long.ends_with("x..."));
    assert_eq!(job_name(&"😀".repeat(60), &[]).encode_utf16().count(), 99);
}

#[test]
fn bad_matrices() {
    assert_eq!(error(&json!({"a": []})), MatrixError::EmptyVector("a".to_owned()));
    assert_eq!(error(&json!({"a": "x"})), MatrixError::NotAList("a".to_owned(), "String"));
    assert_eq!(error(&json!({"a": [1], "include": "x"})), MatrixError::NotMappings("include"));
    assert_eq!(error(&json!({"a": [1], "include": [1]})), MatrixError::NotMappings("include"));
    assert_eq!(error(&json!({"a": [1], "include": [{}]})), MatrixError::EmptyItem("include"));
    assert_eq!(error(&json!({})), MatrixError::Nothing);
    assert_eq!(error(&json!({"include": []})), MatrixError::Nothing);
    assert_eq!(error(&json!([1])), MatrixError::NotAMapping("Array"));
}

#[test]
fn size_is_bounded() {
    let numbers = |count: u32| Json::Array((0..count).map(Json::from).collect());
    assert_eq!(values(&json!({"a": numbers(256)})).len(), 256);
    assert_eq!(error(&json!({"a": numbers(257)})), MatrixError::TooMany);
    assert_eq!(error(&json!({"a": numbers(100), "b": numbers(100)})), MatrixError::TooMany);
    assert_eq!(
        error(&json!({"a": numbers(1000), "b": numbers(1000), "c": numbers(1000)})),
        MatrixError::TooLarge
    );
    let excludes: Vec<Json> = (0..20_000).map(|at| json!({"a": at, "b": at})).collect();
    assert_eq!(
        error(&json!({"a": numbers(200), "b": numbers(200), "exclude": excludes})),
        MatrixError::TooLarge
    );
    // More than 256 before `exclude` is fine.
    assert_eq!(
        values(&json!({"a": numbers(20), "b": numbers(20), "exclude": (1..20).map(|at| json!({"a": at})).collect::<Vec<_>>()})).len(),
        20
    );
    let includes: Vec<Json> = (0..300).map(|at| json!({"a": at})).collect();
    assert_eq!(error(&json!({"include": includes})), MatrixError::TooMany);
}
