//! Signing in at a provider of identities that others wrote: to it, back, what follows, and what does not.

use std::collections::BTreeMap;
use std::process::Stdio;

use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use slipway_coordinator::access::UserRole;
use slipway_coordinator::options::{ClientSecret, ProviderKind, RoleRule, SignInProvider};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::browser::Browser;
use crate::fixture::Fixture;

/// `oidc-provider` in a process of its own.
struct Provider {
    issuer: String,
    packages: tempfile::TempDir,
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Provider {
    /// One that listens; 0: on any port.
    async fn listen(port: u16) -> Self {
        let packages = std::env::var_os("SLIPWAY_OIDC_PROVIDER").unwrap_or_else(|| {
            panic!("SLIPWAY_OIDC_PROVIDER is not set: run the tests with nextest, or scripts/prepare-clients.sh first")
        });
        // Node looks for packages beside the script.
        let here = tempfile::tempdir_in(packages).unwrap();
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/oidc_provider.mjs");
        std::fs::copy(source, here.path().join("oidc_provider.mjs")).unwrap();
        let mut child = Command::new("node");
        child.current_dir(here.path()).arg("oidc_provider.mjs").arg(port.to_string());
        child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = child.spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        let issuer = output.next_line().await.unwrap().expect("the provider did not start");
        Self { issuer, packages: here, input: child.stdin.take().unwrap(), _child: child, output }
    }

    fn port(&self) -> u16 {
        self.issuer.rsplit_once(':').unwrap().1.parse().unwrap()
    }

    /// Lets people sign in for this coordinator.
    async fn serve(&mut self, fixture: &Fixture, in_token: bool) {
        let back = |name: &str| json!([fixture.url(&format!("/sign-in/{name}/back"))]);
        let client = |name: &str, alg: &str, method: &str| {
            let mut client = json!({
                "client_id": name, "redirect_uris": back(name), "id_token_signed_response_alg": alg,
                "token_endpoint_auth_method": method,
            });
            if method != "none" {
                client["client_secret"] = json!(SECRET);
            }
            client
        };
        let set = json!({
            "clients": [
                client("rsa", "RS256", "client_secret_basic"), client("pss", "PS256", "client_secret_basic"),
                client("curve", "ES256", "client_secret_basic"), client("public", "EdDSA", "none"),
            ],
            "accounts": {
                "ada": {"preferred_username": "ada@example.com", "groups": ["staff"]},
                "grace": {"preferred_username": "grace", "groups": ["release", "staff"]},
                "mallory": {"preferred_username": "mallory <b>", "groups": []},
                "nameless": {},
            },
            "inToken": in_token, "consented": true,
        });
        self.input.write_all(format!("{set}\n").as_bytes()).await.unwrap();
        assert_eq!(self.output.next_line().await.unwrap().as_deref(), Some("ready"));
    }
}

/// With what a header cannot have as it is.
const SECRET: &str = "hush: %&+=/ hush";

fn provider(name: &str, issuer: &str) -> SignInProvider {
    let rule = |role, users: &[&str], groups: &[&str]| {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        RoleRule { role, users: owned(users), groups: owned(groups), everyone: false }
    };
    SignInProvider {
        name: name.to_owned(),
        label: format!("the {name} company"),
        kind: ProviderKind::Oidc {
            issuer: issuer.to_owned(),
            scopes: ["openid", "profile"].map(str::to_owned).into(),
            name_claim: "preferred_username".into(),
            groups_claim: "groups".into(),
        },
        client_id: name.to_owned(),
        client_secret: (name != "public").then(|| ClientSecret::new(SECRET)),
        names: BTreeMap::from([("ada@example.com".to_owned(), "ada".to_owned())]),
        roles: vec![
            rule(UserRole::Admin, &["ada"], &[]),
            rule(UserRole::Approver, &[], &["release"]),
            rule(UserRole::Viewer, &[], &["staff"]),
        ],
    }
}

async fn with_providers(issuer: &str) -> Fixture {
    let issuer = issuer.to_owned();
    Fixture::start_with(|options| {
        options.sign_in = ["rsa", "pss", "curve", "public"].map(|name| provider(name, &issuer)).into();
    })
    .await
}

/// A provider, and a coordinator whose people sign in there.
async fn both(in_token: bool) -> (Provider, Fixture) {
    let mut provider = Provider::listen(0).await;
    let fixture = with_providers(&provider.issuer).await;
    provider.serve(&fixture, in_token).await;
    (provider, fixture)
}

/// What a person's browser keeps of the provider.
#[derive(Default)]
struct Jar(BTreeMap<String, String>);

impl Jar {
    fn keep(&mut self, answer: &Response) {
        for cookie in answer.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            match value {
                "" => self.0.remove(name),
                value => self.0.insert(name.to_owned(), value.to_owned()),
            };
        }
    }

