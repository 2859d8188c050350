//! Secrets whose values are in HashiCorp Vault: read when a job begins, as whoever the coordinator or the job is there, and nowhere else.

use std::collections::HashMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use slipway_coordinator::options::VaultLogin;
use slipway_coordinator::submit::NewRun;
use slipway_proto::v1;
use slipway_scheduler::command::Trust;

use crate::browser::Browser;
use crate::fake_agent::{FIRST, FakeAgent, hello};
use crate::fixture::{Fixture, ONE_JOB};
use crate::vault_double::{Mood, ROOT, VaultDouble, paths};

const DEPLOY: &str = "on: push\njobs:\n  deploy:\n    runs-on: ubuntu-latest\n    environment: production\n    steps:\n      - run: echo\n";

/// A Vault, and a coordinator that may log in there as an AppRole.
async fn started() -> (VaultDouble, Fixture) {
    let vault = VaultDouble::start().await;
    let fixture = Fixture::start_with(|options| {
        let folder = options.data_dir.parent().unwrap().to_owned();
        options.hashicorp_vault = Some(vault.options(VaultDouble::app_role(&folder)));
    })
    .await;
    (vault, fixture)
}

/// Says where a secret's value is; what is answered.
async fn refer(fixture: &Fixture, name: &str, body: Value) -> (StatusCode, String) {
    let answer = fixture.call(Method::PUT, &format!("/api/v1/secrets/{name}"), Some(body)).await;
    (answer.status(), answer.text().await.unwrap())
}

async fn referred(fixture: &Fixture, name: &str, body: Value) {
    let (status, answer) = refer(fixture, name, body).await;
    assert_eq!(status, StatusCode::OK, "{answer}");
}

/// What the next job's agent is given.
async fn asked(agent: &mut FakeAgent) -> (v1::Lease, Result<v1::FetchSecretsResponse, tonic::Status>) {
    let lease = agent.next_assigned().await.lease.unwrap();
    let request = v1::FetchSecretsRequest { lease: Some(lease.clone()) };
    let answer = agent.client.fetch_secrets(request).await;
    (lease, answer.map(tonic::Response::into_inner))
}

async fn given(agent: &mut FakeAgent) -> v1::FetchSecretsResponse {
    let (lease, answer) = asked(agent).await;
    agent.report(&lease, v1::Result::Success, 0).await;
    answer.unwrap()
}

