//! The HTTP doors over a real socket, as their clients speak to them.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod door;
mod results;
#[path = "../words/mod.rs"]
mod words;

use std::time::Duration;

use door::{Door, noise};
use slipway_cas::Digest;

const MIB: usize = 1 << 20;

/// One file of each door, with the bytes for it.
pub(crate) fn one_of_each() -> Vec<(String, Vec<u8>)> {
    let blob = b"a blob".to_vec();
    vec![
        ("/files/subdirs/ab/cdef".to_owned(), b"a file".to_vec()),
        (format!("/bazel/team/app/cas/{}", Digest::of(&blob).hash_hex()), blob),
        (format!("/bazel/ac/{}", "1f".repeat(32)), b"\xcc\xac no result".to_vec()),
        ("/turbo/v8/artifacts/0123456789abcdef?slug=team".to_owned(), b"an artifact".to_vec()),
        ("/nx/v1/cache/1234567890".to_owned(), b"a record".to_vec()),
    ]
}

#[tokio::test]
async fn files_of_any_length_come_back_by_every_door() {
    let door = Door::open().await;
    for length in [0, 1, 32 << 10, (32 << 10) + 1, 2 * MIB, 9 * MIB + 7] {
        let mut blob = noise(length as u64, length);
        if let Some(first) = blob.first_mut() {
            *first = 0xcc;
        }
        let paths = [
            format!("/files/n/{length}"),
            format!("/bazel/cas/{}", Digest::of(&blob).hash_hex()),
            format!("/bazel/x/ac/{length:064}"),
            format!("/turbo/v8/artifacts/a{length}"),
            format!("/nx/v1/cache/{length}"),
        ];
        for path in paths {
            // The empty blob of Bazel's is there from the start.
            if length > 0 || !path.contains("/cas/") {
                let miss = door.send("a", "GET", &path, b"").await;
                assert_eq!((miss.status, miss.text()), (404, "it is not in the cache\n"), "{path}");
                assert_eq!(door.status("a", "HEAD", &path, b"").await, 404, "{path}");
            }
            let put = door.send("a", "PUT", &path, &blob).await;
            assert!((200..300).contains(&put.status), "{path}: {put:?}");
            let got = door.send("a", "GET", &path, b"").await;
            assert_eq!((got.status, got.body == blob), (200, true), "{path}");
            if !path.contains("/cas/") || length > 0 {
                assert_eq!(got.header("x-content-type-options"), Some("nosniff"), "{path}");
            }
            assert_eq!(got.header("content-length"), Some(length.to_string().as_str()), "{path}");
            let head = door.send("a", "HEAD", &path, b"").await;
            assert_eq!((head.status, head.body.len()), (200, 0), "{path}");
            assert_eq!(head.header("content-length"), Some(length.to_string().as_str()), "{path}");
        }
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_taken_too() {
    let door = Door::open().await;
    let chunked = [("transfer-encoding", "chunked")];
    let put = door.send_with("a", "PUT", "/files/x", &chunked, b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n").await;
    assert_eq!(put.status, 201);
    assert_eq!(door.send("a", "GET", "/files/x", b"").await.body, b"abcde");
}

#[tokio::test]
async fn nobody_gets_in_without_a_token_or_where_he_may_not() {
    let door = Door::open().await;
    for (path, bytes) in one_of_each() {
        for method in ["GET", "HEAD", "PUT"] {
            for token in ["", "No such"] {
                let refused = door.send(token, method, &path, &bytes).await;
                assert_eq!(refused.status, 401, "{method} {path}");
                // Tools that have a password send it when they are asked.
                assert_eq!(refused.header("www-authenticate"), Some("Basic realm=\"slipway cache\""));
                // Nx reads why only if the type is exactly this.
                assert_eq!(refused.header("content-type"), Some("text/plain"));
            }
        }
        assert_eq!(door.send("", "PUT", &path, &bytes).await.text(), "show a token\n");
    }
    let calls = [
        ("PROPFIND", "/files/a/"),
        ("MKCOL", "/files/a/"),
        ("OPTIONS", "/files/a"),
        ("GET", "/turbo/v8/artifacts/status"),
        ("POST", "/turbo/v8/artifacts/events"),
        ("POST", "/turbo/v8/artifacts"),
        ("OPTIONS", "/turbo/v8/artifacts/a"),
    ];
    for (method, path) in calls {
        assert_eq!(door.status("", method, path, b"{}").await, 401, "{method} {path}");
    }
    let forbidden =
        ["/bazel/forbidden/ac/".to_owned() + &"a".repeat(64), "/turbo/v8/artifacts/a?slug=forbidden".into()];
    for path in forbidden {
        for method in ["GET", "PUT"] {
            let refused = door.send("a", method, &path, b"").await;
            assert_eq!((refused.status, refused.text()), (403, "not that one\n"), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_token_that_only_reads_cannot_write_by_any_door() {
    let door = Door::open().await;
    for (path, bytes) in one_of_each() {
        let refused = door.send("a:ro", "PUT", &path, &bytes).await;
        assert_eq!(refused.status, 403, "{path}");
        assert_eq!(refused.text(), "this token may read this cache but not write to it\n");
        assert_eq!(door.status("a", "GET", &path, b"").await, 404, "{path}");
        assert!(door.status("a", "PUT", &path, &bytes).await < 300, "{path}");
        assert_eq!(door.send("a:ro", "GET", &path, b"").await.body, bytes, "{path}");
    }
    assert_eq!(door.status("a:ro", "MKCOL", "/files/a/", b"").await, 403);
    // A result as Bazel sends it, which goes another way than bytes that are none.
    let result = format!("/bazel/ac/{}", "ab".repeat(32));
    assert_eq!(door.status("a:ro", "PUT", &result, &[0x20, 1]).await, 403);
}

#[tokio::test]
async fn scopes_are_apart_by_every_door() {
    let door = Door::open().await;
    for (path, bytes) in one_of_each() {
        assert!(door.status("a", "PUT", &path, &bytes).await < 300, "{path}");
        for method in ["GET", "HEAD"] {
            assert_eq!(door.status("b", method, &path, b"").await, 404, "{path}");
        }
        // Who may read ours as well sees it; what he puts there is his own.
        assert_eq!(door.send("c+a", "GET", &path, b"").await.body, bytes, "{path}");
        if path.contains("/cas/") {
            // A blob is what its name says, whoever brings it.
            continue;
        }
        let poison = b"\xcc poison".to_vec();
        let put = door.status("c+a", "PUT", &path, &poison).await;
        let seen = door.send("c+a", "GET", &path, b"").await.body;
        if path.starts_with("/nx/") {
            assert_eq!((put, &seen), (409, &bytes), "a record is there to stay");
        } else {
            assert_eq!((put < 300, &seen), (true, &poison), "{path}");
        }
        assert_eq!(
            door.send("a", "GET", &path, b"").await.body,
            bytes,
            "{path}: what a guest puts nobody else gets"
        );
        assert_eq!(door.status("b", "GET", &path, b"").await, 404, "{path}");
    }
}

#[tokio::test]
async fn names_that_lead_elsewhere_are_refused() {
    let door = Door::open().await;
    let long = format!("/files/{}", "x".repeat(2_049));
    let hash = "1f".repeat(32);
    let odd = [
        "/files/..".to_owned(),
        "/files/a/../b".to_owned(),
        "/files/a/%2e%2e/b".to_owned(),
        "/files/a%2f..%2fb".to_owned(),
        "/files/%2E".to_owned(),
        "/files/a%00b".to_owned(),
        "/files/a%0d%0ab".to_owned(),
        "/files/a%5cb".to_owned(),
        "/files/a/".to_owned(),
        "/files/".to_owned(),
        "/files/%ff".to_owned(),
        long,
        format!("/bazel/{}/ac/{hash}", "i".repeat(257)),
        format!("/bazel/ac/{hash}/.."),
        "/bazel/ac/..".to_owned(),
        format!("/bazel/ac/{hash}00"),
        format!("/bazel/ac/{}%00", &hash[..63]),
        format!("/bazel/blobs/{hash}"),
        "/turbo/v8/artifacts/..%2f..%2fstatus".to_owned(),
        "/turbo/v8/artifacts/a%00".to_owned(),
        format!("/turbo/v8/artifacts/{}", "a".repeat(129)),
        format!("/turbo/v8/artifacts/a?slug={}", "i".repeat(257)),
        "/nx/v1/cache/..".to_owned(),
        "/nx/v1/cache/%2e%2e".to_owned(),
        "/nx/v1/cache/1%00".to_owned(),
        format!("/nx/v1/cache/{}", "1".repeat(129)),
    ];
    for path in odd {
        for method in ["GET", "PUT"] {
            assert_eq!(door.status("a", method, &path, b"x").await, 400, "{method} {path}");
        }
    }
    // As long as a name may be, and one that is longer than any head of a request.
    let longest = format!("/files/{}", "x".repeat(2_048));
    assert_eq!(door.status("a", "PUT", &longest, b"x").await, 201);
    assert_eq!(door.send("a", "GET", &longest, b"").await.body, b"x");
    assert_eq!(door.status("a", "GET", &format!("/files/{}", "x".repeat(100_000)), b"").await, 414);
}

#[tokio::test]
async fn other_methods_are_refused_and_the_right_ones_named() {
    let door = Door::open().await;
    for (path, _) in one_of_each() {
        for method in ["DELETE", "POST", "PATCH", "BREW"] {
            let refused = door.send("a", method, &path, b"").await;
            assert_eq!(refused.status, 405, "{method} {path}");
            let allowed = refused.header("allow").unwrap_or_default();
            assert!(allowed.contains("GET") && allowed.contains("PUT"), "{method} {path}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn what_is_too_long_is_refused_before_it_comes() {
    let door = Door::open().await;
    let length = (16_u64 << 30) + 1;
    for (path, _) in one_of_each() {
        let headers = [("content-length", length.to_string())];
        let headers = headers.each_ref().map(|(name, value)| (*name, value.as_str()));
        // The first bytes alone: the answer comes without the others.
        let refused = door.send_with("a", "PUT", &path, &headers, b"\xcc").await;
        assert_eq!(refused.status, 413, "{path}");
        assert_eq!(refused.text(), "the blob is longer than 17179869184 bytes\n");
    }
    let tag = "t".repeat(4_097);
    let path = "/turbo/v8/artifacts/a";
    let refused = door.send_with("a", "PUT", path, &[("x-artifact-tag", &tag)], b"x").await;
    assert_eq!((refused.status, refused.text().contains("4096")), (400, true));
    let many = format!("{{\"hashes\": [{}\"a\"]}}", "\"a\",".repeat(1_000));
    let refused = door.send("a", "POST", "/turbo/v8/artifacts", many.as_bytes()).await;
    assert_eq!((refused.status, refused.text()), (400, "at most 1000 hashes at once\n"));
    let refused = door.send("a", "POST", "/turbo/v8/artifacts", &vec![b' '; MIB + 1]).await;
    assert_eq!(refused.status, 413);
}

#[tokio::test]
async fn a_body_that_breaks_off_stores_nothing() {
    let door = Door::open().await;
    for (path, bytes) in one_of_each() {
        // The client sends less than it said, and closes.
        let part = [bytes, noise(1, 3 * MIB)].concat();
        door.break_off("a", &path, 100_000_000, &part).await;
        assert_eq!(door.status("a", "GET", &path, b"").await, 404, "{path}");
    }
}

#[tokio::test]
async fn a_lost_chunk_makes_the_file_a_miss() {
    use slipway_cas::cache::{Engine as _, Key, Kind};
    let door = Door::open().await;
    for (at, path) in ["/files/a", "/turbo/v8/artifacts/a", "/nx/v1/cache/1"].into_iter().enumerate() {
        let blob = noise(at as u64, 5 * MIB);
        assert!(door.status("a", "PUT", path, &blob).await < 300);
        let keys = door.engine.memory.scan(None).await.unwrap().keys;
        let chunks: Vec<Key> =
            keys.into_iter().map(|listed| listed.key).filter(|key| key.kind == Kind::Chunk).collect();
        door.engine.delete_many(&chunks[1..2]).await.unwrap();
        assert_eq!(door.status("a", "GET", path, b"").await, 404, "{path}");
        assert!(door.status("a", "PUT", path, &blob).await < 300, "{path}: once more, Nx's too");
        assert_eq!(door.send("a", "GET", path, b"").await.body, blob, "{path}");
        door.engine.delete_many(&chunks).await.unwrap();
    }
}

#[tokio::test]
async fn a_dead_engine_is_a_miss_and_fails_no_put() {
    // Asked by each call, as good as; and left alone from the second failure on.
    for pause in [Duration::ZERO, Duration::from_secs(3_600)] {
        let door = Door::open_with(pause).await;
        let large = noise(5, 5 * MIB);
        let mut all = one_of_each();
        all.push(("/files/large".to_owned(), large.clone()));
        all.push((format!("/bazel/cas/{}", Digest::of(&large).hash_hex()), large));
        for (path, bytes) in &all {
            assert!(door.status("a", "PUT", path, bytes).await < 300, "{path}");
        }
        door.kill();
        let before = door.asked();
        for (path, bytes) in &all {
            assert_eq!(door.status("a", "GET", path, b"").await, 404, "{path}");
            assert_eq!(door.status("a", "HEAD", path, b"").await, 404, "{path}");
            let put = door.send("a", "PUT", path, bytes).await;
            assert!((200..300).contains(&put.status), "{path}: {put:?}");
        }
        // A result of Bazel's whose blobs were taken and dropped, inside of a tree too.
        results::a_result_is_taken_by_a_dead_engine(&door).await;
        let asked = door.asked() - before;
        if pause.is_zero() {
            assert!(asked > 3 * all.len(), "{asked}");
        } else {
            assert_eq!((asked, door.is_left_alone()), (2, true));
        }
    }
}

#[tokio::test]
async fn what_is_pushed_out_while_it_is_written_fails_no_put() {
    let door = Door::open().await;
    let blob = |length: usize| [b"\xcc".to_vec(), noise(length as u64, length)].concat();
    door.fill();
    for length in [3, 100 << 10, 5 * MIB] {
        let bytes = blob(length);
        let hash = Digest::of(&bytes).hash_hex();
        for path in [
            format!("/files/{length}"),
            format!("/bazel/cas/{hash}"),
            format!("/bazel/ac/{length:064}"),
            format!("/turbo/v8/artifacts/a{length}"),
            format!("/nx/v1/cache/{length}"),
        ] {
            let put = door.send("a", "PUT", &path, &bytes).await;
            assert!((200..300).contains(&put.status), "{path}: {put:?}");
            assert_eq!(door.status("a", "GET", &path, b"").await, 404, "{path}");
        }
    }
}

#[tokio::test]
async fn what_was_there_is_found_when_the_engine_is_back() {
    let door = Door::open().await;
    for (path, bytes) in one_of_each() {
        assert!(door.status("a", "PUT", &path, &bytes).await < 300, "{path}");
    }
    door.kill();
    for (path, _) in one_of_each() {
        assert_eq!(door.status("a", "GET", &path, b"").await, 404, "{path}");
    }
    door.revive();
    for (path, bytes) in one_of_each() {
        let mut got = door.send("a", "GET", &path, b"").await;
        for _ in 0..1_000 {
            if got.status == 200 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
            got = door.send("a", "GET", &path, b"").await;
        }
        assert_eq!((got.status, got.body), (200, bytes), "{path}");
    }
}

#[tokio::test]
async fn webdav_clients_find_folders_wherever_they_look() {
    let door = Door::open().await;
    let found = door.send_with("a", "PROPFIND", "/files/s/a/b/", &[("depth", "0")], b"").await;
    assert_eq!(found.status, 207);
    assert!(found.header("content-type").unwrap().starts_with("application/xml"));
    assert!(found.text().contains("<D:href>/s/a/b/</D:href>") && found.text().contains("<D:collection/>"));
    // What is no name of a file of a cache is kept out of the XML.
    let odd = door.send("a", "PROPFIND", "/files/%3c%26%22x/", b"").await;
    assert!(odd.text().contains("<D:href>/x/</D:href>"), "{}", odd.text());
    assert_eq!(door.status("a", "PROPFIND", "/files/", b"").await, 207);
    assert_eq!(door.status("a", "PROPFIND", "/files/a/../b/", b"").await, 400);
    assert_eq!(door.status("a", "MKCOL", "/files/s/a/", b"").await, 201);
    let options = door.send("a", "OPTIONS", "/files/s", b"").await;
    assert_eq!((options.status, options.header("dav")), (204, Some("1")));
    assert!(options.header("allow").unwrap().contains("PROPFIND"));
}

#[tokio::test]
async fn turborepos_artifacts_keep_their_tag_and_time() {
    let door = Door::open().await;
    let path = "/turbo/v8/artifacts/abc";
    let headers = [
        ("x-artifact-tag", "c2lnbmVk="),
        ("x-artifact-duration", "1234"),
        ("x-artifact-sha", "0123"),
        ("x-artifact-dirty-hash", "4567"),
    ];
    let put = door.send_with("a", "PUT", &format!("{path}?slug=t"), &headers, b"bytes").await;
    assert_eq!((put.status, put.text()), (202, "{\"urls\":[\"/v8/artifacts/abc\"]}"));
    for method in ["GET", "HEAD"] {
        let got = door.send("a", method, &format!("{path}?slug=t"), b"").await;
        assert_eq!(got.status, 200);
        for (name, value) in headers {
            assert_eq!(got.header(name), Some(value), "{method}");
        }
    }
    // A team's cache is its own.
    assert_eq!(door.status("a", "GET", "/turbo/v8/artifacts/status?slug=t", b"").await, 200);
    let asked =
        door.send("a", "POST", "/turbo/v8/artifacts?slug=t", b"{\"hashes\": [\"abc\", \"def\"]}").await;
    let told: serde_json::Value = serde_json::from_slice(&asked.body).unwrap();
    let expected = serde_json::json!({"size": 5, "tag": "c2lnbmVk=", "taskDurationMs": 1234});
    assert_eq!(told, serde_json::json!({"abc": expected, "def": null}));
    assert_eq!(door.status("a", "POST", "/turbo/v8/artifacts/events?slug=t", b"[]").await, 200);
    assert_eq!(door.status("a", "POST", "/turbo/v8/artifacts", b"[]").await, 400);
    let allowed = door.send("a", "OPTIONS", path, b"").await;
    assert!(allowed.header("access-control-allow-headers").unwrap().contains("Authorization"));
}

#[tokio::test]
async fn nxs_records_are_there_to_stay() {
    let door = Door::open().await;
    assert_eq!(door.status("a", "PUT", "/nx/v1/cache/12", b"first").await, 200);
    let again = door.send("a", "PUT", "/nx/v1/cache/12", b"second").await;
    assert_eq!((again.status, again.text()), (409, "there is a record of this hash already\n"));
    assert_eq!(door.send("a", "GET", "/nx/v1/cache/12", b"").await.body, b"first");
}
