//! Identity tokens: which jobs get them, by which way, what they say, and that `jose`, which knows nothing of us, verifies them.

use futures_util::StreamExt as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_coordinator::submit::NewRun;
use slipway_proto::v1;
use slipway_proto::v1::coordinator_message::Message as In;
use slipway_scheduler::command::Trust;

use crate::clients::run_with;
use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::fixture::{Fixture, ONE_JOB};

const DAY_MS: u64 = 24 * 3_600_000;

/// A job that may show who it is.
pub(crate) const DEPLOY: &str = "name: Deploy\non: push\npermissions: {contents: read}\njobs:\n  deploy:\n    runs-on: ubuntu-latest\n    permissions: {id-token: write}\n    steps:\n      - run: echo\n";

/// A job that goes on, and the token with which it asks; empty: it has none.
pub(crate) struct Job {
    pub(crate) lease: v1::Lease,
    pub(crate) token: String,
}

async fn fetched(agent: &mut FakeAgent, lease: &v1::Lease) -> v1::FetchSecretsResponse {
    let request = v1::FetchSecretsRequest { lease: Some(lease.clone()) };
    agent.client.fetch_secrets(request).await.unwrap().into_inner()
}

/// The next job that this agent gets.
pub(crate) async fn next_job(agent: &mut FakeAgent) -> Job {
    let lease = agent.next_assigned().await.lease.unwrap();
    agent.keep(&lease);
    let token = fetched(agent, &lease).await.identity_request_token;
    Job { lease, token }
}

async fn job(fixture: &Fixture, agent: &mut FakeAgent, workflow: &str) -> Job {
    fixture.submit(workflow).await;
    next_job(agent).await
}

/// Asks as a job does, over its agent's tunnel; `query` begins with `&`.
pub(crate) async fn ask(agent: &mut FakeAgent, job: &Job, token: &str, query: &str) -> (StatusCode, Value) {
    let request = format!(
        "GET /identity/token?api-version=2.0{query} HTTP/1.1\r\nhost: slipway.localhost\r\nconnection: close\r\n\
         authorization: Bearer {token}\r\n\r\n"
    );
    let first = v1::TunnelData { lease: Some(job.lease.clone()), data: request.into() };
    // The job waits for the answer with its own side open.
    let messages = tokio_stream::once(first).chain(futures_util::stream::pending());
    let mut answers = agent.client.tunnel(messages).await.unwrap().into_inner();
    let mut answer = Vec::new();
    while let Some(piece) = answers.message().await.unwrap() {
        answer.extend_from_slice(&piece.data);
    }
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse::<u16>().unwrap();
    (StatusCode::from_u16(status).unwrap(), serde_json::from_str(body).unwrap())
}

/// An identity token.
pub(crate) async fn token(agent: &mut FakeAgent, job: &Job, query: &str) -> String {
    let (status, answer) = ask(agent, job, &job.token, query).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
    answer["value"].as_str().unwrap().to_owned()
}

/// A part of a token: 0 is its header, 1 its claims.
fn part(token: &str, number: usize) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(number).unwrap();
    serde_json::from_slice(&base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// What `jose` says to these tokens.
async fn verified(fixture: &Fixture, audience: &str, tokens: &[&str]) -> Vec<Value> {
    let asked = json!({"issuer": fixture.url(""), "audience": audience, "tokens": tokens}).to_string();
    let answer =
        run_with(fixture, "SLIPWAY_IDENTITY_CLIENTS", "identity.mjs", &asked, "no runtime token", true).await;
    answer.as_array().unwrap().clone()
}

/// The ids of the keys that everybody sees, sorted.
pub(crate) async fn published(fixture: &Fixture) -> Vec<String> {
    let answer = fixture.http.get(fixture.url("/.well-known/jwks")).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["cache-control"], "public, max-age=3600");
    let keys: Value = answer.json().await.unwrap();
    for key in keys["keys"].as_array().unwrap() {
        let mut members: Vec<&str> = key.as_object().unwrap().keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "e", "kid", "kty", "n", "use"], "nothing of the private half");
    }
    let ids = keys["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned());
    let mut ids: Vec<String> = ids.collect();
    ids.sort();
    ids
}

