#![allow(clippy::unwrap_used)]

use super::job_engine::Kind;
use super::*;

fn arguments() -> Arguments {
    Arguments {
        server: Some("http://127.0.0.1:7443".to_owned()),
        token: Some("secret".to_owned()),
        ..Arguments::default()
    }
}

#[test]
fn defaults_offer_githubs_labels() {
    let options = Options::from_arguments(arguments()).unwrap();
    let labels = options.all_labels();
    for label in ["self-hosted", "linux", "ubuntu-latest", "ubuntu-24.04", "ubuntu-22.04"] {
        assert!(labels.iter().any(|known| known == label), "{labels:?}");
    }
    assert_eq!(options.image_for(["self-hosted", "Ubuntu-Latest"]), RUNNER_IMAGE);
    assert_eq!(options.image_for(["self-hosted"]), options.default_image);
}

#[test]
fn flags_win_over_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    std::fs::write(
        &path,
        "slots = 3\nwarm = 1\nname = \"file\"\n[images]\nBig = \"big:1\"\nubuntu-latest = \"own:1\"\n",
    )
    .unwrap();
    let options = Options::from_arguments(Arguments {
        config: Some(path),
        name: Some("flag".to_owned()),
        image: vec!["big=big:2".to_owned()],
        ..arguments()
    })
    .unwrap();
    assert_eq!((options.slots, options.name.as_str(), options.warm), (3, "flag", 1));
    assert_eq!(options.image_for(["BIG"]), "big:2");
    assert_eq!(options.image_for(["ubuntu-latest"]), "own:1");
}

#[test]
fn no_more_containers_wait_than_jobs_can_come() {
    let warm = |slots, warm| {
        Options::from_arguments(Arguments { slots: Some(slots), warm, ..arguments() }).unwrap().warm
    };
    assert_eq!([warm(1, None), warm(8, None), warm(1, Some(0)), warm(1, Some(5))], [1, 2, 0, 5]);
}

#[test]
fn what_is_wrong_is_named() {
    let cases: [(Arguments, &str); 17] = [
        (Arguments { server: None, ..arguments() }, "--server"),
        (Arguments { token: None, ..arguments() }, "--token-file"),
        (Arguments { token: Some(" ".to_owned()), ..arguments() }, "--token"),
        (Arguments { server: Some("http://ci.example:7443".to_owned()), ..arguments() }, "--allow-plaintext"),
        (Arguments { ca_file: Some("ca.pem".into()), ..arguments() }, "--ca-file"),
        (Arguments { slots: Some(0), ..arguments() }, "--slots"),
        (Arguments { warm: Some(65), ..arguments() }, "--warm"),
        (Arguments { image: vec!["x".to_owned()], ..arguments() }, "LABEL=IMAGE"),
        (Arguments { job_memory: Some("much".to_owned()), ..arguments() }, "--job-memory"),
        (Arguments { cache_size: Some(CacheSize(MAX_CACHE_GIB + 1)), ..arguments() }, "--cache-size"),
        (Arguments { arch: Some("riscv".to_owned()), ..arguments() }, "riscv"),
        (Arguments { job_disk: Some("much".to_owned()), ..arguments() }, "--job-disk"),
        (Arguments { job_disk: Some("1MiB".to_owned()), ..arguments() }, "at least 64 MiB"),
        (Arguments { disk_low: mark("1GiB"), disk_full: mark("2GiB"), ..arguments() }, "--disk-full"),
        (Arguments { disk_full: mark("6%"), ..arguments() }, "--disk-low"),
        (
            Arguments { job_engine: Some(Kind::Machine), accept_untrusted: true, ..arguments() },
            "--job-engine machine",
        ),
        (Arguments { job_engine_image: Some(" ".to_owned()), ..arguments() }, "--job-engine-image"),
    ];
    for (arguments, named) in cases {
        let message = Options::from_arguments(arguments).unwrap_err().to_string();
        assert!(message.contains(named), "{message}");
    }
}

fn mark(text: &str) -> Option<crate::disk::mark::Mark> {
    Some(text.parse().unwrap())
}

