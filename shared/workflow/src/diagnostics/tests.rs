//! Tests of places and renderings.

use super::{
    Diagnostic, MAX_DIAGNOSTICS, Position, Reporter, Severity, locate, render_github, render_sarif,
    render_text,
};

fn sample() -> Diagnostic {
    Diagnostic {
        file: "a,b.yml".to_owned(),
        line: 2,
        column: 3,
        severity: Severity::Error,
        code: "unknown-key".into(),
        message: "unknown key `x`".to_owned(),
        hint: Some("100% sure\nreally".to_owned()),
    }
}

#[test]
fn text_shows_the_line_and_a_caret() {
    let text = render_text(&sample(), "on: push\n\t x: 1\n");
    assert_eq!(
        text,
        "error[unknown-key]: unknown key `x`\n --> a,b.yml:2:3\n  |\n2 | \t x: 1\n  | \t ^\n  = help: 100% sure\nreally\n"
    );
}

#[test]
fn github_annotations_are_escaped() {
    assert_eq!(
        render_github(&sample()),
        "::error file=a%2Cb.yml,line=2,col=3,title=unknown-key::unknown key `x`; 100%25 sure%0Areally"
    );
}

#[test]
fn sarif_names_rule_and_region() {
    let log = render_sarif(&[sample(), sample()]);
    assert_eq!(log.pointer("/version").unwrap(), "2.1.0");
    assert_eq!(log.pointer("/runs/0/results").unwrap().as_array().unwrap().len(), 2);
    assert_eq!(log.pointer("/runs/0/tool/driver/rules").unwrap().as_array().unwrap().len(), 1);
    assert_eq!(log.pointer("/runs/0/results/0/locations/0/physicalLocation/region/startLine").unwrap(), 2);
}

#[test]
fn json_has_the_contracts_fields() {
    let json = serde_json::to_value(sample()).unwrap();
    let keys: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["file", "line", "column", "severity", "code", "message", "hint"]);
    assert_eq!(json["severity"], "error");
}

#[test]
fn a_file_has_a_limit_of_findings() {
    let mut reporter = Reporter::new("f", "");
    for line in (1..=200).rev() {
        reporter.error(Position { line, column: 1 }, "c", "m");
    }
    let found = reporter.finish();
    assert_eq!(found.len(), MAX_DIAGNOSTICS);
    assert!(found.is_sorted_by_key(|finding| finding.line));
}

#[test]
fn offsets_are_found_in_any_style_of_scalar() {
    let at = |source: &str, line: u32, column: u32, text: &str, needle: &str| {
        let place = locate(source, Position { line, column }, text, text.find(needle).unwrap());
        (place.line, place.column)
    };
    assert_eq!(at("a: x ${{ b }}", 1, 4, "x ${{ b }}", "b }}"), (1, 10));
    assert_eq!(at("a: 'x ${{ b }}'", 1, 4, "x ${{ b }}", "b }}"), (1, 11));
    assert_eq!(at("a: |\n  one\n\n  é ${{ b }}\n", 2, 3, "one\n\né ${{ b }}\n", "b }}"), (4, 9));
    assert_eq!(at("a: >\n  one\n  two ${{ b }}\n", 2, 3, "one two ${{ b }}\n", "b }}"), (3, 11));
    // The second of two equal pieces.
    assert_eq!(at("a: ${{ b }}\n   ${{ b }}", 1, 4, "${{ b }} ${{ b }}", "b }} "), (1, 8));
    // Nothing to be found: the scalar's start.
    let place = locate("a: \"\\x41\"", Position { line: 1, column: 4 }, "A", 0);
    assert_eq!((place.line, place.column), (1, 4));
    // Past the end.
    let place = locate("a: foo(", Position { line: 1, column: 4 }, "foo(", 4);
    assert_eq!((place.line, place.column), (1, 8));
}
