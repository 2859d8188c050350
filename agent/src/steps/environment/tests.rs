use super::*;
use serde_json::{Value as Json, json};

fn get<'a>(all: &'a [(String, String)], name: &str) -> Option<&'a str> {
    all.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn object(value: Json) -> Value {
    Value::from(&value)
}

#[test]
fn precedence() {
    let image = ["PATH=/image".to_owned(), "A=image".to_owned(), "LANG=C".to_owned(), "broken".to_owned()];
    let base = [("HOME".to_owned(), "/home/runner".to_owned()), ("A".to_owned(), "base".to_owned())];
    let github = object(json!({
        "sha": "abc", "ref_protected": true, "token": "s3cret", "event": {"x": 1}, "run_id": "7", "base_ref": "",
        "workspace": "/w", "Actor": "me", "head_ref": null, "action_status": "x", "secret_source": "Actions",
    }));
    let runner = object(json!({"os": "Linux", "tool_cache": "/opt", "debug": null}));
    let forced = [("ACTIONS_RUNTIME_URL".to_owned(), "u".to_owned())];
    let all = environment(&EnvironmentParts {
        image: &image,
        base: &base,
        env: &[
            ("A", "user"),
            ("CI", "false"),
            ("GITHUB_SHA", "mine"),
            ("GITHUB_TOKEN", "t"),
            ("RUNNER_OS", "mine"),
            ("RUNNER_MINE", "kept"),
            ("GITHUB_ACTIONS", "no"),
            ("", "x"),
            ("B=C", "x"),
            ("D", "nul\0"),
            ("a", "other"),
        ],
        github: &github,
        runner: &runner,
        path: &["/new", "/old"],
        forced: &forced,
    });
    for (name, expected) in [
        ("PATH", Some("/new:/old:/image")),
        ("LANG", Some("C")),
        ("HOME", Some("/home/runner")),
        ("A", Some("user")),
        ("a", Some("other")),
        ("CI", Some("false")),
        ("GITHUB_ACTIONS", Some("true")),
        ("GITHUB_SHA", Some("abc")),
        ("GITHUB_TOKEN", Some("t")),
        ("GITHUB_ACTOR", Some("me")),
        ("GITHUB_REF_PROTECTED", Some("true")),
        ("GITHUB_BASE_REF", Some("")),
        ("GITHUB_HEAD_REF", None),
        ("GITHUB_EVENT", None),
        ("GITHUB_SECRET_SOURCE", None),
        ("RUNNER_OS", Some("Linux")),
        ("RUNNER_TOOL_CACHE", Some("/opt")),
        ("RUNNER_MINE", Some("kept")),
        ("RUNNER_DEBUG", None),
        ("ACTIONS_RUNTIME_URL", Some("u")),
        ("", None),
        ("B=C", None),
        ("D", None),
    ] {
        assert_eq!(get(&all, name), expected, "{name}");
    }
}

#[test]
fn path_has_a_default_and_the_workflows_own_counts() {
    let none = Value::Null;
    let parts = EnvironmentParts {
        image: &[],
        base: &[],
        env: &[],
        github: &none,
        runner: &none,
        path: &["/a"],
        forced: &[],
    };
    assert_eq!(get(&environment(&parts), "PATH"), Some(format!("/a:{DEFAULT_PATH}").as_str()));
    let own = environment(&EnvironmentParts { env: &[("PATH", "/own")], ..parts });
    assert_eq!(get(&own, "PATH"), Some("/a:/own"));
    let empty = environment(&EnvironmentParts { env: &[("PATH", "")], path: &[], ..parts });
    assert_eq!(get(&empty, "PATH"), Some(""));
}