#[test]
fn the_disk_has_marks_and_jobs_a_limit_if_they_are_given_one() {
    use crate::disk::mark::{Mark, Marks};
    let default = Options::from_arguments(arguments()).unwrap().disk;
    assert_eq!((default.marks, default.job_bytes), (Marks::default(), None));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    std::fs::write(&path, "disk_low = \"20%\"\ndisk_full = \"off\"\njob_disk = \"2GiB\"\n").unwrap();
    let given = Arguments { config: Some(path), disk_full: mark("100MiB"), ..arguments() };
    let disk = Options::from_arguments(given).unwrap().disk;
    assert_eq!(disk.marks.low.of(1_000), 200);
    assert_eq!((disk.marks.full, disk.job_bytes), (Mark::Bytes(100 << 20), Some(2 << 30)));
    let off = Arguments { job_disk: Some("off".to_owned()), ..arguments() };
    assert_eq!(Options::from_arguments(off).unwrap().disk.job_bytes, None);
}

#[test]
fn the_cache_has_a_size_or_is_off() {
    let default = Options::from_arguments(arguments()).unwrap();
    assert_eq!(default.cache_bytes, TIER_DEFAULT_GIB << 30);
    let flag = |text: &str| {
        let cache_size = Some(text.parse().unwrap());
        Options::from_arguments(Arguments { cache_size, ..arguments() }).unwrap().cache_bytes
    };
    assert_eq!((flag("off"), flag("0"), flag("3")), (0, 0, 3 << 30));
    let folder = tempfile::tempdir().unwrap();
    let file = |text: &str| {
        let path = folder.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        Options::from_arguments(Arguments { config: Some(path), ..arguments() })
    };
    assert_eq!(file("cache_size = 2").unwrap().cache_bytes, 2 << 30);
    assert_eq!(file("cache_size = \"off\"").unwrap().cache_bytes, 0);
    for wrong in ["-1", "much", "1.5", "OFF", ""] {
        assert!(wrong.parse::<CacheSize>().is_err(), "{wrong}");
        assert!(file(&format!("cache_size = \"{wrong}\"")).is_err(), "{wrong}");
    }
    let beside = Options::local("http://127.0.0.1:7443", "token", Path::new("/tmp")).unwrap();
    assert_eq!(beside.cache_bytes, 0, "the coordinator's is on the same disk");
}

#[test]
fn emulation_has_to_be_allowed() {
    let foreign = match Architecture::native() {
        Some(Architecture::X64) => "ARM64",
        _ => "X64",
    };
    let asked = Arguments { arch: Some(foreign.to_owned()), ..arguments() };
    assert!(Options::from_arguments(asked).unwrap_err().to_string().contains("--allow-emulation"));
    let asked = Arguments {
        arch: Some(foreign.to_owned()),
        allow_emulation: Some(foreign.to_owned()),
        ..arguments()
    };
    let emulating = Options::from_arguments(asked).unwrap();
    assert!(emulating.emulated);
    assert!(!emulating.all_labels().contains(&"ubuntu-latest".to_owned()), "that is the machine's own kind");
}

#[test]
fn actions_come_from_github_unless_told_and_externals_must_be_there() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options::from_arguments(arguments()).unwrap();
    assert_eq!(options.actions_source, ActionsSource::Url("https://github.com".to_owned()));
    let path = folder.path().join("agent.toml");
    let shown = folder.path().display();
    std::fs::write(&path, format!("actions_source = \"file://{shown}\"\nexternals = \"{shown}\"\n")).unwrap();
    let options = Options::from_arguments(Arguments { config: Some(path), ..arguments() }).unwrap();
    assert_eq!(options.actions_source, ActionsSource::Folder(folder.path().to_owned()));
    assert_eq!(options.externals.as_deref(), Some(folder.path()));
    let colon = folder.path().join("a:b");
    std::fs::create_dir(&colon).unwrap();
    for (arguments, named) in [
        (Arguments { actions_source: Some("github.com".to_owned()), ..arguments() }, "--actions-source"),
        (Arguments { externals: Some(folder.path().join("none")), ..arguments() }, "fetch-externals.sh"),
        (Arguments { externals: Some(colon), ..arguments() }, "colon"),
    ] {
        let message = Options::from_arguments(arguments).unwrap_err().to_string();
        assert!(message.contains(named), "{message}");
    }
}

