#![allow(clippy::unwrap_used)]

use slipway_proto::v1;
use slipway_proto::v1::finding::Severity;

use super::place::Named;
use super::*;
use crate::limits::{COVERED_FILES_MAX, COVERED_LINE_MAX, FINDING_MESSAGE_MAX_BYTES, FINDINGS_MAX};

const WORKSPACE: &str = "/home/runner/work/sums/sums";

fn plain(text: &str, max_bytes: usize) -> String {
    cut(text.to_owned(), max_bytes)
}

fn named() -> Named<'static> {
    Named { clean: &plain, workspace: WORKSPACE }
}

fn covered(found: Result<Vec<v1::FileCoverage>, ReportError>) -> Vec<String> {
    let line = |file: v1::FileCoverage| format!("{} {}/{}", file.path, file.covered, file.lines);
    found.unwrap().into_iter().map(line).collect()
}

fn read_lcov(text: &str) -> Result<Vec<v1::FileCoverage>, ReportError> {
    lcov::parse(text.as_bytes(), &|path| named().path(path))
}

fn read_cobertura(text: &str) -> Result<Vec<v1::FileCoverage>, ReportError> {
    cobertura::parse(text.as_bytes(), &|path| named().path(path))
}

fn why<T: std::fmt::Debug>(found: Result<T, ReportError>) -> String {
    found.unwrap_err().to_string()
}

#[test]
fn what_tools_write_of_coverage() {
    // geninfo of LCOV 1.16 with GCC 12, and coverage.py 7.17.5; only the folder is another.
    assert_eq!(covered(read_lcov(include_str!("fixtures/lcov.info"))), ["sums.c 5/10"]);
    assert_eq!(covered(read_lcov(include_str!("fixtures/coverage-py.info"))), ["sums.py 7/9"]);
    assert_eq!(covered(read_cobertura(include_str!("fixtures/coverage-py.xml"))), ["sums.py 7/9"]);
}

#[test]
fn lines_count_once_whoever_reached_them() {
    let text = "TN:one\nSF:a.c\nDA:1,0\nDA:2,-3\nDA:3,1.5\nend_of_record\n\
                # again\nSF:./a.c\nDA:1,7,c2hh\nBRDA:1,0,0,-\nend_of_record\nSF:a.c\nDA:2,1\nend_of_record\n\
                SF:sums-only.c\nLF:8\nLH:9\nend_of_record\nSF:nothing.c\nend_of_record\n";
    assert_eq!(covered(read_lcov(text)), ["a.c 1/1", "a.c 2/3", "sums-only.c 8/8"]);
    let text = r#"<!DOCTYPE coverage [<!ENTITY a "b">]><coverage><sources><source>/elsewhere</source></sources>
        <packages><package><classes>
        <class filename="a&amp;b.py"><methods><method><lines><line number="1" hits="0"/></lines></method></methods>
        <lines><line number="1" hits="2"/><line number="2" hits="0"/></lines></class>
        <class filename="a&amp;b.py"><lines><line number="3" hits="1"/></lines></class>
        <class filename="/home/runner/work/sums/sums/c.py"><lines><line number="9" hits="1"/></lines></class>
        </classes></package></packages></coverage>"#;
    assert_eq!(covered(read_cobertura(text)), ["c.py 1/1", "/elsewhere/a&b.py 2/3"]);
}

#[test]
fn broken_coverage_does_not_count_and_is_told_with_its_line() {
    for (text, said) in [
        ("SF:a\nDA:1,1\n", "line 3, column 1: the file ends in the middle"),
        ("TN:\nDA:1,1\n", "line 2, column 1: it is in no file's record"),
        ("SF:a\nDA:1\nend_of_record", "line 2, column 1: it is not `DA:LINE,HITS`"),
        ("SF:a\nDA:x,1\nend_of_record", "line 2, column 1: it is not `DA:LINE,HITS`"),
        ("SF:a\nSF:b\n", "line 2, column 1: a file begins in the record of another"),
        ("SF:a\nhello\n", "line 2, column 1: there is no `:` in it"),
        ("SF:\n", "line 1, column 1: the file has no name"),
        ("TN:\nend_of_record", "line 2, column 1: a record ends that did not begin"),
        ("SF:a\nLF:many\n", "line 2, column 1: it is no number"),
        ("hello", "it is no report: it does not begin as LCOV's tracefiles do"),
    ] {
        assert_eq!(why(read_lcov(text)), said, "{text:?}");
    }
    let far = format!("SF:a\nDA:{},1\nend_of_record", COVERED_LINE_MAX + 1);
    assert!(why(read_lcov(&far)).contains("DA:LINE,HITS"));
    for (text, said) in [
        ("<coverage><packages>", "line 1, column 21: the file ends in the middle"),
        (
            "<coverage><packages><class/></packages></coverage>",
            "line 1, column 21: a class has no `filename`",
        ),
        (
            "<coverage><packages>\n<class filename='a'><line number='1'/></class></packages></coverage>",
            "line 2, column 21: a line has no `number` or no `hits`",
        ),
        ("<coverage><project/></coverage>", "it is no report: it has no classes as Cobertura's reports do"),
        ("<report/>", "it is no report: its root element is `report`"),
    ] {
        assert_eq!(why(read_cobertura(text)), said, "{text:?}");
    }
}

