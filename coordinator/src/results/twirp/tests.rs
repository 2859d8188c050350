#![allow(clippy::unwrap_used)]

use prost::Message as _;
use serde_json::json;

use super::messages::*;

#[test]
fn json_is_read_as_either_client_writes_it() {
    let snake = json!({
        "workflow_run_backend_id": "r", "workflow_job_run_backend_id": "j", "name": "n",
        "expires_at": "2026-01-02T03:04:05.678Z", "version": 7, "mime_type": "application/zip",
    });
    let camel = json!({
        "workflowRunBackendId": "r", "workflowJobRunBackendId": "j", "name": "n",
        "expiresAt": "2026-01-02T03:04:05.678Z", "version": 7, "mimeType": "application/zip",
    });
    let read: CreateArtifactRequest = serde_json::from_value(snake).unwrap();
    assert_eq!(read, serde_json::from_value(camel).unwrap());
    assert_eq!(read.expires_at.unwrap().ms(), 1_767_323_045_678);
    assert_eq!(read.expires_at.unwrap(), Timestamp::from_ms(1_767_323_045_678));
    for size in [json!("12"), json!(12)] {
        let read: FinalizeCacheEntryUploadRequest =
            serde_json::from_value(json!({"key": "k", "version": "v", "size_bytes": size})).unwrap();
        assert_eq!(read.size_bytes, 12);
    }
    let read: ListArtifactsRequest =
        serde_json::from_value(json!({"id_filter": "9", "name_filter": "n"})).unwrap();
    assert_eq!((read.id_filter, read.name_filter.as_deref()), (Some(9), Some("n")));
    assert_eq!(serde_json::from_value::<ListArtifactsRequest>(json!({})).unwrap().id_filter, None);
}

#[test]
fn json_is_written_as_protobuf_has_it() {
    let listed = ListedArtifact {
        database_id: 5,
        size: 1 << 40,
        created_at: Some(Timestamp::from_ms(1_767_323_045_678)),
        digest: Some("sha256:ab".to_owned()),
        ..ListedArtifact::default()
    };
    assert_eq!(
        serde_json::to_value(listed).unwrap(),
        json!({
            "workflow_run_backend_id": "", "workflow_job_run_backend_id": "", "database_id": "5", "name": "",
            "size": "1099511627776", "created_at": "2026-01-02T03:04:05.678Z", "digest": "sha256:ab",
        })
    );
}

/// GitHub's client refuses a time whose fraction has another number of digits than 0, 3, 6 or 9.
#[test]
fn times_have_three_digits_of_a_second() {
    for (ms, wanted) in [(678, ".678Z"), (760, ".760Z"), (500, ".500Z"), (7, ".007Z"), (0, ".000Z")] {
        let written = serde_json::to_value(Timestamp::from_ms(1_767_323_045_000 + ms)).unwrap();
        assert_eq!(written, json!(format!("2026-01-02T03:04:05{wanted}")));
    }
}

#[test]
fn protobuf_has_the_numbers_of_the_packages() {
    // metadata {repository_id: 1} (passed over), key "k", restore_keys ["a", "b"], version "v"
    let bytes = b"\x0a\x02\x08\x01\x12\x01k\x1a\x01a\x1a\x01b\x22\x01v";
    let read = GetCacheEntryDownloadUrlRequest::decode(&bytes[..]).unwrap();
    assert_eq!((read.key.as_str(), read.version.as_str()), ("k", "v"));
    assert_eq!(read.restore_keys, ["a", "b"]);
    let answer = FinalizeCacheEntryUploadResponse { ok: true, entry_id: 3, message: "m".to_owned() };
    assert_eq!(answer.encode_to_vec(), b"\x08\x01\x10\x03\x1a\x01m");
    // A StringValue is a message of its own.
    let hash = FinalizeArtifactRequest { size: 1, hash: Some("h".to_owned()), ..Default::default() };
    assert_eq!(hash.encode_to_vec(), b"\x20\x01\x2a\x03\x0a\x01h");
}
