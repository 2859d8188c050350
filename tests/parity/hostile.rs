//! Input that means harm: one clear error, and bounded memory and work, which the limits of the test runner watch over.

use std::process::Command;

use serde_json::json;
use slipway_workflow::diagnostics::{Diagnostic, Severity};
use slipway_workflow::expression::{MAX_EXPRESSION_LENGTH, eval_json};
use slipway_workflow::syntax;
use slipway_workflow::yaml::MAX_FILE_BYTES;

/// The one error of a file.
fn one_error(content: &str) -> String {
    let found =
        syntax::parse("f.yml", content).map(|workflow| workflow.warnings).unwrap_or_else(|found| found);
    let errors: Vec<&Diagnostic> =
        found.iter().filter(|finding| finding.severity == Severity::Error).collect();
    match errors.as_slice() {
        [error] => error.to_string(),
        _ => panic!("{} errors: {:?}", errors.len(), errors.iter().take(3).collect::<Vec<_>>()),
    }
}

fn workflow(step: &str) -> String {
    format!(
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - run: echo\n        env:\n          A: {step}\n"
    )
}

#[test]
fn a_file_that_is_too_long() {
    let comment = "#".repeat(MAX_FILE_BYTES);
    assert!(one_error(&format!("{}{comment}", workflow("x"))).contains("larger than 1048576 bytes"));
}

#[test]
fn files_of_just_a_mebibyte_are_read() {
    let start = workflow("x");
    let shapes: [(&str, &str); 6] = [
        ("#", "#"),
        ("          B: \"", "x"),
        ("          B: |\n            ", "x"),
        ("          B: ", "x "),
        ("", "\n"),
        ("          B: '", "''"),
    ];
    for (open, filling) in shapes {
        let room = MAX_FILE_BYTES - start.len() - open.len() - 2;
        let close = match open.trim_end().chars().last() {
            Some(quote @ ('"' | '\'')) => quote.to_string(),
            _ => String::new(),
        };
        let content = format!("{start}{open}{}{close}\n", filling.repeat(room / filling.len()));
        let parsed = syntax::parse("f.yml", &content);
        assert!(parsed.is_ok(), "{open:?}: {:?}", parsed.err().map(|found| found[0].to_string()));
    }
}

#[test]
fn nesting_in_every_way() {
    let deep = [
        "[".repeat(500_000),
        "{a: ".repeat(200_000),
        "[{a: ".repeat(100_000),
        "- ".repeat(500_000),
        "!!seq [".repeat(100_000),
        "&a [".repeat(100_000),
        (0..700).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect(),
    ];
    for content in deep {
        let error = one_error(&content);
        assert!(error.contains("deeper than 50 levels"), "{error}");
    }
}

#[test]
fn aliases_of_aliases() {
    let mut lists = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    let mut mappings = "a0: &a0 {x: y}\n".to_owned();
    for level in 1..30 {
        let below = format!("*a{}", level - 1);
        lists.push_str(&format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", ")));
        let entries: Vec<String> = (0..10).map(|key| format!("k{key}: {below}")).collect();
        mappings.push_str(&format!("a{level}: &a{level} {{{}}}\n", entries.join(", ")));
    }
    for content in [lists, mappings] {
        let error = one_error(&content);
        assert!(error.contains("once its aliases are followed"), "{error}");
    }
    let text = format!("a: &a {}\nb: [{}]\n", "x".repeat(100_000), ["*a"; 10_000].join(", "));
    assert!(one_error(&text).contains("once its aliases are followed"));
}

#[test]
fn a_matrix_of_ten_thousand() {
    let values: Vec<String> = (0..100).map(|value| value.to_string()).collect();
    let values = values.join(", ");
    let content = format!(
        "on: push\njobs:\n  a:\n    runs-on: x\n    strategy:\n      matrix:\n        a: [{values}]\n        b: [{values}]\n    steps:\n      - run: x\n"
    );
    let error = one_error(&content);
    assert!(error.contains("256"), "{error}");
}

