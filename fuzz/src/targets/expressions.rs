//! Expressions, alone, in text and as conditions. What parses prints to a form that parses to the same again.

use slipway_workflow::expression::{
    Availability, Condition, Environment, Expression, StatusArity, StatusFunction, Template,
};
use slipway_workflow::value::Value;

pub(super) const CORPUS: &[&[u8]] = &[
    b"github.ref == 'refs/heads/main' && !cancelled()",
    b"contains(fromJSON('[\"a\", \"b\"]'), matrix.os) || format('{0}-{1}', github.sha, 1.5)",
    b"needs.*.result",
    b"${{ github.event.commits[0].author['name'] }} and ${{ toJSON(matrix) }}",
    b"case(true, 1, false, '2', null)",
    b"join(github.event.labels.*.name, ', ') != ''",
    b"success() && (failure() || always()) == !true",
    b"startsWith(github.ref, 'refs/tags/') && endsWith('x', 'X') && hashFiles('**/Cargo.lock')",
    b"0x1F < -1.5e3 || Infinity >= NaN",
    b"github[github[github['a']]].b.*.c[*]",
];

pub(super) const DICTIONARY: &[&[u8]] = &[
    b"(",
    b")",
    b"[",
    b"]",
    b".",
    b",",
    b"*",
    b"!",
    b"==",
    b"!=",
    b"<=",
    b">=",
    b"<",
    b">",
    b"&&",
    b"||",
    b"'",
    b"''",
    b"'a'",
    b"\"",
    b" ",
    b"\n",
    b"null",
    b"true",
    b"false",
    b"NaN",
    b"Infinity",
    b"-1",
    b"1e308",
    b"1e999",
    b"0xffffffffffffffff",
    b"0o7",
    b".5",
    b"-",
    b"+",
    b"github",
    b"github.",
    b"matrix",
    b"needs",
    b"secrets",
    b"['a']",
    b".*",
    b"[*]",
    b"[0]",
    b"[-1]",
    b"contains(",
    b"format('{0}', ",
    b"format('{0}{0}{0}{0}', ",
    b"toJSON(",
    b"fromJSON('",
    b"fromJSON(",
    b"join(",
    b"case(true, ",
    b"startsWith(",
    b"always()",
    b"success()",
    b"failure('a')",
    b"hashFiles('x')",
    b"${{",
    b"}}",
    b"${{ ",
    b" }}",
    b"{",
    b"}",
    b"{{",
    b"{\"a\": [1, {\"b\": null}]}",
    b"\xf0\x9f\x98\x80",
    b"\xc4\xb1",
    b"\xc3\x9f",
    b"\xe2\x80\xa8",
    b"\0",
    b"\xff",
];

struct World(Value);

impl Environment for World {
    fn context(&self, name: &str) -> Option<Value> {
        self.0.get(name).cloned()
    }

    fn status(&self, function: StatusFunction, _: &[Value]) -> Result<bool, String> {
        Ok(matches!(function, StatusFunction::Always | StatusFunction::Success))
    }

    fn hash_files(&self, patterns: &[String]) -> Result<String, String> {
        Ok(format!("{}", patterns.len()))
    }
}

pub(super) fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let availability = Availability {
        contexts: &["github", "matrix", "needs", "inputs", "env"],
        status: StatusArity::Job,
        hash_files: true,
    };
    let world = World(Value::from(&serde_json::json!({
        "github": {"ref": "refs/heads/main", "event": {"commits": [{"a": 1}, {"a": [2, 3]}], "labels": [{"name": "x"}]}},
        "matrix": {"os": "linux", "n": 3},
        "needs": {"a": {"result": "success"}, "b": {"result": "failure"}},
    })));
    match Expression::parse(&text, &availability) {
        Ok(expression) => {
            let printed = expression.to_string();
            if let Ok(again) = Expression::parse(&printed, &availability) {
                assert_eq!(again.to_string(), printed, "printed twice, two forms");
            } else {
                // The printed form has more brackets, so it may pass the limits; nothing else may be wrong with it.
                assert!(printed.len() > 200, "does not parse again: {printed}");
            }
            if let Ok(value) = expression.evaluate(&world) {
                let _ = (value.truthy(), value.to_text(), value.to_json());
            }
        }
        Err(error) => {
            assert!(!error.message.is_empty());
            assert!(error.offset.is_none_or(|offset| offset <= text.len()), "{error:?}");
        }
    }
    match Template::parse(&text, &availability) {
        Ok(template) => drop(template.evaluate_to_string(&world)),
        Err(error) => assert!(error.offset.is_none_or(|offset| offset <= text.len()), "{error:?}"),
    }
    if let Ok(condition) = Condition::parse(&text, &availability) {
        let _ = condition.evaluate(&world);
    }
}