fn map(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_gets_what_lies_there_when_it_begins() {
    let (vault, mut fixture) = started().await;
    vault.put("secret/data/my app", json!({"password": "first", "port": 5432}));
    vault.put("database/creds/ci", json!({"username": "v-ci-1", "password": "generated"}));
    vault.put("kv/prod", json!({"password": "of production"}));
    for (name, body) in [
        ("PASSWORD", json!({"vault": "/v1/secret/data/my app#password"})),
        ("PORT", json!({"vault": "secret/data/my app#port"})),
        ("DB_USER", json!({"vault": "database/creds/ci#username", "repository": "o/n"})),
        ("DB_PASSWORD", json!({"vault": "database/creds/ci#password", "repository": "o/n"})),
        ("HERE", json!({"value": "sealed"})),
        ("PASSWORD", json!({"vault": "kv/prod#password", "repository": "o/n", "environment": "production"})),
    ] {
        referred(&fixture, name, body).await;
    }
    let listed = fixture.get("/api/v1/secrets").await;
    let places = listed["secrets"].as_array().unwrap().iter().map(|secret| secret["vault"].clone());
    assert_eq!(places.clone().filter(Value::is_null).count(), 1, "{listed}");
    assert!(places.into_iter().any(|place| place == "secret/data/my app#password"), "{listed}");

    fixture.kill_and_restart().await;
    vault.put("secret/data/my app", json!({"password": "second", "port": 5432}));
    vault.known().asked.clear();
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    let common = [("PORT", "5432"), ("DB_USER", "v-ci-1"), ("DB_PASSWORD", "generated"), ("HERE", "sealed")];
    let common = [&common[..], &[("PASSWORD", "second")]].concat();
    assert_eq!(given(&mut agent).await.secrets, map(&common));
    {
        let known = vault.known();
        assert_eq!(known.times("database/creds/ci"), 1, "user and password belong together");
        assert_eq!(known.times("auth/approle/login"), 1);
        assert_eq!(known.times("kv/prod"), 0, "no job of that environment began");
    }
    fixture.submit(DEPLOY).await;
    let answer = given(&mut agent).await;
    assert_eq!(answer.environment_secrets, map(&[("PASSWORD", "of production")]));
    assert_eq!(vault.known().times("auth/approle/login"), 1, "the token is used again");

    let trail = fixture.get("/api/v1/audit").await.to_string();
    assert!(trail.contains("PASSWORD of o/n for production"), "{trail}");
    let mut everything = (listed.to_string() + &trail).into_bytes();
    for file in ["journal.db", "journal.db-wal"] {
        everything.extend(std::fs::read(fixture.folder.path().join("data").join(file)).unwrap_or_default());
    }
    for value in ["second", "generated", "hvs."] {
        assert!(!everything.windows(value.len()).any(|part| part == value.as_bytes()), "{value}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_there_is_told_when_it_is_set() {
    let (vault, fixture) = started().await;
    vault.put("secret/data/app", json!({"key": "v"}));
    vault.put("secret/data/gone", Value::Null);
    for (reference, told) in [
        ("secret/data/app#other", "has no field `other`"),
        ("secret/data/gone#key", "was deleted"),
        ("secret/data/none#key", "nothing at `secret/data/none`"),
        ("auth/token/lookup-self#id", "Vault's own"),
        ("secret/data/app", "PATH#FIELD"),
    ] {
        let (status, answer) = refer(&fixture, "A", json!({"vault": reference})).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
        assert!(answer.contains(told), "{answer}");
    }
    for body in [json!({"value": "v", "vault": "secret/data/app#key"}), json!({})] {
        assert_eq!(refer(&fixture, "A", body).await.0, StatusCode::BAD_REQUEST);
    }
    vault.known().mood = Mood::Sealed;
    let (status, answer) = refer(&fixture, "A", json!({"vault": "secret/data/app#key"})).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(answer.contains("Vault is sealed"), "{answer}");
    assert_eq!(fixture.get("/api/v1/secrets").await["secrets"], json!([]), "nothing was set");

    let without = Fixture::start().await;
    let (status, answer) = refer(&without, "A", json!({"vault": "secret/data/app#key"})).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
    assert!(answer.contains("[hashicorp_vault]"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_fails_at_once_over_what_is_gone_and_waits_for_a_vault_that_is_away() {
    let (vault, fixture) = started().await;
    vault.put("secret/data/app", json!({"key": "v"}));
    referred(&fixture, "A", json!({"vault": "secret/data/app#key"})).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    let lease = agent.next_assigned().await.lease.unwrap();
    let mut ask = async || {
        let request = v1::FetchSecretsRequest { lease: Some(lease.clone()) };
        agent.client.fetch_secrets(request).await.map(|answer| answer.into_inner().secrets)
    };
    for (mood, told) in
        [(Mood::Sealed, "sealed"), (Mood::Standby, "active node"), (Mood::Silent, "did not answer")]
    {
        vault.known().mood = mood;
        let away = ask().await.unwrap_err();
        assert_eq!(away.code(), tonic::Code::Unavailable, "{away}");
        assert!(away.message().contains(told) && away.message().contains("secret A"), "{away}");
    }
    vault.known().mood = Mood::Well;
    vault.put("secret/data/app", Value::Null);
    let gone = ask().await.unwrap_err();
    assert_eq!(gone.code(), tonic::Code::DataLoss, "{gone}");
    assert!(gone.message().contains("secret A") && gone.message().contains("secret/data/app"), "{gone}");
    vault.put("secret/data/app", json!({"key": "again"}));
    assert_eq!(ask().await.unwrap(), map(&[("A", "again")]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_counts_no_more_is_replaced_once() {
    let (vault, fixture) = started().await;
    vault.put("secret/data/app", json!({"key": "v"}));
    referred(&fixture, "A", json!({"vault": "secret/data/app#key"})).await;
    vault.known().tokens.clear();
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    assert_eq!(given(&mut agent).await.secrets, map(&[("A", "v")]));
    assert_eq!(vault.known().times("auth/approle/login"), 2);
    // A short lease is renewed by another login before it ends.
    vault.known().lease_s = 1;
    vault.known().tokens.clear();
    fixture.submit(ONE_JOB).await;
    given(&mut agent).await;
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    fixture.submit(ONE_JOB).await;
    given(&mut agent).await;
    let known = vault.known();
    assert_eq!(known.times("auth/approle/login"), 4);
    assert_eq!(known.times("secret/data/app"), 6, "two were refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_job_logs_in_as_itself_and_reaches_what_its_repository_may() {
    let vault = VaultDouble::start().await;
    let fixture = Fixture::start_with(|options| {
        options.hashicorp_vault = Some(vault.options(VaultDouble::jwt()));
    })
    .await;
    vault.known().issuer = fixture.url("");
    vault.put("secret/data/o/n/app", json!({"key": "ours"}));
    vault.put("secret/data/o/other/app", json!({"key": "theirs"}));
    referred(&fixture, "A", json!({"vault": "secret/data/o/n/app#key"})).await;
    assert!(vault.known().asked.is_empty(), "there is no job yet whose identity could be shown");
    let mut agent = FakeAgent::connect_with(
        fixture.handle(),
        v1::Hello { accepts_untrusted: true, ..hello(FIRST, 4, Vec::new()) },
    )
    .await;
    fixture.submit(DEPLOY).await;
    let answer = given(&mut agent).await;
    assert_eq!(answer.secrets, map(&[("A", "ours")]));
    assert_eq!(answer.identity_request_token, "", "the job itself has no leave for identity tokens");
    let claims = vault.known().claims[0].clone();
    assert_eq!(claims["sub"], "repo:o/n:environment:production");
    assert_eq!(claims["environment"], "production");

    // Vault decides: whoever sets secrets cannot give one repository what another's policy has.
    referred(&fixture, "B", json!({"vault": "secret/data/o/other/app#key"})).await;
    fixture.submit(ONE_JOB).await;
    let (lease, refused) = asked(&mut agent).await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::DataLoss);
    assert!(
        refused.message().contains("secret B") && refused.message().contains("does not let"),
        "{refused}"
    );
    agent.report(&lease, v1::Result::Failure, 0).await;

    vault.known().asked.clear();
    let outside = NewRun {
        workflow_file: ".github/workflows/ci.yml".to_owned(),
        workflow: ONE_JOB.to_owned(),
        event_name: "pull_request".to_owned(),
        event: json!({}),
        repository: "o/n".to_owned(),
        trust: Trust::Untrusted,
        ..NewRun::default()
    };
    fixture.handle().submit(outside).await.unwrap();
    assert_eq!(given(&mut agent).await.secrets, HashMap::new());
    assert!(vault.known().asked.is_empty(), "for code from outside nothing is asked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_in_a_file_is_read_for_each_job_and_tls_is_verified() {
    let vault = VaultDouble::start().await;
    let folder = tempfile::tempdir().unwrap();
    let (token, ca, other) =
        (folder.path().join("token"), folder.path().join("ca.pem"), folder.path().join("other.pem"));
    std::fs::write(&token, "hvs.old").unwrap();
    let address = vault.with_tls(&ca).await;
    vault.with_tls(&other).await;
    let login = VaultLogin::Token { file: token.clone() };
    let mut options = vault.options(login);
    options.address = address;
    vault.put("secret/data/app", json!({"key": "v"}));
    let reference = json!({"vault": "secret/data/app#key"});

    for (ca_file, told) in [(None, "cannot be reached"), (Some(other), "cannot be reached")] {
        let options = slipway_coordinator::options::HashicorpVaultOptions { ca_file, ..options.clone() };
        let fixture = Fixture::start_with(|all| all.hashicorp_vault = Some(options)).await;
        let (status, answer) = refer(&fixture, "A", reference.clone()).await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        assert!(answer.contains(told) && answer.contains("certificate"), "{answer}");
    }
    assert!(vault.known().asked.is_empty(), "nothing was said to who could not be verified");

    options.ca_file = Some(ca);
    let fixture = Fixture::start_with(|all| all.hashicorp_vault = Some(options)).await;
    let (status, answer) = refer(&fixture, "A", reference.clone()).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{answer}");
    assert!(answer.contains("does not let Slipway"), "{answer}");
    std::fs::write(&token, format!("{ROOT}\n")).unwrap();
    referred(&fixture, "A", reference).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    assert_eq!(given(&mut agent).await.secrets, map(&[("A", "v")]));
    std::fs::remove_file(&token).unwrap();
    fixture.submit(ONE_JOB).await;
    let (_, away) = asked(&mut agent).await;
    assert_eq!(away.unwrap_err().code(), tonic::Code::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_here_and_there_take_each_others_place() {
    let (vault, fixture) = started().await;
    vault.put("secret/data/app", json!({"key": "there"}));
    let files = || std::fs::read_dir(fixture.folder.path().join("data/vault")).unwrap().count();
    referred(&fixture, "A", json!({"value": "here"})).await;
    assert_eq!(files(), 1);
    referred(&fixture, "A", json!({"vault": "secret/data/app#key"})).await;
    assert_eq!(files(), 0, "no value that does not count stays");
    let rotated = fixture.call(Method::POST, "/api/v1/vault/rotate", None).await;
    assert_eq!(rotated.status(), StatusCode::OK);
    referred(&fixture, "A", json!({"value": "here again"})).await;
    let mut agent = FakeAgent::connect(fixture.handle(), FIRST).await;
    fixture.submit(ONE_JOB).await;
    assert_eq!(given(&mut agent).await.secrets, map(&[("A", "here again")]));
    referred(&fixture, "A", json!({"vault": "secret/data/app#key"})).await;
    let removed = fixture.call(Method::DELETE, "/api/v1/secrets/a", None).await;
    assert_eq!(removed.status(), StatusCode::OK);
    assert_eq!(paths(&vault.known()).len(), 2, "a login and a path");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_administrator_sets_one_on_the_page() {
    let (vault, fixture) = started().await;
    vault.put("secret/data/app", json!({"key": "there"}));
    let browser = Browser::signed_in(fixture.handle()).await;
    let token = browser.form_token("/settings/secrets").await;
    let post = async |rest: &str| {
        browser.post("/settings/secrets", &format!("form_token={token}&name=A&{rest}")).await
    };
    assert_eq!(post("vault=secret/data/app%23key&value=x").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(post("vault=secret/data/app&value=").await.status(), StatusCode::BAD_REQUEST);
    assert_eq!(post("vault=secret/data/app%23key&value=").await.status(), StatusCode::SEE_OTHER);
    let page = browser.get("/settings/secrets").await.text().await.unwrap();
    assert!(page.contains("secret/data/app#key"), "{page}");
    let without = Fixture::start().await;
    let browser = Browser::signed_in(without.handle()).await;
    let page = browser.get("/settings/secrets").await.text().await.unwrap();
    assert!(!page.contains("HashiCorp"), "nobody is offered what is not set up");
}
