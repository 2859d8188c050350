#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::records::summaries;
use super::said::{FIRST_LINE_MAX_BYTES, lines};
use super::*;
use crate::limits::{
    JUNIT_CASES_MAX, JUNIT_MESSAGE_MAX_BYTES, REPORTS_FILE_MAX_BYTES, REPORTS_FILES_MAX,
    REPORTS_NAME_MAX_BYTES, REPORTS_RECORD_BYTES,
};

const ROOM: Room = Room { cases: 100, text_bytes: 1 << 20 };

fn plain(text: &str, max_bytes: usize) -> String {
    cut(text.to_owned(), max_bytes)
}

fn read(text: &str) -> Result<Parsed, ReportError> {
    parse(text.as_bytes(), ROOM, &plain)
}

/// Suite, class, name, outcome, microseconds and the message's first line of each case.
fn short(text: &str) -> Vec<String> {
    let parsed = read(text).unwrap();
    assert_eq!(parsed.left_out, 0);
    let line = |case: &Case| {
        let Case { suite, class, name, outcome, duration_us, message, .. } = case;
        let time = duration_us.map_or("-".to_owned(), |time| time.to_string());
        let first = message.lines().next().unwrap_or_default();
        format!("{suite}|{class}|{name}|{}|{time}|{first}", outcome.word())
    };
    parsed.cases.iter().map(line).collect()
}

#[test]
fn pytest() {
    // As pytest 9 wrote it.
    let cases = short(include_str!("fixtures/pytest.xml"));
    assert_eq!(
        cases[..6],
        [
            "pytest|test_sums|test_adds|passed|1000|",
            "pytest|test_sums|test_doubles[1]|passed|1000|",
            "pytest|test_sums|test_doubles[2]|failed|1000|AssertionError: <wrong> & \"odd\"",
            "pytest|test_sums.TestGroup|test_skipped|skipped|0|not today",
            "pytest|test_sums.TestGroup|test_error|error|10000|failed on setup with \"RuntimeError: no fixture\"",
            "pytest|test_sums.TestGroup|test_known|skipped|1000|known",
        ]
    );
    let long = &read(include_str!("fixtures/pytest.xml")).unwrap().cases[6];
    assert_eq!((long.name.as_str(), long.outcome), ("test_long", Outcome::Failed));
    assert!(long.message.contains("test_sums.py:29: AssertionError"), "{}", long.message);
}

#[test]
fn jest_junit() {
    // As jest-junit wrote it, with JEST_JUNIT_REPORT_TEST_SUITE_ERRORS.
    assert_eq!(
        short(include_str!("fixtures/jest-junit.xml")),
        [
            "sums|sums adds|sums adds|passed|37000|",
            "sums|sums inner fails|sums inner fails|failed|95000|Error: expect(received).toEqual(expected) // deep equality",
            "sums|sums inner skipped|sums inner skipped|skipped|0|",
            "sums|sums inner to do|sums inner to do|passed|0|",
            "broken.test.js|Test suite failed to run|broken.test.js|error|0|● Test suite failed to run",
            "broken.test.js|Test suite failed to run|broken.test.js|failed|0|{}",
        ]
    );
}

#[test]
fn cargo_nextest() {
    // As cargo-nextest wrote it, but for the backtraces.
    let cases = short(include_str!("fixtures/cargo-nextest.xml"));
    assert_eq!(cases.len(), 3, "{cases:?}");
    assert_eq!(cases[0], "sums|sums|tests::adds|passed|32000|");
    assert!(
        cases[1].starts_with("sums|sums|tests::flaky|flaky|45000|thread 'tests::flaky' "),
        "{}",
        cases[1]
    );
    assert!(
        cases[2].starts_with("sums|sums|tests::fails|failed|716000|thread 'tests::fails' "),
        "{}",
        cases[2]
    );
    let parsed = read(include_str!("fixtures/cargo-nextest.xml")).unwrap();
    let message = &parsed.cases[2].message;
    assert!(message.contains("failed: sum <is> & wrong") && !message.contains("running 1 test"), "{message}");
}

