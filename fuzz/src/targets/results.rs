//! What clients of the results service send: Twirp's bodies in both forms, lists of blocks, ranges. What is read once is read the
//! same again; ids are within their bounds; a range is within the file.

use slipway_coordinator::results::limits::{BLOCK_ID_MAX_CHARS, BLOCKS_MAX};
use slipway_coordinator::results::outside::{block_list, range, twirp};

pub(super) const CORPUS: &[&[u8]] = &[
    br#"{"key":"k","version":"v","size_bytes":"12","restoreKeys":["a","b"]}"#,
    br#"{"workflowRunBackendId":"r","workflowJobRunBackendId":"j","name":"n","expiresAt":"2026-01-02T03:04:05.678Z","version":7,"mimeType":"application/zip"}"#,
    br#"{"workflow_run_backend_id":"r","workflow_job_run_backend_id":"j","name":"n","size":12,"hash":"sha256:00"}"#,
    br#"{"workflowRunBackendId":"r","workflowJobRunBackendId":"j","nameFilter":"n","idFilter":"9"}"#,
    b"\x12\x01k\x18\x0c\x22\x01v",
    b"\x0a\x01r\x12\x01j\x1a\x01n\x22\x0b\x08\x95\xbc\xdc\xca\x06\x10\x80\xa5\xa7\xc3\x02\x28\x07",
    b"\x0a\x01r\x12\x01j\x1a\x03\x0a\x01n\x22\x02\x08\x09",
    b"<?xml version=\"1.0\" encoding=\"UTF-8\"?><BlockList><Latest>YQ==</Latest><Latest>Yg==</Latest></BlockList>",
    b"<BlockList>\n <Uncommitted>YQ==</Uncommitted>\n <Committed>Yg==</Committed>\n</BlockList>\n",
    b"bytes=0-9",
    b"bytes=-5",
    b"bytes=5-",
];

pub(super) const DICTIONARY: &[&[u8]] = &[
    b"<BlockList>",
    b"</BlockList>",
    b"<Latest>",
    b"</Latest>",
    b"<Committed>",
    b"<!--",
    b"<?xml",
    b"?>",
    b"&lt;",
    b"bytes=",
    b"-",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854775808",
    b"-9223372036854775808",
    b"1e400",
    b"null",
    b"{\"key\":",
    b"\"size_bytes\":",
    b"\"expiresAt\":\"9999-12-31T23:59:59.999999999Z\"",
    b"\"expiresAt\":\"-009999-01-01T00:00:00Z\"",
    b"[[[[[[[[",
    b"\"\\ud800\"",
    b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
    b"\x22\x0b\x08",
    b"\x0b",
    b"\xef\xbb\xbf",
    b"\0",
];

/// Sizes of files that ranges are asked of.
const SIZES: [u64; 4] = [0, 1, 1_000, u64::MAX];

pub(super) fn run(input: &[u8]) {
    for json in [true, false] {
        assert!(
            twirp(input, json).is_ok(),
            "{:?} came back as another one (JSON: {json})",
            twirp(input, json)
        );
    }
    let text = String::from_utf8_lossy(input);
    if let Ok(blocks) = block_list(&text) {
        assert!(blocks.len() <= BLOCKS_MAX, "{} blocks", blocks.len());
        for id in blocks {
            assert!((1..=BLOCK_ID_MAX_CHARS).contains(&id.len()) && text.contains(&id), "the id {id}");
        }
    }
    for size in SIZES {
        if let Some((from, until)) = range(&text, size) {
            assert!(from < until && until <= size, "{from} to {until} of {size}");
        }
    }
}
