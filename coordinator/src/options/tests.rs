#![allow(clippy::unwrap_used)]

use super::*;

fn load(change: impl FnOnce(&mut Flags)) -> Result<Options, String> {
    let mut flags = Flags { data_dir: Some("/data".into()), ..Flags::default() };
    change(&mut flags);
    Options::load(flags).map_err(|error| error.to_string())
}

#[test]
fn what_is_not_supported_is_refused_by_name() {
    type Change = fn(&mut Flags);
    let cases: [(Change, &[&str]); 15] = [
        (|flags| flags.journal = Some("mysql://db".into()), &["--journal", "`mysql`"]),
        (|flags| flags.journal = Some("postgres:///db".into()), &["--journal", "no host"]),
        (|flags| flags.journal_file = Some("/none".into()), &["--journal-file", "/none"]),
        (|flags| flags.cache.cache = Some("memcached://cache".into()), &["--cache", "redis://"]),
        (|flags| flags.objects = Some("ftp://bucket".into()), &["--objects", "`ftp`"]),
        (|flags| flags.keep_logs = Some(0), &["--keep-logs", "0"]),
        (|flags| flags.keep_blobs = Some(36_501), &["--keep-blobs", "36500"]),
        (|flags| flags.lease_seconds = Some(5), &["--lease-seconds", "`5`", "6 to 3600"]),
        (|flags| flags.objects = Some("file://relative".into()), &["--objects", "file:///"]),
        (|flags| flags.grpc = Some("0.0.0.0:7443".into()), &["--grpc", "--tls-cert"]),
        (|flags| flags.http = Some("nowhere".into()), &["--http", "`nowhere`"]),
        (|flags| flags.tls.tls_cert = Some("c".into()), &["--tls-cert", "--tls-key"]),
        (|flags| flags.allow_repositories = vec!["a".into()], &["--allow-repository", "`a`"]),
        (|flags| flags.actions_source = Some("ssh://git@x".into()), &["--actions-source", "ssh://git@x"]),
        (|flags| flags.actions_source = Some("file://relative".into()), &["--actions-source", "file:///"]),
    ];
    for (change, parts) in cases {
        let error = load(change).unwrap_err();
        assert!(parts.iter().all(|part| error.contains(part)), "{error}");
    }
}

#[test]
fn nought_keeps_for_ever_and_blobs_stay_a_week_unless_told_otherwise() {
    for (given, kept) in [(None, Some(7)), (Some(0), None), (Some(1), Some(1)), (Some(36_500), Some(36_500))]
    {
        let options = load(|flags| flags.keep_blobs = given).unwrap();
        assert_eq!(options.keep_blobs, kept.map(days), "{given:?}");
    }
    assert_eq!(load(|flags| flags.keep_journal = Some(0)).unwrap().keep_journal, None);
    assert!(load(|flags| flags.keep_journal = Some(36_501)).unwrap_err().starts_with("--keep-journal: "));
}

#[test]
fn a_relative_data_directory_is_made_whole() {
    let options = load(|flags| flags.data_dir = Some("d/./e".into())).unwrap();
    assert_eq!(options.data_dir, std::env::current_dir().unwrap().join("d/e"));
    assert!(load(|flags| flags.data_dir = Some("".into())).unwrap_err().starts_with("--data-dir: "));
}

#[test]
fn the_password_of_the_journal_does_not_show() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.url");
    std::fs::write(&path, "postgres://u:hunter2@db/slipway\n").unwrap();
    let among = |flags: &mut Flags| {
        flags.objects = Some("file:///srv/slipway".into());
        flags.cluster.cluster_key_file = Some("cluster.key".into());
        flags.cluster.objects_shared = true;
    };
    let from_file = load(|flags| {
        among(flags);
        flags.journal_file = Some(path.clone());
    });
    let from_flag = load(|flags| {
        among(flags);
        flags.journal = Some("postgres://u:hunter2@db/slipway".into());
    });
    let (from_file, from_flag) = (from_file.unwrap(), from_flag.unwrap());
    assert_eq!(from_file, from_flag);
    assert!(matches!(from_file.journal, JournalPlace::Postgres(_)));
    let flags = Flags { journal: Some("postgres://u:hunter2@db/d".into()), ..Flags::default() };
    assert!(!format!("{from_file:?} {flags:?}").contains("hunter2"));
    for url in ["postgres://u:hunter2@db/d?sslmode=x", "postgres:/u:hunter2@db", "u:hunter2@db/d"] {
        let error = load(|flags| flags.journal = Some(url.into())).unwrap_err();
        assert!(error.starts_with("--journal: ") && !error.contains("hunter2"), "{error}");
    }
    let both = load(|flags| {
        flags.journal = Some("sqlite".into());
        flags.journal_file = Some(path);
    });
    assert!(both.unwrap_err().contains("give one of them"));
}

#[test]
fn a_flag_wins_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    let text = "http = '127.0.0.1:1'\ngrpc = '127.0.0.1:2'\nwebhook_secret = 's'\n[[repository]]\nname = 'o/n'\n\
                clone_url = 'https://x/o/n.git'\n";
    std::fs::write(&path, text).unwrap();
    let options = load(|flags| {
        flags.config = Some(path);
        flags.http = Some("127.0.0.1:3".into());
    });
    let options = options.unwrap();
    assert_eq!((options.http.port(), options.grpc.port()), (3, 2));
    assert_eq!(options.webhook.secret, Some(WebhookSecret("s".into())));
    assert_eq!(options.webhook.repositories.len(), 1);
    assert!(!format!("{options:?}").contains("\"s\""));
}

#[test]
fn an_unknown_field_of_the_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.toml");
    std::fs::write(&path, "htttp = 'x'\n").unwrap();
    let error = load(|flags| flags.config = Some(path)).unwrap_err();
    assert!(error.contains("htttp") && error.contains("c.toml"), "{error}");
}
