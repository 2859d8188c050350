#![allow(clippy::unwrap_used)]

use super::calls;
use super::key::Key;

#[test]
fn calls_are_found_where_jobs_have_them() {
    let text = "on: push\njobs:\n  a:\n    uses: ./.github/workflows/x.yml\n  b:\n    steps:\n      - uses: actions/checkout@v4\n  c: {uses: o/r/.github/workflows/y.yml@v1}\n";
    let found: Vec<(String, u32)> = calls::of(text).into_iter().map(|call| (call.uses, call.line)).collect();
    let expected =
        [("./.github/workflows/x.yml".to_owned(), 4), ("o/r/.github/workflows/y.yml@v1".to_owned(), 8)];
    assert_eq!(found, expected);
    assert!(
        calls::of("jobs: [uses]").is_empty() && calls::of("{").is_empty() && calls::of("uses: x").is_empty()
    );
}

#[test]
fn names_are_read_from_where_they_stand() {
    let main = Key::Local { path: ".github/workflows/ci.yml".into() };
    let called = |from: &Key, uses: &str| from.called(uses).map(|key| key.to_string());
    let remote = main.called("o/r/.github/workflows/y.yml@v1").unwrap();
    assert_eq!(called(&main, "./.github/workflows/x.yaml").unwrap(), ".github/workflows/x.yaml");
    assert_eq!(called(&remote, "./.github/workflows/z.yml").unwrap(), "o/r/.github/workflows/z.yml@v1");
    assert_eq!(
        called(&remote, "p/q/.github/workflows/z.yml@main").unwrap(),
        "p/q/.github/workflows/z.yml@main"
    );
    for uses in [
        "./.github/workflows/../x.yml",
        "./x.yml",
        "../o/r/.github/workflows/y.yml@v1",
        "o/../.github/workflows/y.yml@v1",
        "o/r/.github/workflows/y.yml",
        "o/r/.github/workflows/deep/y.yml@v1",
        "o/r/.github/workflows/y.yml@a..b",
        "-o/r/.github/workflows/y.yml@v1",
        "o/r/.github/workflows/y.yml@--upload-pack=x",
        "./.github/workflows/${{ inputs.x }}",
        "docker://x",
    ] {
        assert_eq!(main.called(uses), None, "{uses}");
    }
}