fn sized(sizes: &[&str]) -> Arguments {
    Arguments {
        slots: Some(4),
        cpus: Some(8.0),
        memory: Some("16g".to_owned()),
        size: sizes.iter().map(|&size| size.to_owned()).collect(),
        ..arguments()
    }
}

#[test]
fn processors_and_memory_count_once_they_are_spoken_of() {
    assert_eq!(Options::from_arguments(arguments()).unwrap().sizes, None);
    let options = Options::from_arguments(sized(&["Large=4:4g", "huge=8:16g"])).unwrap();
    let amount = |cpu_millis, gibibytes: i64| Amount { cpu_millis, memory_bytes: gibibytes << 30 };
    let by_label = [("large".to_owned(), amount(4_000, 4)), ("huge".to_owned(), amount(8_000, 16))];
    let expected = Sizes { total: amount(8_000, 16), each: amount(2_000, 4), by_label: by_label.into() };
    assert_eq!(options.sizes, Some(expected));
    assert!(options.all_labels().contains(&"large".to_owned()), "{:?}", options.all_labels());
    // A size bounds its jobs; the others are bounded by what was said about them, and so by nothing here.
    let limits = |labels: &[&str]| {
        let limits = options.limits_for(labels.iter().copied());
        (limits.cpu_millis, limits.memory_bytes.map(|bytes| bytes >> 30))
    };
    assert_eq!(limits(&["self-hosted"]), (None, None));
    assert_eq!(limits(&["self-hosted", "LARGE"]), (Some(4_000), Some(4)));
    assert_eq!(limits(&["large", "huge"]), (Some(8_000), Some(16)));
    // Without any of it given, it is the machine's.
    let machine = Options::from_arguments(Arguments { cpus: Some(1.0), slots: Some(1), ..arguments() });
    assert!(machine.unwrap().sizes.unwrap().total.memory_bytes > 64 << 20);
}

#[test]
fn sizes_stand_in_the_file_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("agent.toml");
    let text = "slots = 2\ncpus = 4\nmemory = \"8g\"\njob_cpus = 1.5\njob_memory = \"2g\"\n[sizes]\nlarge = { cpus = 4, memory = \"6g\" }\n";
    std::fs::write(&path, text).unwrap();
    let options = Options::from_arguments(Arguments { config: Some(path), ..arguments() }).unwrap();
    let sizes = options.sizes.unwrap();
    assert_eq!((sizes.each.cpu_millis, sizes.each.memory_bytes), (1_500, 2 << 30));
    assert_eq!(sizes.by_label["large"], Amount { cpu_millis: 4_000, memory_bytes: 6 << 30 });
}

#[test]
fn sizes_that_cannot_be_are_refused_with_a_reason() {
    let many: Vec<String> = (0..33).map(|number| format!("size-{number}=4:4g")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (arguments, words) in [
        (sized(&["large"]), "LABEL=CPUS:MEMORY"),
        (sized(&["large=4"]), "LABEL=CPUS:MEMORY"),
        (sized(&["large=x:4g"]), "LABEL=CPUS:MEMORY"),
        (sized(&["large=4:much"]), "not a size such as 8g"),
        (sized(&["large=0:4g"]), "not between 0.01 and 1024"),
        (sized(&[" =4:4g"]), "printable"),
        (sized(&["large=9:4g"]), "there are 8 processors and 16384 MiB in all"),
        (sized(&["large=4:17g"]), "there are 8 processors and 16384 MiB in all"),
        (sized(&["small=1:4g"]), "less than every job takes: 2 processors and 4096 MiB"),
        (sized(&many), "33 sizes are more than 32"),
        (Arguments { cpus: Some(0.0), ..arguments() }, "--cpus"),
        (Arguments { memory: Some("much".to_owned()), ..arguments() }, "--memory"),
        (Arguments { job_cpus: Some(9.0), ..sized(&[]) }, "each job takes 9 processors"),
    ] {
        let message = Options::from_arguments(arguments).unwrap_err().to_string();
        assert!(message.contains(words), "`{words}` is not in: {message}");
    }
}