#[test]
fn surefire() {
    // After its schema 3.0.2.
    assert_eq!(
        short(include_str!("fixtures/surefire.xml")),
        [
            "org.example.SumsTest|org.example.SumsTest|adds|passed|12000|",
            "org.example.SumsTest|org.example.SumsTest|fails|failed|1002500000|sum <is> & wrong ==> expected: <3> but was: <2>",
            "org.example.SumsTest|org.example.SumsTest|errs|error|1000|broken",
            "org.example.SumsTest|org.example.SumsTest|skipped|skipped|0|not today",
            "org.example.SumsTest|org.example.SumsTest|flaky|flaky|3000|first time ==> expected: <true> but was: <false>",
        ]
    );
    let parsed = read(include_str!("fixtures/surefire.xml")).unwrap();
    assert!(parsed.cases[1].message.contains("SumsTest.java:7"));
    assert!(!parsed.cases.iter().any(|case| case.message.contains("never shown")));
}

#[test]
fn gotestsum() {
    // After its `internal/junitxml`.
    assert_eq!(
        short(include_str!("fixtures/gotestsum.xml")),
        [
            "example.org/sums|example.org/sums|TestAdds|passed|0|",
            "example.org/sums|example.org/sums|TestTable/one_&_two|passed|10000|",
            "example.org/sums|example.org/sums|TestFails|failed|20000|Failed",
            "example.org/sums|example.org/sums|TestSkipped|skipped|0|=== RUN   TestSkipped",
        ]
    );
    let parsed = read(include_str!("fixtures/gotestsum.xml")).unwrap();
    assert!(parsed.cases[2].message.contains("\n    sums_test.go:12: got 2, want 3\n"));
}

#[test]
fn phpunit() {
    // After its `JunitXmlLogger`.
    let text = include_str!("fixtures/phpunit.xml");
    assert_eq!(
        short(text),
        [
            "SumsTest|SumsTest|testAdds|passed|4000|",
            "SumsTest|SumsTest|testFails|failed|3000|SumsTest::testFails",
            "SumsTest|SumsTest|testErrs|error|1000|SumsTest::testErrs",
            "SumsTest|SumsTest|testSkipped|skipped|2000|",
        ]
    );
    let places: Vec<_> = read(text).unwrap().cases.into_iter().map(|case| (case.file, case.line)).collect();
    assert_eq!(places[1], ("/project/tests/SumsTest.php".to_owned(), 12));
}

#[test]
fn googletest() {
    // After its documentation.
    assert_eq!(
        short(include_str!("fixtures/googletest.xml")),
        [
            "SumsTest|SumsTest|Adds|passed|7000|",
            "SumsTest|SumsTest|Fails|failed|5000|sums_test.cc:18",
            "SumsTest|SumsTest|Skipped|skipped|1000|sums_test.cc:23",
            "SumsTest|SumsTest|DISABLED_Later|skipped|1000|",
        ]
    );
}

#[test]
fn odd_figures_and_nested_suites() {
    let text = r#"<testsuites><testsuite name="outer" file="o.js"><testsuite name="">
        <testcase name="a" time="NaN"/><testcase name="b" time="-1"/><testcase name="c" time="1e300"/>
        <testcase name="d" time="x" line="-3"/><testcase name="e" time=" 0.0000005 " line="7" file="e.js"/>
        </testsuite></testsuite><testsuite name="next"><testcase/></testsuite></testsuites>"#;
    let parsed = read(text).unwrap();
    let times: Vec<_> = parsed.cases.iter().map(|case| case.duration_us).collect();
    assert_eq!(times, [None, None, None, None, Some(1), None]);
    let places: Vec<_> =
        parsed.cases.iter().map(|case| (case.suite.as_str(), case.file.as_str(), case.line)).collect();
    assert_eq!(places[3..], [("outer", "o.js", 0), ("outer", "e.js", 7), ("next", "", 0)]);
}

