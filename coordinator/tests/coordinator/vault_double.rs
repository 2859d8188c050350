//! A double of HashiCorp Vault, as far as Slipway asks it: a key-value engine of each version, one that generates credentials, AppRole, and
//! JWT, whose tokens it verifies by the keys that their issuer publishes. Answers have Vault's own shapes (its API documentation).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::signature::RsaPublicKeyComponents;
use serde_json::{Value, json};
use slipway_coordinator::options::{HashicorpVaultOptions, VaultLogin};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use crate::jwt::Jwt;

/// The namespace in which everything is.
pub(crate) const NAMESPACE: &str = "team";
/// The AppRole's id, and what proves it.
pub(crate) const ROLE_ID: &str = "role-of-slipway";
pub(crate) const SECRET_ID: &str = "secret-of-slipway";
/// A token that is good until it is revoked.
pub(crate) const ROOT: &str = "hvs.root";
/// The role of jobs.
pub(crate) const ROLE: &str = "jobs";
/// Whom their tokens are for.
pub(crate) const AUDIENCE: &str = "https://vault.example.com";

/// How it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mood {
    Well,
    Sealed,
    /// It takes a request and says nothing.
    Silent,
    /// It is no active node.
    Standby,
}

/// What it knows.
pub(crate) struct Known {
    pub(crate) mood: Mood,
    /// Fields by path: `secret/data/…` has versions, `kv/…` has none.
    pub(crate) values: BTreeMap<String, Value>,
    /// Tokens that are good, and for which part of the values (the beginning of a path).
    pub(crate) tokens: BTreeMap<String, String>,
    /// For how many seconds a login is good.
    pub(crate) lease_s: u64,
    /// Whose tokens are taken.
    pub(crate) issuer: String,
    /// Every request: method, path, and the token that was shown.
    pub(crate) asked: Vec<(Method, String, Option<String>)>,
    /// What logins as jobs said.
    pub(crate) claims: Vec<Value>,
    made: u64,
}

impl Known {
    /// How often this path was asked for.
    pub(crate) fn times(&self, path: &str) -> usize {
        self.asked.iter().filter(|(_, asked, _)| asked == path).count()
    }

    fn token(&mut self, reaches: &str) -> Value {
        self.made += 1;
        let token = format!("hvs.{}", self.made);
        self.tokens.insert(token.clone(), reaches.to_owned());
        json!({"auth": {"client_token": token, "accessor": "a", "policies": ["default"], "lease_duration": self.lease_s, "renewable": true}})
    }
}

/// A Vault of a test's own.
#[derive(Clone)]
pub(crate) struct VaultDouble {
    pub(crate) address: SocketAddr,
    known: Arc<Mutex<Known>>,
}

fn errors(status: u16, errors: &[&str]) -> Response {
    (StatusCode::from_u16(status).unwrap(), Json(json!({ "errors": errors }))).into_response()
}

impl VaultDouble {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let known = Known {
            mood: Mood::Well,
            values: BTreeMap::new(),
            tokens: BTreeMap::from([(ROOT.to_owned(), String::new())]),
            lease_s: 3600,
            issuer: String::new(),
            asked: Vec::new(),
            claims: Vec::new(),
            made: 0,
        };
        let double = Self { address: listener.local_addr().unwrap(), known: Arc::new(Mutex::new(known)) };
        let router = Router::new().fallback(answer).with_state(double.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        double
    }

    pub(crate) fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    pub(crate) fn put(&self, path: &str, fields: Value) {
        self.known().values.insert(path.to_owned(), fields);
    }

    pub(crate) fn options(&self, login: VaultLogin) -> HashicorpVaultOptions {
        let (address, namespace) = (format!("http://{}", self.address), Some(NAMESPACE.to_owned()));
        HashicorpVaultOptions { address, namespace, ca_file: None, login }
    }

    /// A way to log in as an AppRole; what proves it is put below `folder`.
    pub(crate) fn app_role(folder: &Path) -> VaultLogin {
        let secret_id = folder.join("secret-id");
        std::fs::write(&secret_id, format!("{SECRET_ID}\n")).unwrap();
        VaultLogin::AppRole { mount: "approle".to_owned(), role_id: ROLE_ID.to_owned(), secret_id }
    }

    /// A way for each job to log in as itself.
    pub(crate) fn jwt() -> VaultLogin {
        VaultLogin::Jwt { mount: "jwt".to_owned(), role: ROLE.to_owned(), audience: AUDIENCE.to_owned() }
    }