async fn signing(fixture: &Fixture) -> String {
    let shown = fixture.get("/api/v1/identity").await;
    let signs = shown["keys"].as_array().unwrap().iter().find(|key| key["signs"] == true).unwrap();
    signs["kid"].as_str().unwrap().to_owned()
}

async fn rotate(fixture: &Fixture, alone: bool) {
    let body = Some(json!({ "alone": alone }));
    let answer = fixture.call(Method::POST, "/api/v1/identity/rotate", body).await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_with_leave_gets_a_token_that_an_independent_library_verifies() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let job = job(&fixture, &mut agent, DEPLOY).await;
    let (plain, asked) =
        (token(&mut agent, &job, "").await, token(&mut agent, &job, "&audience=sts.example.com").await);
    assert_eq!(part(&plain, 1)["aud"], "https://github.com/o");
    let (signed, signature) = asked.rsplit_once('.').unwrap();
    // The first character: of the last one some bits mean nothing.
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    let forged = format!("{signed}.{first}{}", &signature[1..]);
    let verified = verified(&fixture, "sts.example.com", &[&asked, &plain, &forged]).await;
    let claims = &verified[0]["claims"];
    for (name, expected) in [
        ("sub", "repo:o/n:ref:refs/heads/main"),
        ("repository", "o/n"),
        ("repository_owner", "o"),
        ("ref", "refs/heads/main"),
        ("ref_type", "branch"),
        ("event_name", "push"),
        ("actor", "ada"),
        ("workflow", "Deploy"),
        ("job_workflow_ref", "o/n/.github/workflows/ci.yml@refs/heads/main"),
        ("run_number", "1"),
        ("run_attempt", "1"),
        ("runner_environment", "self-hosted"),
    ] {
        assert_eq!(claims[name], expected, "{name}: {claims}");
    }
    assert_eq!(claims["exp"].as_u64().unwrap() - claims["iat"].as_u64().unwrap(), 300);
    assert_eq!(verified[0]["header"]["kid"], json!(published(&fixture).await[0]));
    assert_ne!(claims["jti"], part(&plain, 1)["jti"]);
    assert_eq!(verified[1]["wrong"], "ERR_JWT_CLAIM_VALIDATION_FAILED", "it is for another audience");
    assert_eq!(verified[2]["wrong"], "ERR_JWS_SIGNATURE_VERIFICATION_FAILED");

    let trail = fixture.get("/api/v1/audit").await;
    let entries = trail["entries"].as_array().unwrap();
    let issued: Vec<&Value> = entries.iter().filter(|entry| entry["action"] == "identity.token").collect();
    assert_eq!(issued.len(), 2);
    let told = "repo:o/n:ref:refs/heads/main for sts.example.com";
    assert!(issued.iter().any(|entry| entry["target"] == told), "{issued:?}");
    assert!(!trail.to_string().contains(signature), "no token is in it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_no_leave_is_told_no_token_to_ask_with() {
    let fixture = Fixture::start().await;
    let accepts = v1::Hello { accepts_untrusted: true, ..hello(FIRST, 8, Vec::new()) };
    let mut agent = FakeAgent::connect_with(fixture.handle(), accepts).await;
    for (permissions, expected) in [
        ("", false),
        ("    permissions: read-all\n", false),
        ("    permissions: {contents: write}\n", false),
        ("    permissions: {id-token: none}\n", false),
        ("    permissions: write-all\n", true),
    ] {
        let workflow = format!(
            "on: push\npermissions: {{id-token: write}}\njobs:\n  a:\n    runs-on: ubuntu-latest\n{permissions}    \
             steps: [{{run: echo}}]\n"
        );
        let workflow = if permissions.is_empty() { ONE_JOB.to_owned() } else { workflow };
        let job = job(&fixture, &mut agent, &workflow).await;
        assert_eq!(!job.token.is_empty(), expected, "{permissions}");
        agent.report(&job.lease, v1::Result::Success, 0).await;
    }
    let outside = NewRun {
        workflow_file: ".github/workflows/ci.yml".to_owned(),
        workflow: DEPLOY.replace("on: push", "on: pull_request"),
        event_name: "pull_request".to_owned(),
        event: json!({}),
        repository: "o/n".to_owned(),
        trust: Trust::Untrusted,
        ..NewRun::default()
    };
    fixture.handle().submit(outside).await.unwrap();
    let job = next_job(&mut agent).await;
    assert_eq!(job.token, "", "a fork's pull request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_job_itself_asks_and_only_as_long_as_it_goes_on() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let (job, other) =
        (job(&fixture, &mut agent, DEPLOY).await, self::job(&fixture, &mut agent, DEPLOY).await);
    let fetched = fetched(&mut agent, &job.lease).await;
    assert_eq!(fetched.identity_request_token, job.token, "an agent that goes on masks the same");
    let forged = job.token.replacen(job.token.chars().next().unwrap(), "_", 1);
    for wrong in ["", "x", fetched.runtime_token.as_str(), &forged] {
        let (status, told) = ask(&mut agent, &job, wrong, "").await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{wrong}: {told}");
        assert!(told["message"].as_str().unwrap().contains("ACTIONS_ID_TOKEN_REQUEST_TOKEN"), "{told}");
    }
    let long = format!("&audience={}", "a".repeat(1_025));
    for wrong in ["&audience=", "&audience=a%0Ab", "&audience=a&audience=b", &long] {
        let (status, told) = ask(&mut agent, &job, &job.token, wrong).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{wrong}: {told}");
    }
    let longest = format!("&audience={}", "a".repeat(1_024));
    assert_eq!(ask(&mut agent, &job, &job.token, &longest).await.0, StatusCode::OK);
    // Not at the coordinator's own address, whoever asks.
    let outside = fixture.http.get(fixture.url("/identity/token?audience=a")).bearer_auth(&job.token);
    assert_eq!(outside.send().await.unwrap().status(), StatusCode::NOT_FOUND);
    // It is over: its token is good for nothing, also over another job's way.
    agent.report(&job.lease, v1::Result::Success, 0).await;
    while !matches!(agent.hear().await, In::Accepted(_)) {}
    assert_eq!(ask(&mut agent, &other, &job.token, "").await.0, StatusCode::UNAUTHORIZED);
    assert_eq!(ask(&mut agent, &other, &other.token, "").await.0, StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_rotate_by_hand_and_what_the_old_one_signed_stays_good_unless_told_otherwise() {
    let fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let job = job(&fixture, &mut agent, DEPLOY).await;
    let first = token(&mut agent, &job, "&audience=a").await;
    rotate(&fixture, false).await;
    let second = token(&mut agent, &job, "&audience=a").await;
    assert_ne!(part(&first, 0)["kid"], part(&second, 0)["kid"]);
    assert_eq!(published(&fixture).await.len(), 2);
    for answer in verified(&fixture, "a", &[&first, &second]).await {
        assert_eq!(answer["claims"]["aud"], "a", "{answer}");
    }
    rotate(&fixture, true).await;
    let third = token(&mut agent, &job, "&audience=a").await;
    assert_eq!(published(&fixture).await, [part(&third, 0)["kid"].as_str().unwrap()]);
    let answers = verified(&fixture, "a", &[&first, &second, &third]).await;
    let wrong: Vec<&Value> = answers.iter().map(|answer| &answer["wrong"]).collect();
    assert_eq!(wrong, [&json!("ERR_JWKS_NO_MATCHING_KEY"), &json!("ERR_JWKS_NO_MATCHING_KEY"), &Value::Null]);
    let vault = std::fs::read_dir(fixture.folder.path().join("data/vault")).unwrap();
    assert_eq!(vault.count(), 1, "of keys that count no longer nothing is left");
    for (token, expected) in
        [(None, StatusCode::UNAUTHORIZED), (Some("wrong".to_owned()), StatusCode::UNAUTHORIZED)]
    {
        let mut request = fixture.http.post(fixture.url("/api/v1/identity/rotate")).json(&json!({}));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        assert_eq!(request.send().await.unwrap().status(), expected);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_take_turns_by_themselves() {
    let fixture = Fixture::start().await;
    let first = published(&fixture).await;
    assert_eq!(first.len(), 1, "who sets a cloud up sees a key before any job needs one");
    fixture.clock.advance(28 * DAY_MS);
    assert_eq!(published(&fixture).await, first);
    fixture.clock.advance(DAY_MS);
    let both = published(&fixture).await;
    assert_eq!(both.len(), 2);
    assert_eq!(signing(&fixture).await, first[0]);
    fixture.clock.advance(DAY_MS);
    assert_eq!(published(&fixture).await, both);
    let second = signing(&fixture).await;
    assert_ne!(second, first[0]);
    fixture.clock.advance(DAY_MS + 3_600_000);
    assert_eq!(published(&fixture).await, [second]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_the_keys_which_lie_sealed() {
    let mut fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let job = job(&fixture, &mut agent, DEPLOY).await;
    let before = token(&mut agent, &job, "&audience=a").await;
    let keys = published(&fixture).await;
    let files: Vec<_> = std::fs::read_dir(fixture.folder.path().join("data/vault")).unwrap().collect();
    assert_eq!(files.len(), 1);
    let sealed = std::fs::read(files[0].as_ref().unwrap().path()).unwrap();
    assert!(!sealed.windows(4).any(|part| part == b"\"qi\""), "it lies there sealed");
    fixture.kill_and_restart().await;
    assert_eq!(published(&fixture).await, keys);
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 4, vec![job.lease.clone()])).await;
    agent.keep(&job.lease);
    let after = token(&mut agent, &job, "&audience=a").await;
    assert_eq!(part(&after, 0), part(&before, 0));
    // The old one's issuer is the address of then.
    assert_eq!(verified(&fixture, "a", &[&after]).await[0]["claims"]["sub"], part(&before, 1)["sub"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_issuer_is_the_public_url_and_without_one_there_is_none_beyond_this_machine() {
    let fixture = Fixture::start_with(|options| {
        options.public_url = Some("https://ci.example.com/slipway".to_owned());
    })
    .await;
    let discovery = fixture.http.get(fixture.url("/.well-known/openid-configuration")).send().await.unwrap();
    let discovery: Value = discovery.json().await.unwrap();
    assert_eq!(discovery["issuer"], "https://ci.example.com/slipway");
    assert_eq!(discovery["jwks_uri"], "https://ci.example.com/slipway/.well-known/jwks");
    assert_eq!(discovery["id_token_signing_alg_values_supported"], json!(["RS256"]));
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let job = job(&fixture, &mut agent, DEPLOY).await;
    assert_eq!(part(&token(&mut agent, &job, "").await, 1)["iss"], "https://ci.example.com/slipway");

    let fixture = Fixture::start_with(|options| options.http = "0.0.0.0:0".parse().unwrap()).await;
    let here = format!("http://127.0.0.1:{}", fixture.handle().http_addr.port());
    for path in ["/.well-known/openid-configuration", "/.well-known/jwks"] {
        let answer = fixture.http.get(format!("{here}{path}")).send().await.unwrap();
        assert_eq!(answer.status(), StatusCode::NOT_FOUND);
    }
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let body = Fixture::submission(DEPLOY);
    let submitted = fixture.http.post(format!("{here}/api/v1/runs")).json(&body);
    let submitted = submitted.bearer_auth(fixture.handle().admin_token.reveal()).send().await.unwrap();
    assert_eq!(submitted.status(), StatusCode::CREATED);
    let job = next_job(&mut agent).await;
    let (status, told) = ask(&mut agent, &job, &job.token, "").await;
    assert_eq!(status, StatusCode::PRECONDITION_FAILED);
    assert!(told["message"].as_str().unwrap().contains("--public-url"), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_cannot_be_opened_is_told_with_what_to_do() {
    let mut fixture = Fixture::start().await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    let job = job(&fixture, &mut agent, DEPLOY).await;
    token(&mut agent, &job, "").await;
    for file in std::fs::read_dir(fixture.folder.path().join("data/vault")).unwrap() {
        std::fs::write(file.unwrap().path(), b"damaged").unwrap();
    }
    fixture.kill_and_restart().await;
    let mut agent = FakeAgent::connect_with(fixture.handle(), hello(FIRST, 4, vec![job.lease.clone()])).await;
    agent.keep(&job.lease);
    let (status, told) = ask(&mut agent, &job, &job.token, "").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(told["message"].as_str().unwrap().contains("slipway identity rotate --alone"), "{told}");
    rotate(&fixture, true).await;
    token(&mut agent, &job, "").await;
}