#[test]
fn the_worst_that_is_said_of_a_case_counts() {
    let case =
        |inner: &str| read(&format!("<testsuite><testcase>{inner}</testcase></testsuite>")).unwrap().cases;
    let of = |inner: &str| (case(inner)[0].outcome, case(inner)[0].message.clone());
    assert_eq!(of("<skipped/><failure>f</failure>"), (Outcome::Failed, "f".to_owned()));
    assert_eq!(of("<failure>f</failure><failure>g</failure><skipped/>"), (Outcome::Failed, "f".to_owned()));
    assert_eq!(of("<failure>f</failure><error message='e'/>"), (Outcome::Error, "e".to_owned()));
    assert_eq!(of("<system-out><failure>no</failure></system-out>"), (Outcome::Passed, String::new()));
    assert_eq!(of("<failure>a&amp;b&#33;&who;<![CDATA[<c>]]></failure>").1, "a&b!&who;<c>");
}

#[test]
fn texts_are_cut_between_characters_after_masking() {
    let name = "ä".repeat(REPORTS_NAME_MAX_BYTES);
    let message = "ß".repeat(JUNIT_MESSAGE_MAX_BYTES);
    let text =
        format!("<testsuite><testcase name='x{name}'><failure>y{message}</failure></testcase></testsuite>");
    let case = read(&text).unwrap().cases.remove(0);
    assert_eq!(
        (case.name.len(), case.message.len()),
        (REPORTS_NAME_MAX_BYTES - 1, JUNIT_MESSAGE_MAX_BYTES - 1)
    );
    // A secret across the cut.
    let masks = crate::steps::mask::Masks::new(["correct horse battery"]);
    let clean = |text: &str, max: usize| cut(masks.mask_str(text), max);
    let before = "z".repeat(JUNIT_MESSAGE_MAX_BYTES - 5);
    let text = format!(
        "<testsuite><testcase name='correct horse battery!'><failure>{before}correct horse battery</failure></testcase></testsuite>"
    );
    let case = parse(text.as_bytes(), ROOM, &clean).unwrap().cases.remove(0);
    assert_eq!((case.name.as_str(), case.message), ("***!", format!("{before}***")));
}

#[test]
fn no_more_is_kept_than_there_is_room_for() {
    let text = format!("<testsuite name='s'>{}</testsuite>", "<testcase name='abcd'/>".repeat(10));
    let parsed = parse(text.as_bytes(), Room { cases: 3, text_bytes: 1_000 }, &plain).unwrap();
    assert_eq!((parsed.cases.len(), parsed.left_out), (3, 7));
    let parsed = parse(text.as_bytes(), Room { cases: 30, text_bytes: 12 }, &plain).unwrap();
    assert_eq!((parsed.cases.len(), parsed.left_out), (2, 8));
}

#[test]
fn what_is_broken_is_told_with_its_place_and_does_not_count() {
    let cut_off = "<testsuites>\n<testsuite>\n<testcase name='a'/>\n  <testcase name='b'>";
    let wrong_end = "<testsuite>\n <testcase></testsuite>";
    let attribute = "<testsuite>\n  <testcase name=x/>\n</testsuite>";
    for (text, line, column) in [(cut_off, 4, 22), (wrong_end, 2, 12), (attribute, 2, 3)] {
        let error = read(text).unwrap_err();
        let ReportError::Broken { line: at, column: by, .. } = &error else { unreachable!("{error}") };
        assert_eq!((*at, *by), (line, column), "{text}: {error}");
    }
    for other in
        ["", "hello", "<html><testsuite/></html>", "\u{feff}", "<coverage line-rate='1'/>", "<a", "{}"]
    {
        assert!(matches!(read(other), Err(ReportError::Other(_))), "{other}");
    }
    assert_eq!(
        read("\u{feff}<?xml version='1.0'?><!DOCTYPE a [<!ENTITY b 'c'>]><testsuite/>").unwrap().cases,
        []
    );
}

