//! Tests of the expression language. The expected values were taken from GitHub's `@actions/expressions` where it and
//! the documentation agree; numbers in comments are issues of nektos/act about the same trap.

use std::cell::Cell;

use serde_json::{Value as Json, json};

use super::availability::{JOB_IF, NOTHING, RUN_NAME, STEP_CONDITION, STEP_KEY, WORKFLOW_ENV};
use super::{
    Availability, Condition, Environment, ErrorKind, Expression, StatusFunction, Template, eval_json,
};
use crate::value::Value;

fn contexts() -> Json {
    json!({
        "github": {
            "ref": "refs/heads/main", "Event_Name": "push",
            "event": {
                "pull_request": {"labels": [{"name": "Bug", "id": 1}, {"name": "help", "id": 2, "tags": ["x", "y"]}, {"id": 3}]},
                "list": [1, 2, 3, [4, 5]]
            }
        },
        "matrix": {"os": "ubuntu", "node": 18, "n": null, "on": true},
        "steps": {"a": {"outputs": {"v": "1.2"}, "outcome": "success"}, "b": {"outputs": {}, "outcome": "failure"}},
        "env": {"FOO": "bar", "EMPTY": "", "Q": "it's"},
        "inputs": {"flag": true, "off": false}
    })
}

fn check(cases: &[(&str, Json)]) {
    let contexts = contexts();
    for (source, wanted) in cases {
        match eval_json(source, &contexts) {
            Ok(value) => assert_eq!(&value, wanted, "{source}"),
            Err(error) => panic!("{source}: {error}"),
        }
    }
}

fn check_errors(cases: &[(&str, ErrorKind, &str)]) {
    let contexts = contexts();
    for (source, kind, part) in cases {
        let error = eval_json(source, &contexts).expect_err(source);
        assert_eq!(error.kind, *kind, "{source}: {error}");
        assert!(error.message.contains(part), "{source}: {error}");
        assert!(!error.message.contains('\n'), "{source}");
    }
}

#[test]
fn literals() {
    check(&[
        ("", json!(null)),
        ("   ", json!(null)),
        ("null", json!(null)),
        ("true", json!(true)),
        ("-0", json!(0)),
        ("0x1F", json!(31)),
        ("0o17", json!(15)),
        ("1e3", json!(1000)),
        (".5", json!(0.5)),
        ("+2", json!(2)),
        ("NaN", json!(null)),
        ("'it''s ''quoted'''", json!("it's 'quoted'")),
        ("'multi\nline'", json!("multi\nline")),
    ]);
}

#[test]
fn logic_gives_operands() {
    check(&[
        ("'a' && 'b'", json!("b")),
        ("'' && 'b'", json!("")),
        ("'' || 'b'", json!("b")),
        ("0 || ''", json!("")),
        ("null || false", json!(false)),
        ("NaN || 'x'", json!("x")),
        ("1 && 2 || 3", json!(2)),
        ("!''", json!(true)),
        ("!!'a'", json!(true)),
        ("'a' || fromJSON('bad')", json!("a")),
        ("matrix.n && matrix.n.x", json!(null)),
    ]);
}

#[test]
fn precedence() {
    check(&[
        ("1 == 1 && 2 > 1", json!(true)),
        ("1 < 2 == true", json!(true)),
        ("!true == false", json!(true)),
        ("true || false && false", json!(true)),
        ("(true || false) && false", json!(false)),
        ("3 > 2 > 1", json!(false)),
        ("1 == 1 == true", json!(true)),
    ]);
}

#[test]
fn access() {
    check(&[
        ("github.EVENT_name", json!("push")),
        ("GITHUB['ref']", json!("refs/heads/main")),
        ("github.missing.deeper", json!(null)),
        ("github.event.list[0]", json!(1)),
        ("github.event.list['1']", json!(2)),
        ("github.event.list[1.9]", json!(2)),
        ("github.event.list[-1]", json!(null)),
        ("github.event.list[NaN]", json!(null)),
        ("github.event.list[99]", json!(null)),
        ("github.event.list[null]", json!(1)),
        ("github.event.list[true]", json!(2)),
        ("github.true", json!(null)),
        ("matrix[format('{0}', 'os')]", json!("ubuntu")),
        ("matrix[github]", json!(null)),
        ("('x').length", json!(null)),
        ("fromJSON('[7]')[0]", json!(7)),
    ]);
}

