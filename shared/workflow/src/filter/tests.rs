//! Tests of patterns and triggers: the examples of GitHub's "Filter pattern cheat sheet", and traps.

use serde_json::{Value as Json, json};

use super::{Event, Patterns, triggered};
use crate::syntax::parse;

fn matches(patterns: &[&str], text: &str) -> bool {
    let mut list = Patterns::default();
    for pattern in patterns {
        list.add(pattern).unwrap();
    }
    list.matches(text)
}

#[test]
fn the_cheat_sheet() {
    for (pattern, yes, no) in [
        ("feature/*", vec!["feature/my-branch", "feature/"], vec!["feature/a/b", "xfeature/a"]),
        ("feature/**", vec!["feature/beta-a/my-branch", "feature/a"], vec!["feature"]),
        ("main", vec!["main"], vec!["Main", "main2", "a/main"]),
        ("*", vec!["main", "releases"], vec!["all/the"]),
        ("**", vec!["all/the/branches", "x", ""], vec![]),
        ("*feature", vec!["mona-feature", "feature", "ver-10-feature"], vec!["a/feature"]),
        ("v2*", vec!["v2", "v2.0", "v2.9"], vec!["v1", "v2/x"]),
        ("v[12].[0-9]+.[0-9]+", vec!["v1.10.1", "v2.0.0"], vec!["v3.0.0", "v1.0", "v1.a.0"]),
        ("*.jsx?", vec!["page.js", "page.jsx"], vec!["page.jsxx", "a/page.js"]),
        ("**.js", vec!["index.js", "js/index.js", "src/js/app.js"], vec!["a.jsx"]),
        ("docs/*", vec!["docs/README.md"], vec!["docs/a/b.md"]),
        (
            "docs/**/*.md",
            vec!["docs/README.md", "docs/mona/hello-world.md", "docs/a/markdown/file.md"],
            vec!["x.md"],
        ),
        (
            "**/docs/**",
            vec!["docs/hello.md", "dir/docs/my-file.txt", "space/docs/plan/space.doc"],
            vec!["xdocs/a"],
        ),
        ("**/README.md", vec!["README.md", "js/README.md"], vec!["xREADME.md"]),
        ("**/*src/**", vec!["a/src/app.js", "my-src/code/js/app.js"], vec!["src2/app.js"]),
        ("**/*-post.md", vec!["my-post.md", "path/their-post.md"], vec!["post.md"]),
        ("**/migrate-*.sql", vec!["migrate-10909.sql", "db/sept/migrate-v1.sql"], vec!["migrate.sql"]),
        ("a\\*b", vec!["a*b"], vec!["axb"]),
        ("[a-c]x", vec!["ax", "cx"], vec!["dx", "Ax"]),
        ("ab+c", vec!["abc", "abbbc"], vec!["ac"]),
        ("release/**-alpha", vec!["release/10-alpha", "release/a/b-alpha"], vec!["release/10"]),
    ] {
        for text in yes {
            assert!(matches(&[pattern], text), "{pattern} should match {text}");
        }
        for text in no {
            assert!(!matches(&[pattern], text), "{pattern} should not match {text}");
        }
    }
}

#[test]
fn the_last_match_wins() {
    assert!(matches(&["releases/**", "!releases/**-alpha"], "releases/10"));
    assert!(!matches(&["releases/**", "!releases/**-alpha"], "releases/10-alpha"));
    assert!(matches(&["a*", "!ab*", "abc"], "abc"));
    assert!(!matches(&["!a"], "b"));
}

#[test]
fn bad_patterns_say_why() {
    for pattern in ["", "!", "[", "[]", "[z-a]", "a\\", "?a", "+"] {
        assert!(Patterns::default().add(pattern).is_err(), "{pattern}");
    }
    assert!(Patterns::default().add(&"a".repeat(2000)).is_err());
}

#[test]
fn no_pattern_takes_exponential_time() {
    let pattern = "**a*".repeat(200);
    assert!(!matches(&[&pattern], &format!("{}b/", "a".repeat(2000))));
    assert!(!matches(&[&"a?".repeat(400)], &"a".repeat(401)));
}

fn decide(on: &str, name: &str, payload: &Json, files: Option<&[String]>) -> Result<(), String> {
    let source = format!("on:\n{on}\njobs: {{a: {{runs-on: x, steps: [{{run: a}}]}}}}\n");
    let workflow = parse("f", &source).unwrap_or_else(|found| panic!("{on}: {found:?}"));
    let decision = triggered(&workflow, &Event { name, payload, changed_files: files });
    assert_eq!(decision.triggered, decision.reason.is_empty());
    if decision.triggered { Ok(()) } else { Err(decision.reason) }
}

fn push(on: &str, git_ref: &str) -> bool {
    decide(on, "push", &json!({"ref": git_ref}), None).is_ok()
}

