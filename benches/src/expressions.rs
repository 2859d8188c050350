//! `expressions`: evaluations a second, beside GitHub's own package on the same expressions.

use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value as Json, json};
use slipway_workflow::expression::{Availability, Environment, Expression, StatusArity};
use slipway_workflow::value::Value;

use crate::figure::Figure;
use crate::node;

/// How long each side works.
const SECONDS: u64 = 3;

/// What workflows really ask, from the commonest on.
const EXPRESSIONS: [&str; 12] = [
    "github.ref",
    "github.event_name == 'push' && github.ref == 'refs/heads/main'",
    "matrix.os != 'windows-latest' || matrix.experimental",
    "contains(github.event.pull_request.labels.*.name, 'ci: full')",
    "startsWith(github.ref, 'refs/tags/v') && !contains(github.ref, '-rc')",
    "contains(fromJSON('[\"opened\", \"synchronize\"]'), github.event.action)",
    "format('{0}-{1}-{2}', matrix.os, github.sha, github.run_number)",
    "needs.build.outputs.version || '0.0.0'",
    "contains(needs.*.result, 'failure')",
    "toJSON(matrix)",
    "join(github.event.pull_request.labels.*.name, ', ')",
    "github.event.pull_request.head.repo.full_name == github.repository && github.actor != 'dependabot[bot]'",
];

#[derive(Deserialize)]
struct TheirRun {
    evaluations: f64,
    seconds: f64,
}

struct Contexts(Value);

impl Environment for Contexts {
    fn context(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }
}

fn contexts() -> Json {
    json!({
        "github": {
            "ref": "refs/tags/v1.2.3", "sha": "0123456789abcdef0123456789abcdef01234567", "event_name": "push",
            "run_number": 42, "repository": "example/project", "actor": "octocat",
            "event": {"action": "opened", "pull_request": {
                "labels": [{"name": "bug"}, {"name": "ci: full"}],
                "head": {"repo": {"full_name": "example/project"}},
            }},
        },
        "matrix": {"os": "ubuntu-latest", "experimental": false, "node": [18, 20, 22]},
        "needs": {"build": {"result": "success", "outputs": {"version": "1.2.3"}}, "test": {"result": "failure"}},
    })
}

/// Measures both sides; both parse each expression once.
///
/// # Errors
/// When an expression is wrong on either side, or Node or its package can't be had.
pub fn measure() -> anyhow::Result<Vec<Figure>> {
    let contexts = contexts();
    let names: Vec<&str> =
        contexts.as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let availability = Availability { contexts: &names, status: StatusArity::None, hash_files: false };
    let parsed = EXPRESSIONS
        .iter()
        .map(|text| Expression::parse(text, &availability))
        .collect::<Result<Vec<_>, _>>()?;
    let environment = Contexts(Value::from(&contexts));
    let start = Instant::now();
    let mut evaluations = 0usize;
    while start.elapsed() < Duration::from_secs(SECONDS) {
        for expression in &parsed {
            std::hint::black_box(expression.evaluate(&environment)?);
        }
        evaluations += parsed.len();
    }
    let ours = evaluations as f64 / start.elapsed().as_secs_f64();
    let input = json!({"contexts": contexts, "expressions": EXPRESSIONS}).to_string();
    let theirs: TheirRun = node::run("expressions.mjs", &[SECONDS.to_string()], &input)?;
    Ok(vec![Figure::new(
        "expressions.evaluations_per_s",
        "per_s",
        ours,
        "@actions/expressions",
        theirs.evaluations / theirs.seconds,
    )])
}