#[test]
fn filtered_arrays() {
    // 1137
    check(&[
        ("github.event.pull_request.labels.*.name", json!(["Bug", "help"])),
        ("github.event.pull_request.labels[*].id", json!([1, 2, 3])),
        ("github.event.pull_request.labels.*.tags.*", json!(["x", "y"])),
        ("github.event.pull_request.labels.*.tags[0]", json!(["x"])),
        ("github.event.pull_request.labels[0].*", json!(["Bug", 1])),
        ("steps.*.outcome", json!(["success", "failure"])),
        ("steps.*.outputs.v", json!(["1.2"])),
        ("github.event.list.*", json!([1, 2, 3, [4, 5]])),
        ("github.event.list.*.*", json!([4, 5])),
        ("github.ref.*", json!([])),
        ("matrix.missing.*.x", json!([])),
        ("github.event.pull_request.labels.*.name[0]", json!([])),
        ("contains(steps.*.outcome, 'FAILURE')", json!(true)),
        ("join(steps.*.outcome, '+')", json!("success+failure")),
    ]);
}

#[test]
fn equality_and_order() {
    check(&[
        ("github == github", json!(true)),
        ("github.event == github.event", json!(true)),
        ("github.event.list.* == github.event.list.*", json!(false)),
        ("fromJSON('[]') == fromJSON('[]')", json!(false)),
        ("'A' == 'a'", json!(true)),
        ("null == ''", json!(true)),
        ("null == 0", json!(true)),
        ("true == 'true'", json!(false)),
        ("NaN == NaN", json!(false)),
        ("NaN != NaN", json!(true)),
        ("'10' > 9", json!(true)),
        ("'b' > 'A'", json!(true)),
        ("github > 1", json!(false)),
        ("github >= github", json!(true)),
        ("matrix.node == '18'", json!(true)),
    ]);
}

#[test]
fn text_functions() {
    check(&[
        ("contains('Hello', 'ELL')", json!(true)),
        ("contains('abc', '')", json!(true)),
        ("contains(github.event.list, '2')", json!(true)),
        ("contains(github, 'ref')", json!(false)),
        ("contains('x', github)", json!(false)),
        ("contains(123, 2)", json!(true)),
        ("startsWith('Refs/heads', 'refs/')", json!(true)),
        ("startsWith(github, 'O')", json!(false)),
        ("endsWith('a.TXT', '.txt')", json!(true)),
        ("endsWith('abc', null)", json!(true)),
        ("format('{0} {1} {0}', 'a', 2)", json!("a 2 a")),
        ("format('{{0}} }}{0}', true)", json!("{0} }true")),
        ("format('{0}{1}', null, github)", json!("Object")),
        ("format('{0}', -0)", json!("0")),
        ("format('no args')", json!("no args")),
        ("format('{0}', 1e21)", json!("1E+21")),
        ("join(github.event.list)", json!("1,2,3,Array")),
        ("join(fromJSON('[1,null,\"a\",true]'), '')", json!("1atrue")),
        ("join('abc', '-')", json!("abc")),
        ("join(github.event.list, github)", json!("1,2,3,Array")),
        ("join(github)", json!("")),
    ]);
}

#[test]
fn json_functions() {
    check(&[
        (
            "toJSON(fromJSON('{\"a\":[1,{}],\"b\":[],\"c\":\"\\u00e9\\n\"}'))",
            json!("{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": [],\n  \"c\": \"é\\n\"\n}"),
        ),
        ("toJSON(null)", json!("null")),
        ("toJSON('a\"b')", json!("\"a\\\"b\"")),
        ("toJson(1.50)", json!("1.5")),
        ("fromJson('1.50')", json!(1.5)),
        ("fromJSON(' true ')", json!(true)),
        ("fromJSON(18)", json!(18)),
        ("fromJSON('{\"a\":1,\"A\":2}').a", json!(1)),
    ]);
    check_errors(&[
        ("fromJSON('')", ErrorKind::Evaluation, "empty"),
        ("fromJSON('{')", ErrorKind::Evaluation, "not JSON"),
        ("fromJSON(github)", ErrorKind::Evaluation, "not JSON"),
    ]);
}