    fn header(&self) -> String {
        self.0.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }
}

fn location(answer: &Response) -> String {
    answer.headers()["location"].to_str().unwrap().to_owned()
}

/// Signs somebody in at the provider, from the address that they were sent to; tells where they are sent back.
async fn at_provider(http: &Client, issuer: &str, sent_to: &str, login: &str) -> String {
    let mut jar = Jar::default();
    let mut next = sent_to.to_owned();
    for _ in 0..10 {
        if !next.starts_with(issuer) {
            return next;
        }
        let asks = next.contains("/interaction/");
        let request = match asks {
            false => http.get(&next),
            true => http
                .post(&next)
                .header("content-type", "application/x-www-form-urlencoded")
                .body(format!("prompt=login&login={login}&password=any")),
        };
        let answer = request.header("cookie", jar.header()).send().await.unwrap();
        jar.keep(&answer);
        let status = answer.status();
        assert!(status.is_redirection(), "{next}: {status} {}", answer.text().await.unwrap());
        let to = location(&answer);
        next = if to.starts_with('/') { format!("{issuer}{to}") } else { to };
    }
    panic!("the provider sends people in a circle: {next}");
}

/// Goes to the provider; where it is, with the browser that went.
async fn begun(fixture: &Fixture, name: &str, next: &str) -> (Browser, String) {
    let mut browser = Browser::new(fixture.handle());
    let answer = browser.get(&format!("/sign-in/{name}?next={next}")).await;
    assert_eq!(answer.status(), 303);
    browser.keep_cookie(&answer);
    let to = location(&answer);
    (browser, to)
}

/// Path and query of an address of this coordinator.
fn path_of<'a>(fixture: &Fixture, url: &'a str) -> &'a str {
    url.strip_prefix(&fixture.url("")).unwrap_or_else(|| panic!("{url} leads elsewhere"))
}

/// All of it; the browser has a session then.
async fn signed_in(fixture: &Fixture, provider: &Provider, name: &str, login: &str) -> (Browser, String) {
    let (mut browser, to) = begun(fixture, name, "%2Ffleet").await;
    let back = at_provider(&browser.http, &provider.issuer, &to, login).await;
    let answer = browser.get(path_of(fixture, &back)).await;
    let status = answer.status();
    let cookies: Vec<_> = answer.headers().get_all("set-cookie").iter().cloned().collect();
    let page = answer.text().await.unwrap();
    assert_eq!(status, 200, "{page}");
    let [session, over] = &cookies[..] else { panic!("{cookies:?}") };
    assert!(over.to_str().unwrap().starts_with("slipway_signing_in=; Path=/sign-in; Max-Age=0;"), "{over:?}");
    let session = session.to_str().unwrap();
    assert!(session.contains("SameSite=Strict") && session.contains("HttpOnly"), "{session}");
    browser.cookie = session.split(';').next().unwrap().to_owned();
    (browser, page)
}

/// Status and text of the answer to somebody who comes back.
async fn refused(browser: &Browser, path: &str) -> (u16, String) {
    let answer = browser.get(path).await;
    assert!(!answer.headers().contains_key("set-cookie"), "{path}");
    (answer.status().as_u16(), answer.text().await.unwrap())
}

