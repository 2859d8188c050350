//! Properties that hold for any input: nothing panics, normal forms parse back, limits are kept.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;
use serde_json::json;
use slipway_workflow::diagnostics::MAX_DIAGNOSTICS;
use slipway_workflow::expression::availability::{STEP_CONDITION, STEP_KEY};
use slipway_workflow::expression::{Condition, Expression, Template, eval_json};
use slipway_workflow::filter::Patterns;
use slipway_workflow::matrix::{MAX_INSTANCES, expand};
use slipway_workflow::syntax::lint;
use slipway_workflow::value::{Value, format_g15, format_json_number, parse_number};

/// Text that looks like expressions often enough to get far.
fn expression_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "(",
        ")",
        "[",
        "]",
        ".",
        "*",
        ",",
        "!",
        "==",
        "!=",
        "<",
        ">=",
        "&&",
        "||",
        " ",
        "github",
        "matrix.os",
        "env",
        "null",
        "true",
        "0x1F",
        "1.5",
        "-1",
        "'a'",
        "''",
        "'it''s'",
        "contains",
        "format",
        "fromJSON",
        "toJSON",
        "join",
        "case",
        "always",
        "success()",
        "hashFiles",
        "{0}",
        "'",
        "é",
        "\"",
        "$",
        "&",
        "\n",
    ]);
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Expressions that parse, of bounded depth.
fn expression() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(vec![
        "github",
        "matrix.os",
        "github.event.list",
        "env['FOO']",
        "null",
        "true",
        "12",
        "-0.5",
        "'a'",
        "'it''s'",
        "steps.*.outcome",
        "NaN",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(5, 40, 3, |inner| {
        prop_oneof![
            (
                inner.clone(),
                prop::sample::select(vec!["==", "!=", "<", ">", "<=", ">=", "&&", "||"]),
                inner.clone()
            )
                .prop_map(|(a, operator, b)| format!("{a} {operator} {b}")),
            inner.clone().prop_map(|a| format!("({a})")),
            inner.clone().prop_map(|a| format!("!({a})")),
            inner.clone().prop_map(|a| format!("({a}).x[0].*")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("contains({a}, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("format('{{0}}-{{1}}', {a}, {b})")),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| format!("join({a}, {b})")),
            inner.prop_map(|a| format!("fromJSON(toJSON({a}))")),
        ]
    })
}

fn yaml_text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "on:",
        "push",
        "jobs:",
        "a:",
        "runs-on:",
        "steps:",
        "- ",
        "run:",
        " ",
        "  ",
        "    ",
        "\n",
        "\n  ",
        "\n    ",
        "{",
        "}",
        "[",
        "]",
        ",",
        ": ",
        "&x ",
        "*x",
        "<<:",
        "|",
        ">-",
        "'",
        "\"",
        "#",
        "!!str ",
        "---",
        "?",
        "matrix:",
        "strategy:",
        "${{ github.ref }}",
        "${{",
        "}}",
        "needs:",
        "if:",
        "1.0",
        "null",
        "\t",
        "é",
        "%",
        "@",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

fn contexts() -> serde_json::Value {
    json!({
        "github": {"ref": "r", "event": {"list": [1, "a", null, {"x": [1]}]}}, "matrix": {"os": "l"}, "env": {"FOO": "b"},
        "steps": {"s": {"outcome": "success"}}
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn any_text_as_an_expression(text in any::<String>()) {
        let _ = eval_json(&text, &contexts());
        let _ = Template::parse(&text, &STEP_KEY);
        let _ = Condition::parse(&text, &STEP_CONDITION);
    }

    #[test]
    fn text_like_an_expression(text in expression_text()) {
        if let Err(error) = eval_json(&text, &contexts()) {
            prop_assert!(!error.message.is_empty());
            prop_assert!(error.offset.is_none_or(|offset| offset <= text.len() && text.is_char_boundary(offset)));
        }
        let _ = Template::parse(&format!("a ${{{{ {text} }}}} b"), &STEP_KEY);
    }

    #[test]
    fn the_normal_form_parses_to_itself(text in expression()) {
        let parsed = Expression::parse(&text, &STEP_KEY).unwrap();
        let normal = parsed.to_string();
        let again = Expression::parse(&normal, &STEP_KEY).unwrap();
        prop_assert_eq!(&again.to_string(), &normal);
        // And means the same.
        prop_assert_eq!(eval_json(&text, &contexts()).ok(), eval_json(&normal, &contexts()).ok());
    }

    #[test]
    fn literal_text_is_its_own_template(text in "[^$]*") {
        let template = Template::parse(&text, &STEP_KEY).unwrap();
        prop_assert_eq!(template.as_literal(), Some(text.as_str()));
    }

    #[test]
    fn any_text_as_a_workflow(text in any::<String>()) {
        prop_assert!(!lint("f", &text).is_empty());
    }

    #[test]
    fn text_like_a_workflow(text in yaml_text()) {
        let lines = text.lines().count() + 1;
        let found = lint("f", &text);
        prop_assert!(found.len() <= MAX_DIAGNOSTICS);
        for finding in found {
            prop_assert!(finding.line >= 1 && finding.column >= 1 && finding.line as usize <= lines);
            prop_assert!(!finding.message.contains('\n'));
        }
    }

    #[test]
    fn numbers_read_back(number in any::<f64>()) {
        prop_assume!(number.is_finite());
        prop_assert_eq!(format_json_number(number).parse::<f64>().unwrap(), number);
        let fifteen = parse_number(&format_g15(number));
        prop_assert!(fifteen == number || ((fifteen - number) / number).abs() < 1e-14 || !fifteen.is_finite());
    }

    #[test]
    fn any_pattern(pattern in any::<String>(), text in any::<String>()) {
        let mut patterns = Patterns::default();
        if patterns.add(&pattern).is_ok() {
            let _ = patterns.matches(&text);
        }
    }

    #[test]
    fn text_without_special_characters_matches_only_itself(text in "[a-z/]{1,20}", other in "[a-z/]{0,20}") {
        let mut patterns = Patterns::default();
        patterns.add(&text).unwrap();
        prop_assert!(patterns.matches(&text));
        prop_assert_eq!(patterns.matches(&other), text == other);
    }

    #[test]
    fn a_matrix_of_vectors_is_their_product(a in 1_usize..20, b in 1_usize..20) {
        let vector = |count: usize| serde_json::Value::Array((0..count).map(serde_json::Value::from).collect());
        let expanded = expand(&Value::from(&json!({"a": vector(a), "b": vector(b)})));
        if a * b > MAX_INSTANCES {
            prop_assert!(expanded.is_err());
        } else {
            let mut seen: Vec<String> = expanded.unwrap().iter().map(|one| one.values.to_json().to_string()).collect();
            prop_assert_eq!(seen.len(), a * b);
            seen.sort();
            seen.dedup();
            prop_assert_eq!(seen.len(), a * b);
        }
    }
}