/// Severity, place, rule and the message's beginning.
fn found(text: &str) -> Vec<String> {
    let line = |one: &v1::Finding| {
        let message: String = one.message.chars().take(20).collect();
        format!("{:?} {}:{} {} {message}", one.severity(), one.path, one.line, one.rule)
    };
    sarif::parse(text.as_bytes(), &named()).unwrap().0.iter().map(line).collect()
}

#[test]
fn what_tools_write_of_findings() {
    // Bandit 1.9.4 with bandit-sarif-formatter 1.1.1, as they wrote it.
    let text = include_str!("fixtures/bandit.sarif");
    assert_eq!(
        found(text),
        [
            "Low sums.py:1 B404 Consider possible se",
            "High sums.py:15 B602 subprocess call with",
            "Low test_sums.py:3 B101 Use of assert detect",
            "Low test_sums.py:4 B101 Use of assert detect",
        ]
    );
    let (findings, left_out) = sarif::parse(text.as_bytes(), &named()).unwrap();
    assert_eq!((findings[0].tool.as_str(), left_out), ("Bandit", 0));
    let prints: std::collections::BTreeSet<&str> =
        findings.iter().map(|one| one.fingerprint.as_str()).collect();
    assert_eq!(prints.len(), 4, "two of one rule in one file are two");
    // Moved by ten lines they are the same.
    let moved = text.replace("\"startLine\": 15", "\"startLine\": 25");
    let (moved, _) = sarif::parse(moved.as_bytes(), &named()).unwrap();
    assert_eq!((moved[1].line, &moved[1].fingerprint), (25, &findings[1].fingerprint));
}

#[test]
fn how_grave_a_finding_is_and_which_ones_count() {
    let text = r#"{"runs":[{"tool":{"driver":{"name":"t","rules":[
        {"id":"score","properties":{"security-severity":"9.8"}},
        {"id":"level","defaultConfiguration":{"level":"error"}}]},
        "extensions":[{"name":"x","rules":[{"id":"ext","properties":{"security-severity":4}}]}]},
      "results":[
        {"ruleIndex":0,"level":"note","message":{"text":"a"}},
        {"rule":{"id":"level"},"message":{"text":"b"}},
        {"ruleId":"level/sub","message":{"markdown":"c"}},
        {"ruleId":"ext","message":{"text":"d"}},
        {"ruleId":"none","message":{"text":"e"},"properties":{"security-severity":"0.5"}},
        {"ruleId":"other","message":{},"locations":[{"physicalLocation":{
            "artifactLocation":{"uri":"file:///home/runner/work/sums/sums/a%20b.c"},"region":{"startLine":7}}}]},
        {"ruleId":"p","kind":"pass","message":{"text":"no"}},
        {"ruleId":"s","suppressions":[{"kind":"inSource"}],"message":{"text":"no"}},
        {"ruleId":"r","suppressions":[{"status":"rejected"}],"message":{"text":"f"}},
        {"ruleId":"g","baselineState":"absent","message":{"text":"no"}}
      ]},{"tool":{"driver":{"name":"u"}},"results":null}]}"#;
    assert_eq!(
        found(text),
        [
            "Critical :0 score a",
            "High :0 level b",
            "High :0 level/sub c",
            "Medium :0 ext d",
            "Low :0 none e",
            "Medium a b.c:7 other other",
            "Medium :0 r f",
        ]
    );
}

#[test]
fn findings_that_break_off_do_not_count() {
    let said = why(sarif::parse(b"{\"runs\":[\n{\"results\":[{\"ruleId\":\"a\"", &named()));
    assert!(said.starts_with("line 2, column "), "{said}");
    assert_eq!(why(sarif::parse(b"{\"version\":\"2.1.0\"}", &named())), "it is no report: it has no `runs`");
    let deep = format!("{{\"runs\":{}", "[".repeat(100_000));
    assert!(sarif::parse(deep.as_bytes(), &named()).is_err());
    let marked = "\u{feff}{\"runs\":[]}";
    assert_eq!(sarif::parse(marked.as_bytes(), &named()), Ok((Vec::new(), 0)));
}

fn consists(text: &str) -> Vec<String> {
    let line =
        |one: v1::Component| format!("{}|{}|{}|{}", one.name, one.version, one.purl, one.licences.join(","));
    sbom::parse(text.as_bytes(), &named()).unwrap().0.into_iter().map(line).collect()
}