#[test]
fn ten_thousand_jobs() {
    let jobs: String =
        (0..10_000).map(|at| format!("  j{at}: {{runs-on: x, steps: [{{run: x}}]}}\n")).collect();
    match syntax::parse("f.yml", &format!("on: push\njobs:\n{jobs}")) {
        Ok(workflow) => assert_eq!(workflow.jobs.len(), 10_000),
        Err(found) => assert_eq!(found.len(), 1, "{:?}", found.first()),
    }
}

/// A file of a mebibyte of steps without ids, each of which needs one of its own.
#[test]
fn sixty_thousand_steps() {
    let steps = "      - run: x\n".repeat(60_000);
    let workflow =
        syntax::parse("f.yml", &format!("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n{steps}"))
            .unwrap();
    let steps = &workflow.jobs[0].steps;
    assert_eq!((steps.len(), steps[59_999].id.as_str()), (60_000, "__run_60000"));
    let parallel = |count: usize| {
        let steps = "          - run: x\n".repeat(count);
        format!("on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n      - parallel:\n{steps}")
    };
    let most = syntax::BACKGROUND_STEPS_MAX;
    assert_eq!(syntax::parse("f.yml", &parallel(most)).unwrap().jobs[0].steps.len(), most + 1);
    assert!(one_error(&parallel(50_000)).contains("at most 1000 steps of the background"));
}

#[test]
fn expressions_at_their_limit() {
    let text = |length: usize| format!("'{}'", "x".repeat(length - 2));
    assert!(eval_json(&text(MAX_EXPRESSION_LENGTH), &json!({})).is_ok());
    let error = eval_json(&text(MAX_EXPRESSION_LENGTH + 1), &json!({})).unwrap_err();
    assert!(error.message.contains("longer than 21000 characters"), "{error}");
    let long = workflow(&format!("${{{{ {} }}}}", text(MAX_EXPRESSION_LENGTH + 1)));
    assert!(one_error(&long).contains("longer than 21000 characters"));
    for nested in [
        "(".repeat(10_000),
        "!".repeat(10_000) + "1",
        "github[".repeat(2_000),
        "format('{0}', ".repeat(1_000),
    ] {
        let error = eval_json(&nested, &json!({"github": {}})).unwrap_err();
        assert!(error.message.contains("nested deeper than 50"), "{error}");
    }
    // Each level makes ten times as much text as the one before.
    let grow = (0..20).fold("'xxxxxxxxxx'".to_owned(), |inner, _| {
        format!("format('{{0}}{{0}}{{0}}{{0}}{{0}}{{0}}{{0}}{{0}}{{0}}{{0}}', {inner})")
    });
    let error = eval_json(&grow, &json!({})).unwrap_err();
    assert!(error.message.contains("produces more than"), "{error}");
}

#[test]
fn a_message_never_quotes_a_whole_file() {
    let error = one_error(&format!(
        "on: push\njobs:\n  a:\n    \"{}\": 1\n    runs-on: x\n    steps: [{{run: x}}]\n",
        "x\\n".repeat(100_000)
    ));
    assert!(error.len() < 1_000 && !error.contains('\n'), "{} bytes", error.len());
}

/// The program itself: a file that is no text.
#[test]
fn lint_of_files_that_are_no_text() {
    let folder = tempfile::tempdir().unwrap();
    let cases: [(&str, &[u8], &str); 4] = [
        ("latin1.yml", b"name: caf\xe9\n", "is not UTF-8 (byte 9)"),
        ("utf16.yml", b"\xff\xfeo\0n\0", "is not UTF-8 (byte 0)"),
        ("nul.yml", b"on: push\n\0", "NUL character"),
        ("large.yml", &[b'#'; MAX_FILE_BYTES + 1], "longer than the limit"),
    ];
    for (name, content, message) in cases {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let output = Command::new(slipway_tests::program("slipway"))
            .arg("lint")
            .arg(&path)
            .current_dir(folder.path())
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success(), "{name}: {said}");
        assert_eq!(said.matches(message).count(), 1, "{name}: {said}");
        assert!(said.len() < 1_000, "{name}: {said}");
    }
}
