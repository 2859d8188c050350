#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use slipway_proto::v1;
use slipway_scheduler::RunId;
use slipway_wire::limits::{MAX_COVERED_FILES, MAX_FINDINGS, MAX_REPORT_NAME_BYTES};
use slipway_workflow::settings::{Gates, parse};

use super::*;

fn gates(text: &str) -> Gates {
    parse(".slipway.yml", text).unwrap().gates
}

fn covered(lines: u64, covered: u64) -> v1::Summary {
    let files = vec![v1::FileCoverage { path: "a".to_owned(), lines, covered }];
    v1::Summary { coverage: Some(v1::CoverageReport { files, ..Default::default() }), ..Default::default() }
}

fn found(findings: &[(&str, i32)]) -> v1::Summary {
    let one = |(print, severity): &(&str, i32)| v1::Finding {
        rule: "R".to_owned(),
        message: "m".to_owned(),
        severity: *severity,
        fingerprint: (*print).to_owned(),
        ..v1::Finding::default()
    };
    let findings = findings.iter().map(one).collect();
    v1::Summary {
        findings: Some(v1::FindingsReport { findings, ..Default::default() }),
        ..Default::default()
    }
}

fn licensed(licences: &[&str]) -> v1::Summary {
    let one = |licence: &&str| v1::Component {
        name: (*licence).to_owned(),
        licences: vec![(*licence).to_owned()],
        ..v1::Component::default()
    };
    let components = licences.iter().map(one).collect();
    let components = Some(v1::ComponentsReport { components, ..Default::default() });
    v1::Summary { components, ..Default::default() }
}

fn reports(summaries: Vec<v1::Summary>) -> Reports {
    let mut gathered = Gathered::default();
    summaries.into_iter().for_each(|summary| gathered.take(summary));
    gathered.finish()
}

fn compared(now: Vec<v1::Summary>, base: Option<Vec<v1::Summary>>) -> Compared {
    let base = base.map(|base| (RunId::from_u128(1), reports(base)));
    Compared { reports: reports(now), base, removed: false }
}

/// Gate, whether it passed, title.
fn judged(text: &str, compared: &Compared) -> Vec<String> {
    let line = |one: Judged| format!("{} {} {}", one.gate, one.passed, one.title);
    judge(&gates(text), compared).into_iter().map(line).collect()
}

#[test]
fn coverage_is_held_against_a_floor_and_the_base() {
    let floor = "gates: { coverage: { min: 80 } }";
    let drop = "gates: { coverage: { max_drop: 0.5 } }";
    let now = |covered_lines| compared(vec![covered(1_000, covered_lines)], Some(vec![covered(100, 85)]));
    assert_eq!(judged(floor, &now(800)), ["coverage true Coverage is 80.00 %; the base has 85.00 %"]);
    assert_eq!(judged(floor, &now(799)), ["coverage false Coverage: 79.90 % is less than 80.00 %"]);
    assert_eq!(judged(drop, &now(845)), ["coverage true Coverage is 84.50 %; the base has 85.00 %"]);
    assert_eq!(
        judged(drop, &now(844)),
        ["coverage false Coverage: 84.40 % is 0.60 % less than the base's 85.00 %"]
    );
    let alone = compared(vec![covered(10, 1)], None);
    assert_eq!(judged(drop, &alone), ["coverage true Coverage is 10.00 %"], "there is nothing to drop from");
    // Rounded down: a line that nothing reached is never 100 %.
    let nearly = compared(vec![covered(1_000_000, 999_999)], None);
    assert_eq!(judged("gates: { coverage: { min: 100 } }", &nearly).len(), 1);
    assert!(
        judged("gates: { coverage: { min: 100 } }", &nearly)[0].contains("99.99 % is less than 100.00 %")
    );
}

#[test]
fn a_missing_report_fails_only_where_the_base_has_one() {
    let all = "gates:\n  coverage: { min: 1 }\n  findings: { fail_on: low }\n  licences: { forbid: [X] }\n";
    assert_eq!(judged(all, &Compared::default()), Vec::<String>::new(), "another workflow's affair");
    let base = vec![covered(2, 1), found(&[]), licensed(&[])];
    assert_eq!(
        judged(all, &compared(Vec::new(), Some(base))),
        [
            "coverage false No job wrote a report of coverage; the base branch has one",
            "findings false No job wrote a report of findings; the base branch has one",
            "licences false No job wrote a report of components; the base branch has one",
        ]
    );
}