#[test]
fn what_tools_write_of_components() {
    // cyclonedx-py of cyclonedx-bom 7.5.0, without most of its components, and npm 11.19.1's `npm sbom`.
    assert_eq!(
        consists(include_str!("fixtures/cyclonedx-py.cdx.json")),
        [
            "Jinja2|3.1.6|pkg:pypi/jinja2@3.1.6|License :: OSI Approved :: BSD License",
            "MarkupSafe|3.0.4|pkg:pypi/markupsafe@3.0.4|BSD-3-Clause",
            "bandit|1.9.4|pkg:pypi/bandit@1.9.4|Apache-2.0",
            "coverage|7.17.5|pkg:pypi/coverage@7.17.5|Apache-2.0",
        ]
    );
    assert_eq!(
        consists(include_str!("fixtures/npm.spdx.json")),
        ["sums|1.2.3|pkg:npm/sums@1.2.3|MIT", "ms|2.1.3|pkg:npm/ms@2.1.3|MIT"]
    );
    let nested = r#"{"bomFormat":"CycloneDX","components":[{"group":"org.a","name":"b","components":[
        {"name":"c","licenses":[{"expression":"MIT OR GPL-2.0-only"},{"license":{"name":"Own"}}]}]}]}"#;
    assert_eq!(consists(nested), ["org.a/b|||", "c|||MIT OR GPL-2.0-only,Own"]);
    let spdx = r#"{"spdxVersion":"SPDX-2.2","packages":[{"name":"a","licenseConcluded":"NOASSERTION",
        "licenseDeclared":"NONE"}]}"#;
    assert_eq!(consists(spdx), ["a|||"]);
    assert!(why(sbom::parse(b"{\"name\":\"package.json\"}", &named())).contains("neither CycloneDX's"));
    assert!(
        why(sbom::parse(b"{\"bomFormat\":\"CycloneDX\",\"components\":[{", &named())).starts_with("line 1")
    );
}

#[test]
fn no_more_is_kept_than_there_is_room_for_and_coverage_still_adds_up() {
    let mut rooms = others::Rooms::default();
    let mut all = Others::default();
    let text: String =
        (0..COVERED_FILES_MAX + 5).map(|n| format!("SF:f{n}\nDA:1,1\nDA:2,0\nend_of_record\n")).collect();
    let kind = others::Kind::of(text.as_bytes()).unwrap();
    all.take(kind, "lcov.info".to_owned(), text.as_bytes(), &named(), &mut rooms).unwrap();
    assert_eq!((all.coverage[0].files.len(), all.coverage[0].more), (COVERED_FILES_MAX, (5, 10, 5)));
    let message = "ß".repeat(FINDING_MESSAGE_MAX_BYTES);
    let result = format!("{{\"ruleId\":\"r\",\"message\":{{\"text\":\"x{message}\"}}}}");
    let short = "{\"ruleId\":\"r\",\"message\":{\"text\":\"y\"}}";
    let text = format!(
        "{{\"runs\":[{{\"tool\":{{\"driver\":{{\"name\":\"t\"}}}},\"results\":[{result}{}]}}]}}",
        format!(",{short}").repeat(FINDINGS_MAX + 3)
    );
    let kind = others::Kind::of(text.as_bytes()).unwrap();
    let left = all.take(kind, "a.sarif".to_owned(), text.as_bytes(), &named(), &mut rooms).unwrap();
    assert_eq!((all.findings[0].findings.len(), left), (FINDINGS_MAX, 4));
    assert_eq!(all.findings[0].findings[0].message.len(), FINDING_MESSAGE_MAX_BYTES - 1);
    let records = records::others(all);
    assert!(records.len() > 4, "in pieces");
    let told: u64 = records.iter().filter_map(|one| Some(one.coverage.as_ref()?.more_files)).sum();
    assert_eq!(told, 5, "once");
    assert!(records.iter().all(|one| prost::Message::encoded_len(one) < 256 * 1024));
}

#[test]
fn secrets_are_masked_before_texts_are_cut_and_fingerprinted() {
    let masks = crate::steps::mask::Masks::new(["correct horse battery"]);
    let clean = |text: &str, max: usize| cut(masks.mask_str(text), max);
    let named = Named { clean: &clean, workspace: WORKSPACE };
    let text = r#"{"runs":[{"results":[{"ruleId":"r","message":{"text":"key correct horse battery"},
        "partialFingerprints":{"a":"correct horse battery"}}]}]}"#;
    let (findings, _) = sarif::parse(text.as_bytes(), &named).unwrap();
    assert_eq!(findings[0].message, "key ***");
    assert_eq!(findings[0].severity(), Severity::Medium);
    let files =
        lcov::parse(b"SF:/correct horse battery/a.c\nDA:1,1\nend_of_record", &|path| named.path(path));
    assert_eq!(files.unwrap()[0].path, "/***/a.c");
}
