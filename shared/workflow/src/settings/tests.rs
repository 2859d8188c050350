use super::*;

fn wrong(text: &str) -> String {
    parse(FILE, text).unwrap_err().first().map(ToString::to_string).unwrap_or_default()
}

#[test]
fn a_whole_file_is_read() {
    let text = "reports:\n  - out/*.info\n  - '!out/old.info'\ngates:\n  coverage: { min: 80.5, max_drop: 0 }\n  \
                findings: { fail_on: high, new_only: true }\n  licences:\n    forbid: [GPL-3.0*, SSPL-1.0]\n";
    let settings = parse(FILE, text).unwrap();
    assert_eq!(settings.patterns.unwrap(), ["out/*.info", "!out/old.info"]);
    let Gates { coverage, findings, licences } = settings.gates;
    assert_eq!(coverage, Some(CoverageGate { min: Some(8_050), max_drop: Some(0) }));
    assert_eq!(findings, Some(FindingsGate { fail_on: Severity::High, new_only: true }));
    assert_eq!(licences.unwrap().forbid, ["GPL-3.0*", "SSPL-1.0"]);
}

#[test]
fn rules_of_commits_are_read() {
    let rules = |text: &str| parse(FILE, text).unwrap().commits.unwrap();
    let all = rules("commits:\n  message: '^(feat|fix)(\\([a-z]+\\))?: .+'\n  signed: true\n  block: true\n");
    let message = all.message.unwrap();
    assert!(message.is_match("fix(agent): end it") && !message.is_match("fixes: a thing"));
    assert!(all.signed && all.block);
    let one = rules("commits: { signed: true }");
    assert_eq!(one, CommitRules { message: None, signed: true, block: false });
}

#[test]
fn nothing_means_nothing() {
    for text in ["", "# nothing\n", "---\n"] {
        assert_eq!(parse(FILE, text), Ok(Settings::default()), "{text:?}");
    }
    assert_eq!(parse(FILE, "reports: []").unwrap().patterns, Some(Vec::new()), "none are read");
}

#[test]
fn what_is_wrong_is_told_with_its_place_and_field() {
    for (text, said) in [
        ("gate: {}", ".slipway.yml:1:1: unknown key `gate` in the file; known keys: reports, gates, commits"),
        ("- a", ".slipway.yml:1:1: `the file` must be a mapping, not a list"),
        ("reports: a", ".slipway.yml:1:10: `reports` must be a list, not text"),
        ("reports: [1]", ".slipway.yml:1:11: `an entry of reports` must be text of one line, not a number"),
        (
            "gates:\n  coverage: { min: 101 }",
            ".slipway.yml:2:20: `gates.coverage.min` must be a percentage, a number from 0 to 100",
        ),
        (
            "gates:\n  coverage: { max_drop: a lot }",
            ".slipway.yml:2:25: `gates.coverage.max_drop` must be a percentage, a number from 0 to 100",
        ),
        (
            "gates:\n  coverage: {}",
            ".slipway.yml:2:3: `gates.coverage` says nothing: it needs one of min, max_drop",
        ),
        (
            "gates:\n  findings: { fail_on: bad }",
            ".slipway.yml:2:24: `gates.findings.fail_on` must be one of low, medium, high, critical",
        ),
        (
            "gates:\n  findings: { new_only: true }",
            ".slipway.yml:2:3: `gates.findings` says nothing: it needs one of fail_on",
        ),
        (
            "gates:\n  findings: { fail_on: low, new_only: 1 }",
            ".slipway.yml:2:39: `gates.findings.new_only` must be a boolean, not a number",
        ),
        (
            "gates:\n  licences: { forbid: GPL-3.0 }",
            ".slipway.yml:2:23: `gates.licences.forbid` must be a list, not text",
        ),
        ("commits: {}", ".slipway.yml:1:1: `commits` says nothing: it needs one of message, signed: true"),
        (
            "commits: { block: true, signed: false }",
            ".slipway.yml:1:1: `commits` says nothing: it needs one of message, signed: true",
        ),
        (
            "commits: { message: '(' }",
            ".slipway.yml:1:21: `commits.message` is no regular expression: unclosed group",
        ),
        (
            "commits: { message: '((a{99}){99}){99}' }",
            ".slipway.yml:1:21: `commits.message` is no regular expression: it is too large when compiled",
        ),
        ("commits: { message: 1 }", ".slipway.yml:1:21: `commits.message` must be text, not a number"),
        ("commits: { signed: yes }", ".slipway.yml:1:20: `commits.signed` must be a boolean, not text"),
        ("commits: [a]", ".slipway.yml:1:10: `commits` must be a mapping, not a list"),
    ] {
        assert_eq!(wrong(text), said, "{text}");
    }
    assert!(wrong("gates: [").starts_with(".slipway.yml:1:"));
    let many = format!("reports: [{}]", vec!["a"; MAX_PATTERNS + 1].join(", "));
    assert_eq!(wrong(&many), ".slipway.yml:1:10: `reports` has more than 100 entries");
    assert!(wrong(&"#".repeat(MAX_FILE_BYTES + 1)).contains("longer than"));
}
