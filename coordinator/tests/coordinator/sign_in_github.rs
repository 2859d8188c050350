//! Signing in at GitHub: a double of what its OAuth does, its API held against GitHub's own description.

use std::sync::{Arc, Mutex};

use axum::extract::{Form, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use slipway_coordinator::access::UserRole;
use slipway_coordinator::options::{ClientSecret, ProviderKind, RoleRule, SignInProvider};
use std::collections::{BTreeMap, HashMap};

use crate::browser::Browser;
use crate::fixture::Fixture;
use crate::github_double::hold_against_description;

#[derive(Default)]
struct Known {
    /// What the code is bound to.
    challenge: String,
    redirect_uri: String,
    used: bool,
    exchanges: Vec<Value>,
    /// Status of what is asked for the organisations; 0: all is well.
    broken: u16,
}

#[derive(Clone)]
struct Double {
    address: String,
    known: Arc<Mutex<Known>>,
}

const TOKEN: &str = "gho_abc";

impl Double {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let double = Self { address, known: Arc::default() };
        let router = Router::new()
            .route("/login/oauth/access_token", post(token))
            .route("/api/v3/user", get(user))
            .route("/api/v3/user/orgs", get(orgs))
            .route("/api/v3/user/teams", get(teams))
            .with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        double
    }

    fn answer(&self, headers: &HeaderMap, path: &str, answer: Value) -> Response {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if text("authorization") != format!("Bearer {TOKEN}") || text("user-agent").is_empty() {
            return (StatusCode::UNAUTHORIZED, Json(json!({"message": "Bad credentials"}))).into_response();
        }
        let exchange =
            json!({"method": "GET", "path": path, "body": null, "status": 200, "answer": answer.clone()});
        self.known.lock().unwrap().exchanges.push(exchange);
        Json(answer).into_response()
    }
}

async fn token(
    State(double): State<Double>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    let mut known = double.known.lock().unwrap();
    assert_eq!(headers["accept"], "application/json");
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&form["code_verifier"]));
    let good = form["client_id"] == "Iv1.a" && form["client_secret"] == "hush" && form["code"] == "the-code";
    let good = good && challenge == known.challenge && form["redirect_uri"] == known.redirect_uri;
    if !good || known.used {
        // GitHub says so with status 200.
        return Json(json!({"error": "bad_verification_code", "error_description": "expired"}))
            .into_response();
    }
    known.used = true;
    Json(json!({"access_token": TOKEN, "scope": "read:org", "token_type": "bearer"})).into_response()
}

fn simple_user(login: &str) -> Value {
    let url = |end: &str| format!("https://api.github.com/users/{login}{end}");
    json!({
        "login": login, "id": 1, "node_id": "U_1", "avatar_url": url("/a"), "gravatar_id": "",
        "url": url(""), "html_url": url(""), "followers_url": url("/followers"),
        "following_url": url("/following{/other_user}"), "gists_url": url("/gists{/gist_id}"),
        "starred_url": url("/starred{/owner}{/repo}"), "subscriptions_url": url("/subscriptions"),
        "organizations_url": url("/orgs"), "repos_url": url("/repos"), "events_url": url("/events{/privacy}"),
        "received_events_url": url("/received_events"), "type": "User", "site_admin": false,
    })
}

async fn user(State(double): State<Double>, headers: HeaderMap) -> Response {
    let mut user = simple_user("Ada");
    let more = json!({
        "name": "Ada", "company": null, "blog": "", "location": null, "email": null, "hireable": null, "bio": null,
        "public_repos": 0, "public_gists": 0, "followers": 0, "following": 0,
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z", "user_view_type": "public",
    });
    user.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    double.answer(&headers, "/user", user)
}

fn organisation(login: &str) -> Value {
    let url = |end: &str| format!("https://api.github.com/orgs/{login}{end}");
    json!({
        "login": login, "id": 1, "node_id": "O_1", "url": url(""), "repos_url": url("/repos"),
        "events_url": url("/events"), "hooks_url": url("/hooks"), "issues_url": url("/issues"),
        "members_url": url("/members{/member}"), "public_members_url": url("/public_members{/member}"),
        "avatar_url": url("/a"), "description": null,
    })
}

async fn orgs(
    State(double): State<Double>,
    headers: HeaderMap,
    Query(query): Query<HashMap<String, String>>,
) -> Response {
    let broken = double.known.lock().unwrap().broken;
    if broken != 0 {
        let message = Json(json!({"message": "Although you appear to have the correct credentials, no"}));
        return (StatusCode::from_u16(broken).unwrap(), message).into_response();
    }
    let page = &query["page"];
    let path = format!("/user/orgs?per_page=100&page={page}");
    let mut answer = double.answer(&headers, &path, json!([organisation(&format!("org-{page}"))]));
    if page == "1" {
        let next = format!("<{}/api/v3/user/orgs?per_page=100&page=2>; rel=\"next\"", double.address);
        answer.headers_mut().insert("link", next.parse().unwrap());
    }
    answer
}