#[test]
fn case_is_lazy() {
    check(&[
        ("case(true, 'a', 'b')", json!("a")),
        ("case(false, 'a', 'b')", json!("b")),
        ("case(false, 1, true, 2, 3)", json!(2)),
        ("case(true, 'a', fromJSON('bad'))", json!("a")),
        ("case(false, fromJSON('bad'), 'b')", json!("b")),
        ("CASE(inputs.flag, 1, 2)", json!(1)),
    ]);
    check_errors(&[
        ("case('x', 1, 2)", ErrorKind::Evaluation, "must be a boolean"),
        ("case(null, 1, 2)", ErrorKind::Evaluation, "must be a boolean"),
        ("case(true, 1)", ErrorKind::Parsing, "at least 3"),
        ("case(true, 1, false, 2)", ErrorKind::Parsing, "odd number"),
    ]);
}

#[test]
fn lexing_errors() {
    check_errors(&[
        ("\"a\"", ErrorKind::Lexing, "single quotes"),
        ("'open", ErrorKind::Lexing, "unexpected symbol `'open`"),
        ("a & b", ErrorKind::Lexing, "`&`"),
        ("1 = 1", ErrorKind::Lexing, "`=`"),
        ("1.2.3", ErrorKind::Lexing, "`1.2.3`"),
        ("1 + 2", ErrorKind::Lexing, "`+`"),
        ("- 1", ErrorKind::Lexing, "`-`"),
        ("github.a@b", ErrorKind::Lexing, "`a@b`"),
        ("true.x", ErrorKind::Lexing, "`.x`"),
        ("$x", ErrorKind::Lexing, "`$x`"),
        ("github..ref", ErrorKind::Lexing, "`.ref`"),
    ]);
}

#[test]
fn parsing_errors() {
    check_errors(&[
        ("githb.ref", ErrorKind::Parsing, "unknown context `githb`"),
        ("secrets.X", ErrorKind::Parsing, "`secrets` is not available here"),
        ("nosuch()", ErrorKind::Parsing, "unknown function `nosuch`"),
        ("success()", ErrorKind::Parsing, "not available here"),
        ("hashFiles('x')", ErrorKind::Parsing, "not available here"),
        ("contains('a')", ErrorKind::Parsing, "at least 2"),
        ("contains(1, 2, 3)", ErrorKind::Parsing, "at most 2"),
        ("(1", ErrorKind::Parsing, "unexpected end"),
        ("1 )", ErrorKind::Parsing, "unexpected symbol `)`"),
        ("github.", ErrorKind::Parsing, "unexpected end"),
        ("1 2", ErrorKind::Parsing, "unexpected symbol `2`"),
        ("'a'[0]", ErrorKind::Parsing, "unexpected symbol `[`"),
        ("!", ErrorKind::Parsing, "unexpected end"),
        ("True", ErrorKind::Parsing, "unknown context `True`"),
    ]);
}

#[test]
fn errors_have_columns() {
    let error = Expression::parse("true && githb.x", &RUN_NAME).unwrap_err();
    assert_eq!(error.column("true && githb.x"), Some(9));
    let error = Expression::parse("'äö' == \"x\"", &RUN_NAME).unwrap_err();
    assert_eq!(error.column("'äö' == \"x\""), Some(9));
}

#[test]
fn format_errors() {
    check_errors(&[
        ("format('{1}', 'a')", ErrorKind::Evaluation, "more arguments"),
        ("format('{99999999999999999999}', 'a')", ErrorKind::Evaluation, "more arguments"),
        ("format('{', 'a')", ErrorKind::Evaluation, "invalid"),
        ("format('}', 'a')", ErrorKind::Evaluation, "invalid"),
        ("format('{x}', 'a')", ErrorKind::Evaluation, "invalid"),
    ]);
}