#[test]
fn branches_and_tags_shut_each_other_out() {
    assert!(push("  push:", "refs/tags/v1"));
    assert!(push("  push: {branches: [main]}", "refs/heads/main"));
    assert!(!push("  push: {branches: [main]}", "refs/heads/dev"));
    assert!(!push("  push: {branches: [main]}", "refs/tags/v1"));
    assert!(!push("  push: {branches-ignore: [main]}", "refs/tags/v1"));
    assert!(push("  push: {tags: ['v*']}", "refs/tags/v1"));
    assert!(!push("  push: {tags: ['v*']}", "refs/heads/main"));
    assert!(!push("  push: {tags-ignore: ['v*']}", "refs/heads/main"));
    assert!(push("  push: {branches: [main], tags: ['v*']}", "refs/tags/v2"));
    assert!(!push("  push: {branches-ignore: [main]}", "refs/heads/main"));
}

#[test]
fn paths_count_for_branches_only() {
    let on = "  push: {paths: ['src/**']}";
    let payload = |git_ref: &str, file: &str| json!({"ref": git_ref, "commits": [{"added": [], "modified": [file], "removed": []}]});
    assert!(decide(on, "push", &payload("refs/heads/m", "src/a.rs"), None).is_ok());
    assert!(decide(on, "push", &payload("refs/heads/m", "doc/a.md"), None).is_err());
    assert!(decide(on, "push", &payload("refs/tags/v1", "doc/a.md"), None).is_ok());
    // Nobody knows what changed: it runs.
    assert!(decide(on, "push", &json!({"ref": "refs/heads/m"}), None).is_ok());
    let files = ["doc/a.md".to_owned()];
    assert!(decide(on, "push", &payload("refs/heads/m", "src/a.rs"), Some(&files)).is_err());
    let ignore = "  push: {paths-ignore: ['doc/**']}";
    assert!(decide(ignore, "push", &json!({"ref": "refs/heads/m"}), Some(&files)).is_err());
    let mixed = ["doc/a.md".to_owned(), "src/a.rs".to_owned()];
    assert!(decide(ignore, "push", &json!({"ref": "refs/heads/m"}), Some(&mixed)).is_ok());
    // Branch and path must both pass.
    let both = "  push: {branches: [main], paths: ['src/**']}";
    assert!(decide(both, "push", &payload("refs/heads/dev", "src/a.rs"), None).is_err());
}

#[test]
fn pull_requests_match_the_base_and_the_default_types() {
    let payload =
        |action: &str, base: &str| json!({"action": action, "pull_request": {"base": {"ref": base}}});
    let on = "  pull_request: {branches: [main]}";
    assert!(decide(on, "pull_request", &payload("opened", "main"), None).is_ok());
    assert!(decide(on, "pull_request", &payload("opened", "dev"), None).is_err());
    assert!(decide(on, "pull_request", &payload("labeled", "main"), None).unwrap_err().contains("labeled"));
    let typed = "  pull_request: {types: [labeled]}";
    assert!(decide(typed, "pull_request", &payload("labeled", "x"), None).is_ok());
    assert!(decide(typed, "pull_request", &payload("opened", "x"), None).is_err());
}

#[test]
fn other_events() {
    assert!(decide("  issues: {types: [opened]}", "issues", &json!({"action": "closed"}), None).is_err());
    assert!(decide("  issues:", "issues", &json!({"action": "closed"}), None).is_ok());
    // Types that webhooks have and workflows do not.
    for (event, action) in
        [("merge_group", "destroyed"), ("check_suite", "requested"), ("discussion", "closed")]
    {
        let on = format!("  {event}:");
        assert!(
            decide(&on, event, &json!({"action": action}), None).unwrap_err().contains(action),
            "{event}"
        );
    }
    assert!(decide("  merge_group:", "merge_group", &json!({"action": "checks_requested"}), None).is_ok());
    assert!(
        decide("  repository_dispatch:", "repository_dispatch", &json!({"action": "mine"}), None).is_ok()
    );
    assert!(decide("  push:", "issues", &json!({}), None).unwrap_err().contains("`on` names push"));
    let run =
        json!({"action": "completed", "workflow": {"name": "CI"}, "workflow_run": {"head_branch": "main"}});
    assert!(
        decide("  workflow_run: {workflows: [CI], types: [completed]}", "workflow_run", &run, None).is_ok()
    );
    assert!(decide("  workflow_run: {workflows: [Other]}", "workflow_run", &run, None).is_err());
    assert!(
        decide("  workflow_run: {workflows: [CI], branches: [dev]}", "workflow_run", &run, None).is_err()
    );
}

#[test]
fn commit_messages_can_skip_a_push() {
    let payload = |message: &str| json!({"ref": "refs/heads/main", "head_commit": {"message": message}});
    for message in [
        "x [skip ci]",
        "[ci skip] x",
        "[no ci]",
        "a\n[skip actions]",
        "[actions skip]",
        "t\n\nb\n\nskip-checks: true",
    ] {
        assert!(decide("  push:", "push", &payload(message), None).is_err(), "{message}");
    }
    for message in ["x", "skip ci", "skip-checks: true", "t\n\nskip-checks: false"] {
        assert!(decide("  push:", "push", &payload(message), None).is_ok(), "{message}");
    }
}
