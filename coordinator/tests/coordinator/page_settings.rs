//! The pages of settings, and that of environments.

use reqwest::Method;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::environments::{configured, waits, workflow};
use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::fixture::Fixture;

const ADMIN_PAGES: [&str; 4] = ["/settings", "/settings/tokens", "/settings/secrets", "/settings/variables"];

/// What a page shows as just made.
fn made(page: &str) -> String {
    let text = page.split("<code class=\"secret\">").nth(1).unwrap_or_else(|| panic!("{page}"));
    text.split('<').next().unwrap().to_owned()
}

/// Who signed in, and the token of their forms.
async fn admin(fixture: &Fixture) -> (Browser, String) {
    let browser = Browser::signed_in(fixture.handle()).await;
    let token = browser.form_token("/settings/tokens").await;
    (browser, token)
}

async fn listed(fixture: &Fixture, path: &str, what: &str) -> Vec<Value> {
    fixture.get(path).await[what].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_made_shown_once_and_revoked() {
    let fixture = Fixture::start().await;
    let (browser, form) = admin(&fixture).await;
    let answer = browser
        .post("/settings/tokens", &format!("name=Vera+%3Cb%3E&role=viewer&days=7&form_token={form}"))
        .await;
    assert_eq!(answer.status(), 200);
    let page = answer.text().await.unwrap();
    assert!(page.contains("Vera &lt;b&gt;") && !page.contains("Vera <b>"), "{page}");
    let token = made(&page);
    let who = fixture.call_with(&token, Method::GET, "/api/v1/whoami", None).await;
    assert_eq!(who.json::<Value>().await.unwrap(), json!({"name": "Vera <b>", "role": "viewer"}));
    assert!(!browser.page("/settings/tokens").await.contains(&token));
    let known = listed(&fixture, "/api/v1/tokens", "tokens").await;
    let life_ms = known[0]["expires_at_ms"].as_u64().unwrap() - known[0]["made_at_ms"].as_u64().unwrap();
    assert_eq!(life_ms, 7 * 24 * 3_600_000);
    let revoke = format!("/settings/tokens/{}/revoke", known[0]["id"].as_str().unwrap());
    assert_eq!(browser.post(&revoke, "form_token=x").await.status(), 403);
    assert_eq!(browser.post(&revoke, &format!("form_token={form}")).await.status(), 303);
    assert_eq!(fixture.call_with(&token, Method::GET, "/api/v1/whoami", None).await.status(), 401);
    assert_eq!(browser.post(&revoke, &format!("form_token={form}")).await.status(), 404);
    for (wrong, status) in [
        ("name=a&role=viewer&days=367", 400),
        ("name=+&role=viewer&days=1", 400),
        ("name=a&role=boss&days=1", 422),
        ("name=a&role=viewer&days=-1", 422),
        ("name=a&role=viewer&days=18446744073709551615", 400),
    ] {
        let answer = browser.post("/settings/tokens", &format!("{wrong}&form_token={form}")).await;
        assert_eq!(answer.status(), status, "{wrong}");
    }
    assert_eq!(browser.post("/settings/tokens", "name=a&role=admin&days=1").await.status(), 403);
    assert!(listed(&fixture, "/api/v1/tokens", "tokens").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_for_enrolment_is_made_on_a_page_and_lets_an_agent_join() {
    let fixture = Fixture::start().await;
    let (browser, form) = admin(&fixture).await;
    let make = async |fields: &str| {
        let answer = browser.post("/settings/tokens/enrolment", &format!("{fields}&form_token={form}")).await;
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    let (status, page) = make("labels=GPU%2C+fast+%2C&hours=2").await;
    assert_eq!(status, 200, "{page}");
    assert!(made(&page).starts_with("slipenrol_"), "{page}");
    let known = listed(&fixture, "/api/v1/agents/tokens", "tokens").await;
    assert_eq!(known[0]["labels"], json!(["fast", "gpu"]));
    let id = known[0]["id"].as_str().unwrap();
    assert!(browser.page("/settings/tokens").await.contains(id));
    let revoke = format!("/settings/tokens/enrolment/{id}/revoke");
    assert_eq!(browser.post(&revoke, &format!("form_token={form}")).await.status(), 303);
    assert!(listed(&fixture, "/api/v1/agents/tokens", "tokens").await.is_empty());
    assert_eq!(make("hours=721").await.0, 400);
    assert_eq!(make("labels=a&hours=0").await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn secrets_are_set_and_removed_and_their_values_never_shown() {
    let fixture = Fixture::start().await;
    let (browser, form) = admin(&fixture).await;
    let post = async |path: &str, fields: &str| {
        browser.post(path, &format!("{fields}&form_token={form}")).await.status().as_u16()
    };
    let place = "name=deploy_key&repository=o%2Fn&environment=production";
    assert_eq!(post("/settings/secrets", &format!("{place}&value=one%0D%0Atwo-hush")).await, 303);
    assert_eq!(post("/settings/secrets", "name=all&repository=&environment=&value=hush").await, 303);
    let known = listed(&fixture, "/api/v1/secrets", "secrets").await;
    assert_eq!(known.len(), 2);
    assert!(
        known.iter().any(|secret| {
            secret["name"] == "DEPLOY_KEY"
                && secret["repository"] == "o/n"
                && secret["environment"] == "production"
        }),
        "{known:?}"
    );
    let page = browser.page("/settings/secrets").await;
    assert!(
        page.contains("DEPLOY_KEY") && page.contains("every repository") && !page.contains("hush"),
        "{page}"
    );
    for wrong in ["name=GITHUB_X&value=v", "name=a+b&value=v", "name=a&environment=production&value=v"] {
        assert_eq!(post("/settings/secrets", wrong).await, 400, "{wrong}");
    }
    assert_eq!(post("/settings/secrets/remove", "name=DEPLOY_KEY").await, 404);
    assert_eq!(post("/settings/secrets/remove", place).await, 303);
    assert_eq!(listed(&fixture, "/api/v1/secrets", "secrets").await.len(), 1);
    let trail = fixture.get("/api/v1/audit").await.to_string();
    assert!(
        trail.contains("secret.set") && trail.contains("secret.remove") && !trail.contains("hush"),
        "{trail}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_are_for_administrators_and_show_nothing_secret() {
    let fixture = Fixture::start_with(|options| {
        options.webhook.secret = Some(slipway_coordinator::options::WebhookSecret("hush".into()));
        options.public_url = Some("https://ci.example.com".into());
    })
    .await;
    let (browser, _) = admin(&fixture).await;
    let page = browser.page("/settings").await;
    assert!(page.contains("https://ci.example.com") && page.contains("accepted when signed"), "{page}");
    assert!(!page.contains("hush") && !page.contains(fixture.handle().admin_token.reveal()));
    let made = json!({"name": "ann", "role": "approver"});
    let made = fixture.call(Method::POST, "/api/v1/tokens", Some(made)).await;
    let token = made.json::<Value>().await.unwrap()["token"].as_str().unwrap().to_owned();
    let approver = Browser::signed_in_with(fixture.handle(), &token).await;
    let form = approver.form_token("/environments").await;
    assert!(!approver.page("/").await.contains("href=\"/settings\""), "it is not offered");
    for path in ADMIN_PAGES {
        assert_eq!(approver.get(path).await.status(), 403, "{path}");
    }
    for path in [
        "/settings/tokens",
        "/settings/tokens/enrolment",
        "/settings/tokens/x/revoke",
        "/settings/tokens/enrolment/x/revoke",
        "/settings/secrets",
        "/settings/secrets/remove",
        "/settings/variables",
        "/settings/variables/remove",
    ] {
        let fields = format!("name=a&role=admin&days=1&hours=1&value=v&form_token={form}");
        assert_eq!(approver.post(path, &fields).await.status(), 403, "{path}");
    }
    assert_eq!(listed(&fixture, "/api/v1/tokens", "tokens").await.len(), 1);
    assert!(listed(&fixture, "/api/v1/secrets", "secrets").await.is_empty());
    assert!(listed(&fixture, "/api/v1/variables", "variables").await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn variables_are_set_shown_and_removed() {
    let fixture = Fixture::start().await;
    let (browser, form) = admin(&fixture).await;
    let post = async |path: &str, fields: &str| {
        browser.post(path, &format!("{fields}&form_token={form}")).await.status().as_u16()
    };
    let place = "name=region&repository=o%2Fn&environment=production";
    assert!(browser.page("/settings/variables").await.contains("No variable is kept."));
    assert_eq!(post("/settings/variables", &format!("{place}&value=%3Cb%3Eeu")).await, 303);
    let long = "x".repeat(500);
    assert_eq!(post("/settings/variables", &format!("name=long&value={long}")).await, 303);
    let page = browser.page("/settings/variables").await;
    assert!(page.contains("REGION") && page.contains("&lt;b&gt;eu") && !page.contains("<b>eu"), "{page}");
    assert!(page.contains(&format!("{}…", "x".repeat(200))) && !page.contains(&long), "{page}");
    for wrong in [
        "name=GITHUB_X&value=v",
        "name=a+b&value=v",
        "name=a&environment=production&value=v",
        "name=a&value=",
    ] {
        assert_eq!(post("/settings/variables", wrong).await, 400, "{wrong}");
    }
    assert_eq!(browser.post("/settings/variables", "name=a&value=v").await.status(), 403);
    assert_eq!(post("/settings/variables/remove", "name=region").await, 404);
    assert_eq!(post("/settings/variables/remove", place).await, 303);
    assert_eq!(listed(&fixture, "/api/v1/variables", "variables").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_show_what_waits_what_they_ask_and_what_was_decided() {
    let fixture = configured().await;
    let _agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 2, Vec::new())).await;
    let browser = Browser::signed_in(fixture.handle()).await;
    let empty = browser.page("/environments").await;
    for text in [
        "Nothing waits for anybody",
        "<bdi>alice</bdi>, <bdi>ada</bdi>",
        "not by whoever started the run",
        "the branches main",
        "5 min 00 s",
        "one deployment at a time",
    ] {
        assert!(empty.contains(text), "{text}: {empty}");
    }
    let run = fixture.submit(&workflow("production")).await;
    waits(&fixture, &run, "approval").await;
    fixture.clock.advance(65_000);
    let page = browser.page("/environments").await;
    assert!(page.contains("1 min 05 s"), "since when it waits: {page}");
    let link = format!("href=\"/runs/{run}#approvals\"");
    assert!(page.contains(&link) && page.contains("but not <bdi>ada</bdi>"), "{page}");
    let decision =
        json!({"environment": "production", "decision": "reject", "actor": "alice", "comment": "<i>no"});
    let path = format!("/api/v1/runs/{run}/approvals");
    assert_eq!(fixture.call(Method::POST, &path, Some(decision)).await.status(), 200);
    let page = browser.page("/environments").await;
    assert!(page.contains("Nothing waits for anybody") && page.contains("rejected"), "{page}");
    assert!(page.contains("&lt;i&gt;no") && page.contains(&format!("href=\"/runs/{run}\"")), "{page}");
}