#[test]
fn limits() {
    let parens = |n: usize| format!("{}1{}", "(".repeat(n), ")".repeat(n));
    assert!(eval_json(&parens(49), &json!({})).is_ok());
    assert!(eval_json(&parens(50), &json!({})).unwrap_err().message.contains("50 levels"));
    let dots = |n: usize| format!("github{}", ".a".repeat(n));
    assert!(eval_json(&dots(49), &json!({"github": {}})).is_ok());
    assert!(eval_json(&dots(50), &json!({"github": {}})).is_err());
    // Chains of one level are no nesting.
    assert_eq!(eval_json(&format!("{}1", "1==".repeat(5000)), &json!({})).unwrap(), json!(true));
    assert_eq!(eval_json(&format!("{}1", "0||".repeat(5000)), &json!({})).unwrap(), json!(1));
    // 21,000 UTF-16 code units, quotes included.
    assert!(eval_json(&format!("'{}'", "é".repeat(20_998)), &json!({})).is_ok());
    assert_eq!(
        eval_json(&format!("'{}'", "é".repeat(20_999)), &json!({})).unwrap_err().kind,
        ErrorKind::Lexing
    );
}

#[test]
fn growth_is_bounded() {
    let mut bomb = "'aaaaaaaaaaaaaaaa'".to_owned();
    for _ in 0..40 {
        bomb = format!("format('{{0}}{{0}}', {bomb})");
    }
    let error = eval_json(&bomb, &json!({})).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Evaluation);
    assert!(error.message.contains("bytes"), "{error}");
}

struct Host {
    success: bool,
    asked: Cell<usize>,
}

impl Environment for Host {
    fn context(&self, name: &str) -> Option<Value> {
        (name == "github").then(|| Value::object([("ref", Value::from("main"))]))
    }

    fn status(&self, function: StatusFunction, _: &[Value]) -> Result<bool, String> {
        self.asked.set(self.asked.get() + 1);
        Ok(match function {
            StatusFunction::Always => true,
            StatusFunction::Success => self.success,
            StatusFunction::Failure => !self.success,
            StatusFunction::Cancelled => false,
        })
    }

    fn hash_files(&self, patterns: &[String]) -> Result<String, String> {
        if patterns.iter().any(String::is_empty) { Err("no".to_owned()) } else { Ok(patterns.join("+")) }
    }
}

fn host(success: bool) -> Host {
    Host { success, asked: Cell::new(0) }
}

fn holds(text: &str, success: bool) -> bool {
    Condition::parse(text, &STEP_CONDITION).unwrap().evaluate(&host(success)).unwrap()
}

#[test]
fn conditions_need_success_unless_they_ask() {
    for (text, when_success, when_failure) in [
        ("", true, false),
        ("true", true, false),
        ("github.ref == 'main'", true, false),
        ("${{ github.ref == 'main' }}", true, false),
        ("false", false, false),
        ("always()", true, true),
        ("ALWAYS()", true, true),
        ("failure()", false, true),
        ("!failure()", true, false),
        ("success() || failure()", true, true),
        ("failure() && github.ref == 'x'", false, false),
        ("contains(fromJSON('[true]'), failure())", false, true),
        ("always", true, false),
    ] {
        if text == "always" {
            assert!(Condition::parse(text, &STEP_CONDITION).is_err());
            continue;
        }
        assert_eq!(holds(text, true), when_success, "{text}");
        assert_eq!(holds(text, false), when_failure, "{text}");
    }
    // In quotes it is no call.
    assert!(!holds("'success()' == 'success()'", false));
}

#[test]
fn text_around_an_expression_is_always_true() {
    let condition = Condition::parse("${{ false }} && true", &STEP_CONDITION).unwrap();
    assert!(condition.is_mixed_text());
    assert!(condition.evaluate(&host(true)).unwrap());
    assert!(!condition.evaluate(&host(false)).unwrap());
}