/// A workspace `r/r` below a folder of its own.
struct Place {
    folder: tempfile::TempDir,
    since: SystemTime,
}

const GOOD: &str = "<testsuite name='s'><testcase name='good'/></testsuite>";

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("r/r")).unwrap();
        // Files are stamped by a clock that lags.
        Self { folder, since: SystemTime::now() - Duration::from_secs(1) }
    }

    fn at(&self, path: &str) -> PathBuf {
        let path = self.folder.path().join("r/r").join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    fn write(&self, path: &str, text: &str) {
        std::fs::write(self.at(path), text).unwrap();
    }

    fn stamp(&self, path: &str, time: SystemTime) {
        std::fs::File::options().write(true).open(self.at(path)).unwrap().set_modified(time).unwrap();
    }

    fn wanted(&self, variable: Option<&str>) -> Wanted {
        Wanted {
            work: self.folder.path().to_owned(),
            workspace: "r/r".into(),
            seen: "/home/runner/work/r/r".to_owned(),
            variable: variable.map(str::to_owned),
            others: None,
            since_ns: ns(self.since),
            checkouts: Vec::new(),
        }
    }

    fn collect(&self, variable: Option<&str>) -> Collected {
        collect(&self.wanted(variable), &plain)
    }
}

fn ns(time: SystemTime) -> u64 {
    u64::try_from(time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()).unwrap()
}

fn paths(collected: &Collected) -> Vec<&str> {
    collected.reports.iter().map(|report| report.path.as_str()).collect()
}

#[test]
fn reports_are_found_in_their_order_and_copies_count_once() {
    let place = Place::new();
    for path in ["b/junit.xml", "a/TEST-x.xml", "junit.xml", "node_modules/junit.xml", ".git/junit.xml"] {
        place.write(path, &GOOD.replace("good", path));
    }
    place.write("copy/junit.xml", &GOOD.replace("good", "junit.xml"));
    place.write("pom.xml", GOOD);
    place.write("test.xml", "<project/>");
    place.write("test-data.xml", "no XML");
    let collected = place.collect(None);
    assert_eq!(paths(&collected), ["a/TEST-x.xml", "b/junit.xml", "copy/junit.xml"]);
    assert_eq!(collected.warnings, []);
    let named = place.collect(Some("junit.xml\npom.xml\ntest.xml\nnode_modules"));
    assert_eq!(paths(&named), ["junit.xml", "pom.xml"], "node_modules is never looked into");
    let [warning] = &named.warnings[..] else { unreachable!("{:?}", named.warnings) };
    assert!(
        warning.text.contains("`test.xml` does not count: it is no report: its root element is `project`")
    );
    for off in ["", "# none"] {
        assert_eq!(place.collect(Some(off)), Collected::default());
    }
    let wrong = place.collect(Some("a/../b.xml"));
    assert!(
        wrong.reports.is_empty() && wrong.warnings[0].text.contains("SLIPWAY_TEST_REPORTS: Invalid pattern")
    );
}

#[test]
fn nothing_outside_of_the_workspace_is_read() {
    let place = Place::new();
    let outside = tempfile::tempdir().unwrap();
    std::fs::write(outside.path().join("junit.xml"), GOOD).unwrap();
    std::fs::write(place.folder.path().join("junit.xml"), GOOD).unwrap();
    symlink(outside.path().join("junit.xml"), place.at("junit.xml")).unwrap();
    symlink(outside.path(), place.at("test-results")).unwrap();
    symlink("../../junit.xml", place.at("a-junit.xml")).unwrap();
    let fifo = place.at("fifo/junit.xml");
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    let socket = place.at("socket/junit.xml");
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    std::fs::create_dir_all(place.at("folder/junit.xml")).unwrap();
    assert_eq!(place.collect(None), Collected::default());
    assert_eq!(place.collect(Some("**")), Collected::default());
    // The workspace itself is a link.
    std::fs::remove_dir_all(place.folder.path().join("r/r")).unwrap();
    symlink(outside.path(), place.folder.path().join("r/r")).unwrap();
    assert_eq!(place.collect(None), Collected::default());
    assert!(place.collect(Some("**")).warnings[0].text.contains("The workspace can't be read"));
}