async fn sessions(fixture: &Fixture) -> Vec<Value> {
    fixture.get("/api/v1/tokens").await["tokens"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_a_rule_names_has_a_session_with_a_role_until_it_ends() {
    let (provider, fixture) = both(false).await;
    let welcome = Browser::new(fixture.handle()).page("/").await;
    assert!(
        welcome.contains("href=\"/sign-in/rsa?next=%2F\"") && welcome.contains("the rsa company"),
        "{welcome}"
    );
    let (browser, page) = signed_in(&fixture, &provider, "rsa", "ada").await;
    assert!(page.contains("content=\"0; url=/fleet\"") && page.contains("href=\"/fleet\""), "{page}");
    let fleet = browser.page("/fleet").await;
    assert!(fleet.contains("<bdi>ada</bdi> (admin)"), "{fleet}");
    let known = sessions(&fixture).await;
    assert_eq!((known.len(), &known[0]["name"], &known[0]["role"]), (1, &json!("ada"), &json!("admin")));
    assert_eq!(known[0]["signed_in_at"], "the rsa company");
    let audit = fixture.get("/api/v1/audit").await.to_string();
    assert!(audit.contains("session.begin") && audit.contains("signed in at the rsa company"), "{audit}");
    // Signed out, the session is gone for whoever copied the cookie, too.
    let form_token = browser.form_token("/fleet").await;
    let out = browser.post("/sign-out", &format!("form_token={form_token}")).await;
    assert_eq!(out.status(), 303);
    assert_eq!(browser.get("/fleet").await.status(), 303);
    assert!(sessions(&fixture).await.is_empty());
    // An administrator ends another one.
    let (browser, _) = signed_in(&fixture, &provider, "rsa", "grace").await;
    assert!(browser.page("/fleet").await.contains("<bdi>grace</bdi> (approver)"));
    assert_eq!(browser.get("/audit").await.status(), 403);
    let id = sessions(&fixture).await[0]["id"].as_str().unwrap().to_owned();
    let revoked = fixture.call(Method::DELETE, &format!("/api/v1/tokens/{id}"), None).await;
    assert_eq!(revoked.status(), 200);
    assert_eq!(browser.get("/fleet").await.status(), 303);
    // And time ends all.
    let (browser, _) = signed_in(&fixture, &provider, "rsa", "grace").await;
    fixture.clock.advance(12 * 3_600_000);
    assert_eq!(browser.get("/fleet").await.status(), 303);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_kind_of_key_and_of_client_is_taken() {
    for in_token in [false, true] {
        let (provider, mut fixture) = both(in_token).await;
        for name in ["rsa", "pss", "curve", "public"] {
            let (browser, _) = signed_in(&fixture, &provider, name, "grace").await;
            assert!(
                browser.page("/fleet").await.contains("<bdi>grace</bdi> (approver)"),
                "{name} {in_token}"
            );
        }
        // A session outlives its coordinator.
        let (browser, _) = signed_in(&fixture, &provider, "rsa", "grace").await;
        fixture.kill_and_restart().await;
        assert!(browser.at(fixture.handle()).page("/fleet").await.contains("<bdi>grace</bdi> (approver)"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_no_rule_names_is_told_under_which_name_they_are_known() {
    let (provider, fixture) = both(false).await;
    for (login, status, told) in [
        ("mallory", 403, "knows you as mallory &lt;b&gt;, and no rule here gives you a role"),
        ("nameless", 503, "it does not say `preferred_username`"),
    ] {
        let (browser, to) = begun(&fixture, "rsa", "%2F").await;
        let back = at_provider(&browser.http, &provider.issuer, &to, login).await;
        let (found, page) = refused(&browser, path_of(&fixture, &back)).await;
        assert_eq!(found, status, "{page}");
        assert!(page.contains(told) && page.contains("href=\"/sign-in\""), "{page}");
    }
    assert!(sessions(&fixture).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_counts_once_and_in_the_browser_that_asked() {
    let (provider, fixture) = both(false).await;
    let (browser, to) = begun(&fixture, "rsa", "%2F").await;
    let back = at_provider(&browser.http, &provider.issuer, &to, "ada").await;
    let back = path_of(&fixture, &back).to_owned();
    // Somebody is lured into another one's session: another browser, none, or one that asked for itself.
    let stranger = Browser::new(fixture.handle());
    let (victim, _) = begun(&fixture, "rsa", "%2F").await;
    let (elsewhere, _) = begun(&fixture, "curve", "%2F").await;
    for (who, told) in [
        (&stranger, "not begun in this browser"),
        (&elsewhere, "not begun in this browser"),
        (&victim, "the answer to another sign-in"),
    ] {
        let (status, page) = refused(who, &back).await;
        assert_eq!(status, 403, "{page}");
        assert!(page.contains(told), "{told}: {page}");
    }
    // The answer of another issuer, no code, and what the provider says when somebody goes back.
    let state = back.split("state=").nth(1).unwrap().split('&').next().unwrap();
    for (query, told) in [
        (format!("state={state}&code=x&iss=http%3A%2F%2F127.0.0.1"), "the answer of another provider"),
        (format!("state={state}&code=x"), "the answer of another provider"),
        (format!("state={state}"), "sent no code"),
        (
            format!("state={state}&error=access_denied&error_description=%3Ci%3Eno%0A"),
            "did not let you in: access_denied (&lt;i&gt;no )",
        ),
        ("code=x".to_owned(), "the answer to another sign-in"),
    ] {
        let (status, page) = refused(&browser, &format!("/sign-in/rsa/back?{query}")).await;
        assert_eq!(status, 403, "{page}");
        assert!(page.contains(told), "{told}: {page}");
    }
    assert_eq!(browser.get(&back).await.status(), 200);
    // The cookie is still this browser's, but the code was used.
    let (status, page) = refused(&browser, &back).await;
    assert_eq!(status, 403, "{page}");
    assert!(page.contains("was used already"), "{page}");
    fixture.clock.advance(10 * 60_000);
    let (status, _) = refused(&browser, &back).await;
    assert_eq!(status, 403);
    assert_eq!(browser.get("/sign-in/unknown").await.status(), 404);
    assert_eq!(browser.get("/sign-in/unknown/back?code=x").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_was_away_or_has_new_keys_is_used_again() {
    let (provider, fixture) = both(false).await;
    let _ = signed_in(&fixture, &provider, "rsa", "grace").await;
    let port = provider.port();
    drop(provider);
    // What is kept of it is enough to send somebody there; not to let them in.
    let (browser, to) = begun(&fixture, "rsa", "%2F").await;
    let state = to.split("state=").nth(1).unwrap().split('&').next().unwrap();
    let issuer = format!("http%3A%2F%2F127.0.0.1%3A{port}");
    let (status, page) =
        refused(&browser, &format!("/sign-in/rsa/back?code=x&state={state}&iss={issuer}")).await;
    assert_eq!(status, 503, "{page}");
    assert!(page.contains("cannot be used at the moment"), "{page}");
    fixture.clock.advance(3_600_000);
    let (status, page) = refused(&browser, "/sign-in/rsa").await;
    assert_eq!(status, 503, "{page}");
    // The same address with other keys.
    let mut provider = Provider::listen(port).await;
    provider.serve(&fixture, false).await;
    let _ = signed_in(&fixture, &provider, "rsa", "grace").await;
    drop(provider);
    let mut provider = Provider::listen(port).await;
    provider.serve(&fixture, false).await;
    // Keys are not asked for at every token that nobody signed.
    let (browser, to) = begun(&fixture, "rsa", "%2F").await;
    let back = at_provider(&browser.http, &provider.issuer, &to, "grace").await;
    let (status, page) = refused(&browser, path_of(&fixture, &back)).await;
    assert_eq!(status, 503, "{page}");
    assert!(page.contains("none of its keys signed"), "{page}");
    fixture.clock.advance(60_000);
    let _ = signed_in(&fixture, &provider, "rsa", "grace").await;
    assert!(provider.packages.path().exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_issuer_that_calls_itself_otherwise_is_not_believed() {
    let mut provider = Provider::listen(0).await;
    let fixture = with_providers(&format!("{}/", provider.issuer)).await;
    provider.serve(&fixture, false).await;
    let (status, page) = refused(&Browser::new(fixture.handle()), "/sign-in/rsa").await;
    assert_eq!(status, 503, "{page}");
    assert!(page.contains(&format!("calls itself {};", provider.issuer)), "{page}");
}