#[test]
fn status_functions_take_jobs_only_in_a_jobs_if() {
    assert!(Expression::parse("success('a')", &JOB_IF).is_ok());
    assert!(Expression::parse("always('a')", &JOB_IF).is_err());
    assert!(Expression::parse("success('a')", &STEP_CONDITION).is_err());
    assert!(Expression::parse("success()", &STEP_KEY).is_err());
}

#[test]
fn keys_have_their_contexts() {
    let allowed =
        |source: &str, availability: &Availability<'_>| Expression::parse(source, availability).is_ok();
    assert!(allowed("secrets.A", &WORKFLOW_ENV));
    assert!(!allowed("secrets.A", &STEP_CONDITION));
    assert!(!allowed("needs.a", &WORKFLOW_ENV));
    assert!(!allowed("env.A", &JOB_IF));
    assert!(allowed("hashFiles('a')", &STEP_KEY));
    assert!(!allowed("hashFiles('a')", &JOB_IF));
    assert!(!allowed("hashFiles()", &STEP_KEY));
    assert!(Template::parse("${{ 1 }}", &NOTHING).is_err());
}

#[test]
fn hash_files_is_the_hosts() {
    let hash = |source: &str| Expression::parse(source, &STEP_KEY).unwrap().evaluate(&host(true));
    assert_eq!(hash("hashFiles('a', 'b')").unwrap().as_str(), Some("a+b"));
    assert_eq!(hash("hashFiles('')").unwrap_err().kind, ErrorKind::Evaluation);
}

fn template(text: &str) -> Json {
    Template::parse(text, &RUN_NAME).unwrap().evaluate(&host(true)).unwrap().to_json()
}

#[test]
fn templates_keep_the_type_of_one_expression() {
    assert_eq!(template("plain"), json!("plain"));
    assert_eq!(template(""), json!(""));
    assert_eq!(template("${{ 1 }}"), json!(1));
    assert_eq!(template("${{ null }}"), json!(null));
    assert_eq!(template("${{ github }}"), json!({"ref": "main"}));
    assert_eq!(template(" ${{ 1 }}"), json!(" 1"));
    assert_eq!(template("a ${{ 1 }} b ${{ true }}{0}'"), json!("a 1 b true{0}'"));
    assert_eq!(template("${{ github }}${{ null }}"), json!("Object"));
    assert_eq!(template("${{ '}}' }}"), json!("}}"));
    assert_eq!(template("${{ 'it''s }}' }}!"), json!("it's }}!"));
    assert_eq!(template("$ {{ 1 }} }}"), json!("$ {{ 1 }} }}"));
    assert_eq!(template("${{ '${{ 1 }}' }}"), json!("${{ 1 }}"));
}

#[test]
fn template_errors_have_places() {
    for (text, part, offset) in [
        ("a ${{ b", "not closed", 2),
        ("${{ }}", "missing", 3),
        ("${{}}", "missing", 3),
        ("x ${{ github.ref }} ${{ nope }}", "unknown context", 24),
        ("${{ 'open }}", "not closed", 0),
        ("${{ insert }}", "in the place of a key", 3),
    ] {
        let error = Template::parse(text, &RUN_NAME).unwrap_err();
        assert!(error.message.contains(part), "{text}: {error}");
        assert_eq!(error.offset, Some(offset), "{text}");
    }
}

#[test]
fn a_long_script_with_an_expression_is_refused() {
    let long = "x".repeat(21_000);
    assert!(Template::parse(&long, &RUN_NAME).is_ok());
    assert!(Template::parse(&format!("{long}${{{{ 1 }}}}"), &RUN_NAME).is_err());
    let shorter = "x".repeat(20_000);
    assert!(Template::parse(&format!("{shorter}${{{{ 1 }}}}"), &RUN_NAME).is_ok());
}

#[test]
fn text_where_text_belongs() {
    let text = |source: &str| Template::parse(source, &RUN_NAME).unwrap().evaluate_to_string(&host(true));
    assert_eq!(text("${{ 1.50 }}").unwrap(), "1.5");
    assert_eq!(text("${{ null }}").unwrap(), "");
    assert_eq!(text("${{ true }}").unwrap(), "true");
    assert!(text("${{ github }}").unwrap_err().message.contains("toJSON"));
}
