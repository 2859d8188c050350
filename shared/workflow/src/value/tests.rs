//! Tests of conversions.

use std::sync::Arc;

use super::{
    Object, Value, eq_ignore_case, format_g15, format_json_number, greater_than, less_than, loose_equals,
    parse_number,
};

#[test]
fn text_counts_as_javascripts_number() {
    for (text, number) in [
        ("", 0.0),
        ("  \t\n ", 0.0),
        ("1", 1.0),
        (" 12 ", 12.0),
        ("+7", 7.0),
        ("-7", -7.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1e3", 1000.0),
        ("1E-3", 0.001),
        ("0x1F", 31.0),
        ("0o17", 15.0),
        ("0xFFFFFFFF", 4_294_967_295.0),
        ("Infinity", f64::INFINITY),
        ("-Infinity", f64::NEG_INFINITY),
    ] {
        assert_eq!(parse_number(text), number, "{text:?}");
    }
    for text in [
        "a", "1a", "1 2", "- 1", "-0x1", "0x", "0xG", "0o8", "inf", "nan", "NaN", "infinity", "1e", ".",
        "1_0",
    ] {
        assert!(parse_number(text).is_nan(), "{text:?}");
    }
}

#[test]
fn numbers_print_with_fifteen_digits() {
    for (number, text) in [
        (0.0, "0"),
        (-0.0, "0"),
        (1.0, "1"),
        (-1.5, "-1.5"),
        (0.1, "0.1"),
        (0.1 + 0.2, "0.3"),
        (3.10, "3.1"),
        (100.0, "100"),
        (123_456_789_012_345.0, "123456789012345"),
        (1e15, "1E+15"),
        (1_234_567_890_123_456.0, "1.23456789012346E+15"),
        (1e21, "1E+21"),
        (1e100, "1E+100"),
        (0.0001, "0.0001"),
        (0.00001, "1E-05"),
        (-1.25e-7, "-1.25E-07"),
        (f64::NAN, "NaN"),
        (f64::INFINITY, "Infinity"),
        (f64::NEG_INFINITY, "-Infinity"),
    ] {
        assert_eq!(format_g15(number), text);
    }
}

#[test]
fn json_numbers_are_javascripts() {
    for (number, text) in [
        (-0.0, "0"),
        (0.1 + 0.2, "0.30000000000000004"),
        (1e20, "100000000000000000000"),
        (1e21, "1e+21"),
        (1.5e-6, "0.0000015"),
        (1e-7, "1e-7"),
        (-12.5, "-12.5"),
        (f64::NAN, "null"),
        (f64::INFINITY, "null"),
    ] {
        assert_eq!(format_json_number(number), text);
    }
}

#[test]
fn truth() {
    for falsy in [Value::Null, false.into(), 0.0.into(), (-0.0).into(), f64::NAN.into(), "".into()] {
        assert!(!falsy.truthy(), "{falsy:?}");
    }
    for truthy in [
        true.into(),
        1.0.into(),
        "0".into(),
        "false".into(),
        Value::array(vec![]),
        Value::object([("a", Value::Null)]),
    ] {
        assert!(truthy.truthy(), "{truthy:?}");
    }
}

#[test]
fn equality_coerces_and_ignores_case() {
    for (a, b) in [
        (Value::Null, 0.0.into()),
        (Value::Null, "".into()),
        (Value::Null, false.into()),
        (true.into(), "1".into()),
        (true.into(), 1.0.into()),
        ("Main".into(), "mAIN".into()),
        ("ÄÖ".into(), "äö".into()),
        ("0x10".into(), 16.0.into()),
    ] {
        assert!(loose_equals(&a, &b) && loose_equals(&b, &a), "{a:?} {b:?}");
    }
    for (a, b) in [
        (true.into(), "true".into()),
        (f64::NAN.into(), f64::NAN.into()),
        ("a".into(), 0.0.into()),
        // Ordinal case has no mapping that changes the length, and leaves the dotless i alone.
        ("ß".into(), "SS".into()),
        ("ı".into(), "I".into()),
        (Value::array(vec![]), Value::array(vec![])),
        (Value::array(vec![]), "Array".into()),
    ] {
        assert!(!loose_equals(&a, &b) && !loose_equals(&b, &a), "{a:?} {b:?}");
    }
    let list = Value::array(vec![]);
    assert!(loose_equals(&list, &list.clone()));
    assert!(eq_ignore_case("straße", "STRAßE"));
}

#[test]
fn order_coerces() {
    assert!(greater_than(&"b".into(), &"A".into()));
    assert!(less_than(&"a".into(), &"B".into()));
    assert!(less_than(&"ab".into(), &"abc".into()));
    assert!(greater_than(&true.into(), &false.into()));
    assert!(less_than(&"5".into(), &10.0.into()));
    assert!(!less_than(&"x".into(), &1.0.into()) && !greater_than(&"x".into(), &1.0.into()));
    assert!(!greater_than(&Value::array(vec![]), &0.0.into()));
    // By UTF-16 code units: U+FFFD is above the surrogates of U+10000.
    assert!(greater_than(&"\u{fffd}".into(), &"\u{10000}".into()));
}

#[test]
fn objects_keep_order_and_ignore_case() {
    let mut object = Object::new();
    for at in 0..40 {
        object.insert(format!("Key{at}").into(), Value::Number(f64::from(at)));
    }
    assert!(!object.insert_new("KEY7".into(), Value::Null));
    object.insert("kEY30".into(), "new".into());
    assert_eq!(object.len(), 40);
    assert!(matches!(object.get("key7"), Some(Value::Number(n)) if *n == 7.0));
    assert_eq!(object.get("KEY30").and_then(Value::as_str), Some("new"));
    let keys: Vec<&Arc<str>> = object.iter().map(|(key, _)| key).collect();
    assert_eq!(keys.first().map(|key| &***key), Some("Key0"));
    assert_eq!(keys.last().map(|key| &***key), Some("Key39"));
}

#[test]
fn env_keeps_keys_apart_that_differ_in_case() {
    let mut object = Object::case_sensitive();
    object.insert("A".into(), 1.0.into());
    object.insert("a".into(), 2.0.into());
    assert!(matches!(object.get("A"), Some(Value::Number(n)) if *n == 1.0));
    assert!(object.get("B").is_none());
}

#[test]
fn json_round_trip() {
    let json = serde_json::json!({"a": [1, 2.5, null, true, "x"], "b": {"c": -3}, "empty": {}, "none": []});
    assert_eq!(Value::from(&json).to_json(), json);
    let parsed: Value = serde_json::from_value(json.clone()).unwrap();
    assert_eq!(parsed.to_json(), json);
    // Of keys that differ only in case the first counts; of equal keys the last value.
    let parsed: Value = serde_json::from_str(r#"{"a":1,"A":2,"a":3}"#).unwrap();
    assert_eq!(parsed.to_json(), serde_json::json!({"a": 3}));
}