async fn teams(State(double): State<Double>, headers: HeaderMap) -> Response {
    let url = |end: &str| format!("https://api.github.com/teams/1{end}");
    let mut organisation = organisation("org-2");
    let more = json!({
        "has_organization_projects": true, "has_repository_projects": true, "public_repos": 0, "public_gists": 0,
        "followers": 0, "following": 0, "html_url": "https://github.com/org-2", "type": "Organization",
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z", "archived_at": null,
    });
    organisation.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let team = json!({
        "id": 1, "node_id": "T_1", "url": url(""), "html_url": url(""), "name": "Release crew",
        "slug": "release-crew", "description": null, "permission": "pull", "privacy": "closed",
        "notification_setting": "notifications_enabled", "members_url": url("/members{/member}"),
        "repositories_url": url("/repos"), "parent": null, "members_count": 1, "repos_count": 0,
        "created_at": "2020-01-01T00:00:00Z", "updated_at": "2020-01-01T00:00:00Z", "type": "organization",
        "organization_id": 1, "organization": organisation,
    });
    double.answer(&headers, "/user/teams?per_page=100&page=1", json!([team]))
}

async fn start(double: &Double, roles: Vec<RoleRule>) -> Fixture {
    let github = SignInProvider {
        name: "github".into(),
        label: "GitHub".into(),
        kind: ProviderKind::Github { url: double.address.clone(), api: format!("{}/api/v3", double.address) },
        client_id: "Iv1.a".into(),
        client_secret: Some(ClientSecret::new("hush")),
        names: BTreeMap::new(),
        roles,
    };
    Fixture::start_with(|options| options.sign_in = vec![github]).await
}

fn rule(role: UserRole, users: &[&str], groups: &[&str]) -> RoleRule {
    let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    RoleRule { role, users: owned(users), groups: owned(groups), everyone: false }
}

/// Goes to GitHub, which asks nothing; the browser, where it is sent back, and what was asked for.
async fn there(fixture: &Fixture, double: &Double) -> (Browser, String, HashMap<String, String>) {
    let mut browser = Browser::new(fixture.handle());
    let answer = browser.get("/sign-in/github?next=%2Fusage").await;
    assert_eq!(answer.status(), 303);
    browser.keep_cookie(&answer);
    let to = answer.headers()["location"].to_str().unwrap();
    let url = reqwest::Url::parse(to).unwrap();
    assert!(to.starts_with(&format!("{}/login/oauth/authorize?", double.address)), "{to}");
    let asked: HashMap<String, String> = url.query_pairs().into_owned().collect();
    let mut known = double.known.lock().unwrap();
    known.challenge.clone_from(&asked["code_challenge"]);
    known.redirect_uri.clone_from(&asked["redirect_uri"]);
    known.used = false;
    let back = format!("/sign-in/github/back?code=the-code&state={}", asked["state"]);
    (browser, back, asked)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_organisations_and_teams_have_roles() {
    let double = Double::start().await;
    let cases = [
        (vec![rule(UserRole::Developer, &["ada"], &[])], "developer"),
        (vec![rule(UserRole::Admin, &["grace"], &["ORG-2"])], "admin"),
        (
            vec![
                rule(UserRole::Approver, &[], &["org-2/release-crew"]),
                rule(UserRole::Viewer, &["Ada"], &[]),
            ],
            "approver",
        ),
    ];
    for (roles, word) in cases {
        let asks_groups = roles.iter().any(|rule| !rule.groups.is_empty());
        let fixture = start(&double, roles).await;
        let (mut browser, back, asked) = there(&fixture, &double).await;
        assert_eq!(asked["redirect_uri"], fixture.url("/sign-in/github/back"));
        // Nobody is asked for more than what the rules need.
        assert_eq!(asked.get("scope").map(String::as_str), asks_groups.then_some("read:org"));
        let answer = browser.get(&back).await;
        assert_eq!(answer.status(), 200);
        let session = answer.headers().get("set-cookie").unwrap().to_str().unwrap();
        browser.cookie = session.split(';').next().unwrap().to_owned();
        let usage = browser.page("/usage").await;
        assert!(usage.contains(&format!("<bdi>Ada</bdi> ({word})")), "{usage}");
        // A code counts once.
        let (browser, back, _) = there(&fixture, &double).await;
        double.known.lock().unwrap().used = true;
        let again = browser.get(&back).await;
        assert_eq!(again.status(), 403);
        assert!(again.text().await.unwrap().contains("was used already"));
    }
    hold_against_description(&double.known.lock().unwrap().exchanges);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_in_no_group_is_nobody_and_trouble_lets_nobody_in() {
    let double = Double::start().await;
    let fixture = start(&double, vec![rule(UserRole::Admin, &[], &["org-3", "org-2/others"])]).await;
    let (browser, back, _) = there(&fixture, &double).await;
    let answer = browser.get(&back).await;
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("GitHub knows you as Ada, and no rule here"));
    let (browser, back, _) = there(&fixture, &double).await;
    double.known.lock().unwrap().broken = 403;
    let answer = browser.get(&back).await;
    assert_eq!(answer.status(), 503);
    let page = answer.text().await.unwrap();
    assert!(page.contains("it does not tell of /user/orgs: status 403"), "{page}");
    // Another one's proof does not fit the code.
    let (browser, back, _) = there(&fixture, &double).await;
    double.known.lock().unwrap().challenge = "another".to_owned();
    assert_eq!(browser.get(&back).await.status(), 403);
    assert!(fixture.get("/api/v1/tokens").await["tokens"].as_array().unwrap().is_empty());
}