#[test]
fn findings_fail_by_severity_and_newness() {
    let any = "gates: { findings: { fail_on: high } }";
    let new = "gates: { findings: { fail_on: high, new_only: true } }";
    let both = compared(vec![found(&[("a", 3), ("b", 4), ("c", 1)])], Some(vec![found(&[("a", 3)])]));
    assert_eq!(judged(any, &both), ["findings false 2 findings that are high or worse"]);
    assert_eq!(judged(new, &both), ["findings false 1 new finding that is high or worse"]);
    let critical = "gates: { findings: { fail_on: critical, new_only: true } }";
    let old = compared(vec![found(&[("a", 4), ("c", 3)])], Some(vec![found(&[("a", 4)])]));
    assert_eq!(judged(critical, &old), ["findings true No new findings that are critical"]);
    let unknown = compared(vec![found(&[("a", 4)])], None);
    assert_eq!(judged(new, &unknown), ["findings true No new findings that are high or worse"]);
    let order: Vec<_> =
        both.findings().unwrap().iter().map(|(one, new)| (one.fingerprint.clone(), *new)).collect();
    assert_eq!(order, [("b".to_owned(), true), ("c".to_owned(), true), ("a".to_owned(), false)]);
}

#[test]
fn licences_are_read_as_expressions() {
    let gate = "gates: { licences: { forbid: ['GPL-3.0*', 'SSPL-1.0', 'Own Licence'] } }";
    for (licence, passes) in [
        ("MIT", true),
        ("gpl-3.0-only", false),
        ("GPL-3.0-or-later WITH GCC-exception-3.1", false),
        ("MIT OR GPL-3.0-only", true),
        ("MIT AND GPL-3.0-only", false),
        ("(MIT OR SSPL-1.0) AND Apache-2.0", true),
        ("(GPL-3.0-only OR SSPL-1.0) AND Apache-2.0", false),
        ("MIT OR (GPL-3.0-only AND Apache-2.0)", true),
        ("Own Licence", false),
        ("LGPL-3.0-only", true),
        (")) OR (", true),
        ("", true),
    ] {
        let said = judge(&gates(gate), &compared(vec![licensed(&[licence])], None));
        assert_eq!(said[0].passed, passes, "{licence}");
    }
    let deep = format!("{}GPL-3.0-only", "(".repeat(10_000));
    assert!(judge(&gates(gate), &compared(vec![licensed(&[deep.as_str()])], None))[0].passed, "no name");
    let many: Vec<String> = (0..30).map(|n| format!("GPL-3.0-{n}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let said = judge(&gates(gate), &compared(vec![licensed(&many)], None));
    assert_eq!(said[0].title, "30 components have a forbidden licence");
    assert_eq!((said[0].lines.len(), said[0].lines[20].as_str()), (21, "and 10 more"));
}

#[test]
fn what_an_agent_says_beyond_the_limits_is_bounded_and_makes_no_gate_pass() {
    let files = (0..MAX_COVERED_FILES + 1).map(|n| v1::FileCoverage {
        path: format!("{n}\0{}", "ä".repeat(MAX_REPORT_NAME_BYTES)),
        lines: 2,
        covered: u64::MAX,
    });
    let coverage = v1::CoverageReport { files: files.collect(), more_lines: u64::MAX, ..Default::default() };
    let said = reports(vec![v1::Summary { coverage: Some(coverage), ..Default::default() }]);
    let coverage = said.coverage.unwrap();
    assert!(coverage.files.keys().all(|path| path.len() <= MAX_REPORT_NAME_BYTES && !path.contains('\0')));
    let (lines, reached) = coverage.totals();
    assert!(coverage.files.len() <= MAX_COVERED_FILES && reached < lines, "{reached} of {lines}");
    let many: Vec<String> = (0..=MAX_FINDINGS).map(|n| n.to_string()).collect();
    let many: Vec<(&str, i32)> = many.iter().map(|print| (print.as_str(), 1)).collect();
    let now = compared(vec![found(&many)], None);
    assert_eq!(
        (now.reports.findings.as_ref().unwrap().len(), now.reports.findings_left_out),
        (MAX_FINDINGS, 1)
    );
    let said = judged("gates: { findings: { fail_on: high } }", &now);
    assert_eq!(said, ["findings false Beyond the limits, and so not looked at: 1"]);
    // The same in two jobs counts once, and of coverage the better one does.
    let mut both = Gathered::default();
    both.merge(reports(vec![covered(10, 4), found(&[("a", 77)])]));
    both.merge(reports(vec![covered(10, 6), found(&[("a", 2)])]));
    let both = both.finish();
    assert_eq!((both.coverage.unwrap().totals(), both.findings.unwrap().len()), ((10, 6), 1));
}
