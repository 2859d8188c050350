//! Names of blobs in ByteStream. What is accepted names a blob within the limit whose hash stands in the name; its instance begins
//! the name.

use slipway_cache::limits::{MAX_BLOB_BYTES, MAX_RESOURCE_BYTES};
use slipway_cache::reapi::names::{upload, wanted};

const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

pub(super) const CORPUS: &[&[u8]] = &[
    b"blobs/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/12",
    b"a/b/compressed-blobs/zstd/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/12",
    b"a/uploads/0b7a/blobs/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/12/more",
    b"uploads/0b7a/compressed-blobs/zstd/sha256/e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855/12",
];

pub(super) const DICTIONARY: &[&[u8]] = &[
    b"blobs/",
    b"compressed-blobs/",
    b"uploads/",
    b"zstd/",
    b"identity/",
    b"deflate/",
    b"sha256/",
    b"blake3/",
    b"/",
    b"//",
    b"../",
    b"-1",
    b"+1",
    b"0",
    b"18446744073709551615",
    b"18446744073709551616",
    HASH.as_bytes(),
    b"E3B0",
    b"\0",
    b"\xc3\xa4",
];

pub(super) fn run(input: &[u8]) {
    let name = String::from_utf8_lossy(input);
    let found = [
        wanted(&name).map(|wanted| (wanted.instance, wanted.digest)),
        upload(&name).map(|upload| (upload.instance, upload.digest)),
    ];
    for (instance, digest) in found.into_iter().flatten() {
        assert!(name.len() <= MAX_RESOURCE_BYTES, "a name of {} bytes", name.len());
        assert!(name.starts_with(instance), "the instance {instance}");
        assert!(digest.size_bytes() <= MAX_BLOB_BYTES, "a blob of {} bytes", digest.size_bytes());
        assert!(name.to_ascii_lowercase().contains(&digest.hash_hex()), "another hash");
    }
}
