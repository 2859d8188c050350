//! The zip archive of an artifact. However damaged or hostile it is, nothing is written outside of the folder.

use std::fs;
use std::io::{Seek as _, Write as _};
use std::path::Path;

use slipway_actions::artifact::extract;

pub(super) const CORPUS: &[&[u8]] =
    &[include_bytes!("../../archives/small.zip"), include_bytes!("../../archives/links.zip")];

pub(super) const DICTIONARY: &[&[u8]] = &[
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
    b"PK\x07\x08",
    b"../",
    b"../../x",
    b"/etc/x",
    b"a/../../b",
    b"C:\\x",
    b"\0",
    b"\xff\xff\xff\xff",
    b"\x01\x00\x10\x00",
    b"\x08\x00",
    b"\x00\x08",
    b"\xff\xa1",
];

pub(super) fn run(input: &[u8]) {
    let around = tempfile::tempdir().expect("a folder for temporary files");
    let folder = around.path().join("in/folder");
    fs::create_dir_all(&folder).expect("a new folder");
    let mut archive = tempfile::tempfile().expect("a temporary file");
    archive.write_all(input).and_then(|()| archive.rewind()).expect("a file that was just made");
    // Refused or not: what counts is where it wrote.
    let _ = extract(archive, &folder);
    assert_eq!(names(around.path()), ["in"], "beside the folder above");
    assert_eq!(names(&around.path().join("in")), ["folder"], "beside the folder");
    assert!(no_links(&folder), "a link, which a later entry could be written through");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("the folder is there").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

fn no_links(folder: &Path) -> bool {
    fs::read_dir(folder).expect("the folder is there").flatten().all(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => no_links(&entry.path()),
        Ok(kind) => kind.is_file(),
        Err(_) => true,
    })
}
