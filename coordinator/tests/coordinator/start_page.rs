//! A workflow that a person starts on a page.

use reqwest::Method;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::events::{Forge, workflow};

const RELEASE: &str = "name: Release\non:\n  workflow_dispatch:\n    inputs:\n      version: {required: true, description: '<b>Which</b>'}\n      \
    dry: {type: boolean, default: true}\n      level: {type: choice, options: [low, high], default: low}\n      count: {type: number}\n\
    jobs:\n  job:\n    runs-on: ubuntu-latest\n    steps:\n      - run: echo hello\n";

async fn forge() -> Forge {
    let files =
        [("release", RELEASE.to_owned()), ("ci", workflow("ci", "push")), ("broken", "on: [".to_owned())];
    Forge::with(&files, "github.com".to_owned(), |_| {}).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workflow_is_started_with_what_it_asks_for() {
    let forge = forge().await;
    forge.git(&["checkout", "--quiet", "-b", "feature/x"]);
    let head = forge.commit("code.txt", "2", "Go on");
    let browser = Browser::signed_in(forge.fixture.handle()).await;
    assert!(browser.page("/").await.contains("href=\"/start\""));
    // There is one repository, and one such workflow in it.
    let page = browser.page("/start?ref=feature%2Fx").await;
    for text in [
        "<option value=\"o/n\" selected>",
        "name=\"input.version\"",
        "&lt;b&gt;Which&lt;/b&gt;",
        "<option value=\"true\" selected>",
        "<option value=\"low\" selected>",
        "type=\"number\"",
        ".github/workflows/broken.yml:1:",
    ] {
        assert!(page.contains(text), "{text}: {page}");
    }
    let token = browser.form_token("/start").await;
    let post = async |fields: &str| {
        let answer = browser.post("/start", fields).await;
        let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), to, answer.text().await.unwrap())
    };
    let place = "repository=o%2Fn&ref=feature%2Fx&workflow=.github%2Fworkflows%2Frelease.yml";
    let inputs = "input.version=1.2&input.dry=false&input.level=high&input.count=";
    let (status, to, text) = post(&format!("{place}&{inputs}&form_token={token}")).await;
    assert_eq!(status, 303, "{text}");
    let run = to.unwrap().trim_start_matches("/runs/").to_owned();
    let shown = forge.fixture.get(&format!("/api/v1/runs/{run}")).await;
    assert_eq!(
        [&shown["event_name"], &shown["git_ref"], &shown["sha"]],
        [&json!("workflow_dispatch"), &json!("refs/heads/feature/x"), &json!(head)]
    );
    let trail = forge.fixture.get("/api/v1/audit").await;
    let submitted = |entry: &Value| entry["action"] == "run.submit" && entry["target"] == json!(run);
    assert!(trail["entries"].as_array().unwrap().iter().any(submitted), "{trail}");

    for (fields, wanted, part) in [
        (format!("{place}&{inputs}"), 403, "not made for your session"),
        (format!("{place}&input.dry=true&form_token={token}"), 422, "version"),
        (format!("{place}&{inputs}&input.level=middle&form_token={token}"), 400, ""),
        (format!("{place}&input.version=1&input.level=middle&form_token={token}"), 422, "level"),
        (format!("repository=o%2Fnone&workflow=x&form_token={token}"), 404, "not known here"),
        (format!("workflow=x&form_token={token}"), 400, "no repository"),
    ] {
        let (status, _, text) = post(&fields).await;
        assert!(
            status == wanted || (wanted == 400 && (400..500).contains(&status)),
            "{fields}: {status} {text}"
        );
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(browser.get("/start?ref=none").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_only_look_is_not_offered_it_and_refused() {
    let forge = forge().await;
    let made = json!({"name": "vera", "role": "viewer"});
    let answer = forge.fixture.call(Method::POST, "/api/v1/tokens", Some(made)).await;
    let token = answer.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
    let viewer = Browser::signed_in_with(forge.fixture.handle(), &token).await;
    assert!(!viewer.page("/").await.contains("href=\"/start\""));
    assert_eq!(viewer.get("/start").await.status(), 403);
    assert_eq!(viewer.post("/start", "repository=o%2Fn&workflow=release").await.status(), 403);
    assert!(forge.runs().await.is_empty());
}
