//! `admin`: mending a journal that is damaged or was put back.
#![allow(clippy::unwrap_used)]

mod program;

use std::fs;
use std::path::{Path, PathBuf};

use program::{Place, refuses};
use slipway_coordinator::data_dir::DataDir;
use slipway_coordinator::journal::{Address, Entry, JournalPlace, SQLITE_FILE, lead, open};

/// As a coordinator that starts, appends so many entries, and stops; where the journal ends.
fn append(data_dir: &Path, count: u64) -> u64 {
    let mut journal = open(&JournalPlace::Sqlite, data_dir, None).unwrap();
    let epoch = lead(&mut *journal, &Address::default()).unwrap();
    let entry = |n| Entry { time_ms: 1, payload: format!("<record {n}>").into_bytes() };
    let entries: Vec<Entry> = (journal.end() + 1..=journal.end() + count).map(entry).collect();
    journal.append(epoch, &entries).unwrap()
}

fn filled(place: &Place) -> (PathBuf, String) {
    let data_dir = place.path().join("data");
    fs::create_dir(&data_dir).unwrap();
    assert_eq!(append(&data_dir, 20), 20);
    let folder = data_dir.to_str().unwrap().to_owned();
    (data_dir, folder)
}

#[test]
fn a_damaged_journal_is_cut_only_when_told_so() {
    let place = Place::new();
    let (data_dir, folder) = filled(&place);
    let cut = ["admin", "cut-journal", "--data-dir", &folder];
    let cut_yes = [&cut[..], &["--yes"]].concat();
    refuses(&place.run(&cut_yes), 2, &["is whole up to position 20"]);

    let journal = data_dir.join(SQLITE_FILE);
    let mut bytes = fs::read(&journal).unwrap();
    let at = bytes.windows(11).position(|window| window == b"<record 15>").unwrap();
    bytes[at] ^= 1;
    fs::write(&journal, &bytes).unwrap();
    let asked = place.run(&cut);
    refuses(&asked, 2, &["nothing was changed; add --yes"]);
    for part in ["good: everything up to position 14", "loses the records 15 to 20"] {
        assert!(asked.out.contains(part), "{asked:?}");
    }
    assert_eq!(fs::read(&journal).unwrap(), bytes);

    let locked = DataDir::open(&data_dir).unwrap();
    refuses(&place.run(&cut_yes), 3, &["in use by another process"]);
    drop(locked);
    let done = place.run(&cut_yes);
    assert_eq!(done.code, 0, "{done:?}");
    for part in ["ends at position 14 now", "6 records after it are in ", "journal.damaged-14-"] {
        assert!(done.out.contains(part), "{done:?}");
    }
    assert_eq!(append(&data_dir, 1), 15);
}

#[test]
fn a_loss_is_accepted_only_when_told_so() {
    let place = Place::new();
    let (data_dir, folder) = filled(&place);
    let accept = ["admin", "accept-loss", "--data-dir", &folder];
    let accept_yes = [&accept[..], &["--yes"]].concat();
    refuses(&place.run(&accept_yes), 2, &["nothing is lost"]);

    let backup = fs::read(data_dir.join(SQLITE_FILE)).unwrap();
    assert_eq!(append(&data_dir, 5), 25);
    fs::write(data_dir.join(SQLITE_FILE), backup).unwrap();
    let ports = ["--http", "127.0.0.1:0", "--grpc", "127.0.0.1:0", "--agents", "0"];
    let up = place.run(&[&["up", "--data-dir", &folder][..], &ports].concat());
    refuses(&up, 3, &["should reach position 25, and ends at 20", "slipway admin accept-loss"]);
    let asked = place.run(&accept);
    refuses(&asked, 2, &["add --yes"]);
    for part in ["up to position 20", "between position 21 and 25", "ends at position 20 now"] {
        assert!(asked.out.contains(part), "{asked:?}");
    }
    let done = place.run(&accept_yes);
    assert_eq!(done.code, 0, "{done:?}");
    assert_eq!(append(&data_dir, 1), 21);
}

#[test]
fn what_is_not_there_is_named() {
    let place = Place::new();
    refuses(&place.run(&["admin", "cut-journal", "--data-dir", "none"]), 2, &["--data-dir", "none"]);
    let (_, folder) = filled(&place);
    let accept = ["admin", "accept-loss", "--data-dir", &folder, "--journal", "postgres://u:secret@h/d?x=1"];
    let refused = place.run(&accept);
    refuses(&refused, 2, &["--journal", "`x`"]);
    assert!(!refused.err.contains("secret"), "{refused:?}");
}