    /// A door with TLS before it; gives its address and writes who certified it to `ca`.
    pub(crate) async fn with_tls(&self, ca: &Path) -> String {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(ca, made.cert.pem()).unwrap();
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.unwrap().with_no_client_auth();
        let config = config.with_single_cert(vec![made.cert.der().clone()], key.into()).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, behind) = (listener.local_addr().unwrap().port(), self.address);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let Ok(mut outside) = acceptor.accept(stream).await else { return };
                    let mut inside = TcpStream::connect(behind).await.unwrap();
                    let _ = tokio::io::copy_bidirectional(&mut outside, &mut inside).await;
                });
            }
        });
        format!("https://localhost:{port}")
    }

    /// Whose token this is: its claims, if the issuer that is configured signed it and it is for this Vault.
    async fn verified(&self, jwt: &str) -> Option<Value> {
        let issuer = self.known().issuer.clone();
        let jwt = Jwt::read(jwt)?;
        let http = slipway_tests::http_client();
        let read = async |url: String| http.get(url).send().await.ok()?.json::<Value>().await.ok();
        let found = read(format!("{issuer}/.well-known/openid-configuration")).await?;
        let keys = read(found["jwks_uri"].as_str()?.to_owned()).await?;
        let key = keys["keys"].as_array()?.iter().find(|key| key["kid"] == jwt.header["kid"])?.clone();
        let number = |name: &str| URL_SAFE_NO_PAD.decode(key[name].as_str()?).ok();
        let public = RsaPublicKeyComponents { n: number("n")?, e: number("e")? };
        let ours = jwt.claims["iss"] == issuer.as_str() && jwt.claims["aud"] == AUDIENCE;
        (jwt.is_by(&public) && ours).then_some(jwt.claims)
    }

    async fn log_in(&self, path: &str, body: &Value) -> Response {
        match path {
            "auth/approle/login" if body["role_id"] == ROLE_ID && body["secret_id"] == SECRET_ID => {
                Json(self.known().token("")).into_response()
            }
            "auth/approle/login" => errors(400, &["invalid role or secret ID"]),
            "auth/jwt/login" if body["role"] != ROLE => errors(400, &["role could not be found"]),
            "auth/jwt/login" => match self.verified(body["jwt"].as_str().unwrap_or_default()).await {
                Some(claims) => {
                    let mut known = self.known();
                    known.claims.push(claims.clone());
                    // A policy with the repository's name in it.
                    let reaches = format!("secret/data/{}/", claims["repository"].as_str().unwrap());
                    Json(known.token(&reaches)).into_response()
                }
                None => errors(400, &["error validating token"]),
            },
            _ => errors(404, &[&format!("no handler for route \"{path}\". route entry not found.")]),
        }
    }

    fn read(&self, path: &str, token: Option<&str>) -> Response {
        let known = self.known();
        let reaches = token.and_then(|token| known.tokens.get(token)).cloned();
        if !reaches.is_some_and(|reaches| path.starts_with(&reaches)) {
            return errors(403, &["1 error occurred:\n\t* permission denied\n\n"]);
        }
        let metadata = json!({"created_time": "2026-01-02T03:04:05Z", "deletion_time": "", "destroyed": false, "version": 1});
        match known.values.get(path) {
            Some(Value::Null) => {
                let body = json!({"data": {"data": null, "metadata": metadata}});
                (StatusCode::NOT_FOUND, Json(body)).into_response()
            }
            Some(fields) if path.starts_with("secret/data/") => {
                Json(json!({"lease_id": "", "data": {"data": fields, "metadata": metadata}})).into_response()
            }
            Some(fields) => {
                Json(json!({"lease_id": "x", "lease_duration": 60, "data": fields})).into_response()
            }
            None => errors(404, &[]),
        }
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

async fn answer(State(double): State<VaultDouble>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body: Bytes = to_bytes(body, 1 << 20).await.unwrap();
    let path = head.uri.path().strip_prefix("/v1/").unwrap_or_default();
    let path = percent_encoding::percent_decode_str(path).decode_utf8().unwrap().into_owned();
    let token = header(&head.headers, "x-vault-token").map(str::to_owned);
    let mood = {
        let mut known = double.known();
        known.asked.push((head.method.clone(), path.clone(), token.clone()));
        known.mood
    };
    match mood {
        Mood::Well => {}
        Mood::Sealed => return errors(503, &["Vault is sealed"]),
        Mood::Silent => std::future::pending().await,
        Mood::Standby => {
            let to = [("location", "https://active.example.com/v1/")];
            return (StatusCode::TEMPORARY_REDIRECT, to).into_response();
        }
    }
    if header(&head.headers, "x-vault-request") != Some("true") {
        return errors(400, &["missing required header"]);
    }
    if header(&head.headers, "x-vault-namespace") != Some(NAMESPACE) {
        return errors(403, &["permission denied"]);
    }
    match head.method {
        Method::POST => {
            let body = serde_json::from_slice(&body).unwrap_or_default();
            double.log_in(&path, &body).await
        }
        Method::GET => double.read(&path, token.as_deref()),
        _ => errors(405, &[]),
    }
}

/// The paths that were asked for.
pub(crate) fn paths(known: &Known) -> BTreeSet<&str> {
    known.asked.iter().map(|(_, path, _)| path.as_str()).collect()
}