#[test]
fn only_what_the_job_wrote_counts() {
    let place = Place::new();
    let second = |number: u64| place.since + Duration::from_secs(number);
    for (path, time) in [("old", 0), ("before", 10), ("checked-out", 20), ("after", 30)] {
        let path = format!("{path}/junit.xml");
        place.write(&path, &GOOD.replace("good", &path));
        place.stamp(&path, second(time));
    }
    let mut wanted = place.wanted(None);
    wanted.since_ns = ns(second(1));
    wanted.checkouts = vec![(ns(second(15)), ns(second(20)))];
    assert_eq!(paths(&collect(&wanted, &plain)), ["after/junit.xml", "before/junit.xml"]);
}

#[test]
fn what_exceeds_a_limit_is_told_and_the_rest_counts() {
    let place = Place::new();
    place.write("a/junit.xml", GOOD);
    place.write("b/junit.xml", "<testsuites>\n<testsuite>\n<testcase");
    // A hole takes no room on the disk.
    place.write("c/junit.xml", GOOD);
    let large = std::fs::File::options().write(true).open(place.at("c/junit.xml")).unwrap();
    large.set_len(REPORTS_FILE_MAX_BYTES + 1).unwrap();
    place.write("d/test-data.xml", "<data>");
    let large = std::fs::File::options().write(true).open(place.at("d/test-data.xml")).unwrap();
    large.set_len(REPORTS_FILE_MAX_BYTES + 1).unwrap();
    let many = "<testcase/>".repeat(JUNIT_CASES_MAX);
    place.write("e/junit.xml", &format!("<testsuite>{many}</testsuite>"));
    let collected = place.collect(None);
    assert_eq!(paths(&collected), ["a/junit.xml", "e/junit.xml"]);
    let texts: Vec<&str> = collected.warnings.iter().map(|warning| warning.text.as_str()).collect();
    assert_eq!(texts.len(), 3, "{texts:?}");
    assert!(
        texts[0].starts_with("The test report `b/junit.xml` does not count: line 3, column "),
        "{}",
        texts[0]
    );
    assert_eq!((collected.warnings[0].file.as_str(), collected.warnings[0].place.0), ("b/junit.xml", 3));
    assert_eq!(texts[1], "The report `c/junit.xml` is not read: it is larger than 16 MiB");
    assert!(texts[2].starts_with("1 test cases are left out: "), "{}", texts[2]);
    let counted: usize = collected.reports.iter().map(|report| report.cases.len()).sum();
    assert_eq!(counted, JUNIT_CASES_MAX);
}

#[test]
fn no_more_files_are_read_than_the_limit() {
    let place = Place::new();
    for number in 0..REPORTS_FILES_MAX + 2 {
        place.write(&format!("junit-{number:05}.xml"), &GOOD.replace("good", &number.to_string()));
    }
    let collected = place.collect(None);
    assert_eq!(collected.reports.len(), REPORTS_FILES_MAX);
    let text = "Not all reports are read: a job's reports are at most 1000 files. `junit-01000.xml` and what follows is left out";
    assert_eq!(collected.warnings[0].text, text);
}

