//! Bodies of webhooks. Whatever is in one, nothing panics, git is asked of nothing but refs, commits and http addresses, filters decide, and
//! a signature is good for its own bytes alone.

use std::sync::LazyLock;

use slipway_coordinator::github::outside::{events, is_signed, sign, webhook};
use slipway_workflow::filter::{self, Event};
use slipway_workflow::syntax::{self, Workflow};

const SECRET: &str = "a secret of the fuzzer";

/// Every filter there is.
const WORKFLOW: &str = "
on:
  push: {branches: ['main', 'r*', '!old/**'], tags: ['v[0-9]+'], paths: ['src/**', '!docs/**']}
  pull_request: {types: [opened, synchronize], branches-ignore: [topic], paths: ['**.rs']}
  pull_request_target: {branches: [main]}
  workflow_run: {workflows: [ci, 'a*'], types: [completed], branches: [main]}
  repository_dispatch: {types: [go]}
  release: {types: [published]}
  check_run: {types: [rerequested]}
  merge_group:
jobs:
  a: {runs-on: x, steps: [{run: y}]}
";

pub(super) const CORPUS: &[&[u8]] = &[
    br#"{"ref":"refs/heads/main","before":"0000000000000000000000000000000000000000","after":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","deleted":false,
        "commits":[{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","message":"m"}],"head_commit":{"id":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","message":"m [skip ci]"},
        "repository":{"full_name":"o/n","clone_url":"https://forge.example/o/n.git","html_url":"https://forge.example/o/n","default_branch":"main"},"sender":{"login":"ada"}}"#,
    br#"{"action":"opened","number":5,"pull_request":{"number":5,"merged":false,"mergeable":null,"merge_commit_sha":"cccccccccccccccccccccccccccccccccccccccc",
        "author_association":"NONE","user":{"login":"mallory"},"head":{"ref":"topic","sha":"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb","repo":{"full_name":"f/n"}},
        "base":{"ref":"main","sha":"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa","repo":{"full_name":"o/n"}}},
        "repository":{"full_name":"o/n","clone_url":"https://forge.example/o/n.git","html_url":"https://forge.example/o/n"},"sender":{"login":"ada"}}"#,
    br#"{"action":"published","release":{"draft":false,"tag_name":"v1"},"merge_group":{"head_ref":"refs/heads/gh-readonly-queue/main/pr-1","head_sha":"dddddddddddddddddddddddddddddddddddddddd"},
        "ref_type":"tag","ref":"v1","workflow":".github/workflows/a.yml@refs/heads/main","inputs":{"a":1,"b":true,"c":null},
        "deployment":{"sha":"dddddddddddddddddddddddddddddddddddddddd","ref":"main","payload":{"slipway":"x"}},
        "repository":{"full_name":"o/n","clone_url":"http://forge.example/o/n.git"}}"#,
    br#"{"action":"requested_action","requested_action":{"identifier":"rerun"},"check_run":{"external_id":"rules/push/dddddddddddddddddddddddddddddddddddddddd","head_sha":"dddddddddddddddddddddddddddddddddddddddd","app":{"id":7}},
        "check_suite":{"head_sha":"dddddddddddddddddddddddddddddddddddddddd"},"repository":{"full_name":"o/n"}}"#,
    br#"{"action":"completed","workflow_run":{"name":"ci","head_branch":"main","conclusion":"success"},"workflow":{"name":"ci","path":".github/workflows/ci.yml"},
        "branch":"main","client_payload":{},"repository":{"full_name":"o/n","clone_url":"https://forge.example/o/n.git"}}"#,
    br#"{"action":"created","installation":{"id":2,"account":{"login":"o","html_url":"https://forge.example/o"}},"repositories":[{"full_name":"o/n"},{"full_name":"o/m"}],
        "repositories_added":[{"full_name":"o/n"}],"repositories_removed":[{"full_name":"o/n"}],"sender":{"login":"ada"}}"#,
];

pub(super) const DICTIONARY: &[&[u8]] = &[
    b"\"ref\":",
    b"\"after\":",
    b"\"action\":",
    b"\"deleted\":true",
    b"\"merged\":true",
    b"\"draft\":true",
    b"\"number\":18446744073709551615",
    b"\"number\":-1",
    b"refs/heads/",
    b"refs/pull/1/merge",
    b"--upload-pack=x",
    b"ext::sh -c x",
    b"file:///",
    b"https://",
    b"@{",
    b"..",
    b".lock",
    b"\\u0000",
    b"\\ud800",
    b"\\n",
    b"0000000000000000000000000000000000000000",
    b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    b"*",
    b"~",
    b"null",
    b"true",
    b"1e999",
    b"[[[[[[[[",
    b"{}",
    b"\"\"",
    b"/",
    b"\xff",
    b"\xef\xbb\xbf",
];

#[allow(clippy::unwrap_used)] // It stands above.
static FILTERS: LazyLock<Workflow> = LazyLock::new(|| syntax::parse("a.yml", WORKFLOW).unwrap());

pub(super) fn run(input: &[u8]) {
    let header = sign(SECRET, input);
    assert!(is_signed(SECRET, input, &header), "its own signature");
    assert!(!is_signed(SECRET, &[input, b" "].concat(), &header), "another body's signature");
    let _ = is_signed(SECRET, input, &String::from_utf8_lossy(input));
    let Ok(payload) = serde_json::from_slice(input) else { return };
    let read = webhook(&payload);
    assert!(read.is_ok(), "{read:?}");
    let changed = [String::from_utf8_lossy(input).into_owned(), "src/a.rs".to_owned()];
    for name in events() {
        for changed_files in [None, Some(&changed[..])] {
            let decision = filter::triggered(&FILTERS, &Event { name, payload: &payload, changed_files });
            assert!(decision.triggered || !decision.reason.is_empty(), "{name}: no reason");
        }
    }
}
