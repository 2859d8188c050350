//! Workflow files. A file gives a workflow or errors; each finding has a place in the file and can be shown; what
//! parses can be planned, to a plan or errors.

use serde_json::json;
use slipway_workflow::diagnostics::{Diagnostic, MAX_DIAGNOSTICS, Severity, render_text};
use slipway_workflow::filter::Event;
use slipway_workflow::plan::{self, ExplainInput, RunFacts};
use slipway_workflow::syntax;
use slipway_workflow::value::Value;

pub(super) const CORPUS: &[&[u8]] = &[
    include_bytes!("../../../examples/hello.yml"),
    include_bytes!("../../../benches/workflows/release.yml"),
    include_bytes!("../../../benches/workflows/rust.yml"),
    include_bytes!("../../../benches/workflows/web.yml"),
    include_bytes!("../../../.github/workflows/ci.yml"),
    include_bytes!("../../corpus/everything.yml"),
];

pub(super) const DICTIONARY: &[&[u8]] = &[
    b"\n",
    b"\n  ",
    b"  ",
    b"- ",
    b": ",
    b":",
    b"? ",
    b"[",
    b"]",
    b"{",
    b"}",
    b", ",
    b"'",
    b"\"",
    b"|",
    b">",
    b"|-\n",
    b">+2\n",
    b"#",
    b" # c",
    b"&a ",
    b"*a",
    b"!!str ",
    b"!!int ",
    b"!",
    b"~",
    b"null",
    b"true",
    b"1e999",
    b"0x1",
    b".nan",
    b"---\n",
    b"...\n",
    b"%YAML 1.2\n",
    b"\t",
    b"\r\n",
    b"\\",
    b"\xef\xbb\xbf",
    b"\xf0\x9f\x98\x80",
    b"\xe2\x80\xa8",
    b"\0",
    b"\xff",
    b"${{ ",
    b" }}",
    b"${{ github.ref }}",
    b"${{ matrix.x }}",
    b"fromJSON('[1]')",
    b"on:",
    b"jobs:",
    b"steps:",
    b"needs: ",
    b"strategy:",
    b"matrix:",
    b"include:",
    b"exclude:",
    b"if: ",
    b"runs-on: x",
    b"run: x",
    b"uses: a/b@c",
    b"with:",
    b"env:",
    b"permissions:",
    b"concurrency:",
    b"container:",
    b"services:",
    b"outputs:",
    b"schedule:",
    b"cron: '* * * * *'",
    b"workflow_call:",
    b"workflow_dispatch:",
    b"inputs:",
    b"secrets: inherit",
    b"<<: *a",
    b"[[[[[[[[",
    b"{a: {a: {a: ",
];

pub(super) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let workflow = match syntax::parse("f.yml", &text) {
        Ok(workflow) => workflow,
        Err(found) => {
            assert!(
                found.iter().any(|finding| finding.severity == Severity::Error),
                "refused without an error"
            );
            return check(&found, &text);
        }
    };
    check(&workflow.warnings, &text);
    let facts = RunFacts {
        event_name: "push".to_owned(),
        git_ref: "refs/heads/main".to_owned(),
        sha: "0".repeat(40),
        repository: "example/project".to_owned(),
        ..RunFacts::default()
    };
    let payload = json!({"ref": "refs/heads/main"});
    let empty = json!({});
    let plan = plan::explain(
        &workflow,
        &ExplainInput {
            event: Event { name: "push", payload: &payload, changed_files: None },
            github: &Value::from(&plan::github_context(&facts)),
            inputs: &empty,
            vars: &empty,
            files: &Default::default(),
        },
    );
    if let Err(found) = plan {
        assert!(!found.is_empty(), "no plan and no error");
        check(&found, &text);
    }
}

fn check(found: &[Diagnostic], text: &str) {
    assert!(found.len() <= MAX_DIAGNOSTICS, "{} findings", found.len());
    let lines = u32::try_from(text.matches('\n').count()).unwrap_or(u32::MAX).saturating_add(1);
    for finding in found {
        assert!(finding.line >= 1 && finding.line <= lines, "{finding} in a file of {lines} lines");
        assert!(finding.column >= 1, "{finding}");
        assert!(!finding.message.is_empty() && !finding.message.contains('\n'), "{finding:?}");
        assert!(!render_text(finding, text).is_empty());
    }
}
