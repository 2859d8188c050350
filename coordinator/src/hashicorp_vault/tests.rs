//! What answers come to, in Vault's own shapes.
#![allow(clippy::unwrap_used)]

use serde_json::{Value as Json, json};

use super::answer::{fields, value};
use super::http::Answered;
use super::*;

/// What comes of an answer for `secret/data/app#key`.
fn read(status: u16, body: Json) -> Result<String, Fault> {
    let reference: VaultReference = "secret/data/app#key".parse().unwrap();
    fields(reference.path(), Answered { status, body }).and_then(|fields| value(&fields, &reference))
}

fn versioned(data: Json, deleted: &str) -> Json {
    let metadata = json!({"created_time": "2026-01-02T03:04:05Z", "deletion_time": deleted, "destroyed": false, "version": 3});
    json!({"request_id": "r", "lease_id": "", "renewable": false, "lease_duration": 0, "data": {"data": data, "metadata": metadata}})
}

#[test]
fn both_versions_of_the_engine_and_generated_credentials_are_read() {
    assert_eq!(read(200, versioned(json!({"key": "v", "data": "x"}), "")).unwrap(), "v");
    assert_eq!(read(200, json!({"lease_duration": 2_764_800, "data": {"key": "v"}})).unwrap(), "v");
    // The first version has fields of any name.
    assert_eq!(read(200, json!({"data": {"key": "v", "data": {}, "metadata": "x"}})).unwrap(), "v");
    assert_eq!(
        read(200, json!({"lease_id": "database/creds/ci/abc", "data": {"key": "v-app"}})).unwrap(),
        "v-app"
    );
}

#[test]
fn a_value_that_is_no_text_is_json() {
    let of = |value: Json| read(200, json!({"data": {"key": value}})).unwrap();
    assert_eq!(of(json!(17)), "17");
    assert_eq!(of(json!(true)), "true");
    assert_eq!(of(json!({"a": [1, "b"]})), r#"{"a":[1,"b"]}"#);
    assert_eq!(of(json!("line\nline")), "line\nline");
}

#[test]
fn what_is_not_there_is_refused_and_says_where() {
    let long = "x".repeat(crate::vault::MAX_VALUE_BYTES + 1);
    for (status, body, told) in [
        (200, versioned(json!({"other": "v"}), ""), "has no field `key`"),
        (200, json!({"data": {"key": null}}), "has no field `key`"),
        (200, json!({"data": {"key": ""}}), "is empty"),
        (200, json!({"data": {"key": long}}), "more than 49152"),
        (200, json!({"data": null}), "no fields"),
        (200, Json::Null, "no fields"),
        (404, versioned(Json::Null, "2026-01-02T03:04:05Z"), "was deleted"),
        (404, json!({"errors": []}), "has nothing at `secret/data/app` (404)"),
        (
            403,
            json!({"errors": ["1 error occurred:\n\t* permission denied\n\n"]}),
            "does not let Slipway have",
        ),
        (400, json!({"errors": ["Invalid path for a versioned K/V secrets engine"]}), "Invalid path"),
    ] {
        let fault = read(status, body).unwrap_err();
        assert!(matches!(fault, Fault::Refused(_)), "{fault:?}");
        assert!(fault.to_string().contains(told), "{fault}");
        assert!(fault.to_string().contains("secret/data/app"), "{fault}");
    }
}

#[test]
fn what_passes_is_told_apart() {
    for (status, body, told) in [
        (503, json!({"errors": ["Vault is sealed"]}), "Vault is sealed"),
        (500, json!({"errors": ["internal error"]}), "internal error"),
        (429, Json::Null, "429"),
        (412, Json::Null, "412"),
        (307, Json::Null, "does not follow"),
    ] {
        let fault = read(status, body).unwrap_err();
        assert!(matches!(fault, Fault::Away(_)), "{fault:?}");
        assert!(fault.to_string().contains(told), "{fault}");
    }
}