#[test]
fn records_are_small_and_have_every_case() {
    let case = |name: String, outcome| Case {
        suite: "s".to_owned(),
        class: String::new(),
        name,
        file: String::new(),
        line: 0,
        outcome,
        duration_us: None,
        message: "m".repeat(3_000),
    };
    let outcome = |number| if number % 4 == 0 { Outcome::Failed } else { Outcome::Passed };
    let cases: Vec<Case> = (0..100).map(|number| case(number.to_string(), outcome(number))).collect();
    let report = |path: &str| Report { path: path.to_owned(), cases: cases.clone() };
    let collected = Collected { reports: vec![report("a.xml"), report("b.xml")], ..Collected::default() };
    let said = lines(&collected);
    assert_eq!(said[0], "Tests: 150 passed, 50 failed (a.xml, b.xml)");
    assert_eq!(said[1], format!("  failed s › 0: {}", "m".repeat(FIRST_LINE_MAX_BYTES)));
    assert_eq!((said.len(), said[11].as_str()), (12, "  and 40 more"));
    let records = summaries(collected.reports);
    assert!(records.iter().all(|record| prost::Message::encoded_len(record) < 2 * REPORTS_RECORD_BYTES));
    let names: Vec<String> = records
        .iter()
        .flat_map(|record| record.tests.as_ref().unwrap().cases.iter().map(|case| case.name.clone()))
        .collect();
    assert_eq!(names, (0..200).map(|number| (number % 100).to_string()).collect::<Vec<_>>());
    assert!(records.len() > 2 && records.iter().all(|record| record.markdown.is_empty()));
    assert!(lines(&Collected::default()).is_empty());
}

#[test]
fn one_walk_finds_every_kind_and_the_repositorys_file_says_where() {
    let place = Place::new();
    place.write("junit.xml", "<testsuite><testcase name='a'/></testsuite>");
    place.write("cov/lcov.info", "SF:a.c\nDA:1,1\nend_of_record\n");
    place.write("coverage.xml", include_str!("fixtures/coverage-py.xml"));
    place.write("out/a.sarif", "{\"runs\":[]}");
    place.write("bom.json", "{\"bomFormat\":\"CycloneDX\",\"components\":[]}");
    // Something else of a name that is looked at, and something broken.
    place.write("sbom.json", "{\"what\":1}");
    place.write("x/lcov.info", "SF:a.c\nDA:\n");
    let found = place.collect(None);
    assert_eq!(paths(&found), ["junit.xml"]);
    let Others { coverage, findings, components } = &found.others;
    let names: Vec<&str> = coverage.iter().map(|report| report.path.as_str()).collect();
    assert_eq!((names, findings.len(), components.len()), (vec!["cov/lcov.info", "coverage.xml"], 1, 1));
    let said: Vec<&str> = found.warnings.iter().map(|warning| warning.text.as_str()).collect();
    let broken = "The report `x/lcov.info` does not count: line 2, column 1: it is not `DA:LINE,HITS`";
    assert_eq!(said, [broken]);
    let lines = super::said::all(&found);
    let sums = "Coverage: 80.00% of 8 of 10 lines (cov/lcov.info, coverage.xml)";
    assert_eq!(lines[1..], [sums, "Findings: none (out/a.sarif)", "Components: 0 (bom.json)"]);

    place.write(".slipway.yml", "reports: [out/*.sarif, sbom.json]\n");
    let found = place.collect(None);
    assert_eq!((found.others.coverage.len(), found.others.findings.len()), (0, 1));
    assert!(found.warnings[0].text.contains("`sbom.json` does not count: it is no report"), "{found:?}");
    let mut wanted = place.wanted(None);
    wanted.others = Some("cov".to_owned());
    assert_eq!(collect(&wanted, &plain).others.coverage.len(), 1, "a variable goes before the file");
    wanted.others = Some(String::new());
    assert_eq!(collect(&wanted, &plain).others, Others::default());
    place.write(".slipway.yml", "reports: out\n");
    let found = place.collect(None);
    let said = ".slipway.yml:1:10: `reports` must be a list, not text. The usual reports are read";
    assert_eq!((found.warnings[0].text.as_str(), found.warnings[0].place), (said, (1, 10)));
    assert_eq!(found.others.coverage.len(), 2);
}
