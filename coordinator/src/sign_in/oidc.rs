//! OpenID Connect: the authorization code flow with PKCE, of a provider that says of itself how it is spoken with (OpenID Connect
//! Discovery). What it says is kept for a while, and asked for again by one at a time.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value as Json};
use slipway_kit::clock::Clock;
use tokio::sync::Mutex;

use super::ask::{self, fields};
use super::attempt::Attempt;
use super::id_token::{self, Expected};
use super::keys::Keys;
use super::limits::{KEPT, KEYS_EVERY};
use super::{CODE_USED, Exchange, Person, Refusal, told};
use crate::https::Client;
use crate::options::is_private_address;

/// Which claims are what.
#[derive(Debug, Clone)]
pub(super) struct Claims {
    pub(super) name: String,
    pub(super) groups: String,
}

/// One provider.
pub(super) struct Oidc {
    client: Client,
    issuer: String,
    scope: String,
    claims: Claims,
    clock: Arc<dyn Clock>,
    described: Mutex<Option<Kept<Arc<Description>>>>,
    keys: Mutex<Option<Kept<Arc<Keys>>>>,
}

#[derive(Debug)]
struct Kept<T> {
    since_ms: u64,
    value: T,
}

/// What it says of itself, as far as it is needed.
#[derive(Debug, Clone, Deserialize)]
struct Description {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    #[serde(default)]
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    authorization_response_iss_parameter_supported: bool,
}

impl Description {
    fn check(&self, issuer: &str) -> Result<(), String> {
        if self.issuer != issuer {
            return Err(format!("it calls itself {}; write that as `issuer`", self.issuer));
        }
        let endpoints = [&self.authorization_endpoint, &self.token_endpoint, &self.jwks_uri];
        let open = endpoints.into_iter().chain(&self.userinfo_endpoint).find(|url| !is_private_address(url));
        open.map_or(Ok(()), |url| Err(format!("its address {url} is not encrypted")))
    }

    /// Whether a secret goes into the form instead of the header, which is what is meant when nothing is said.
    fn wants_secret_in_form(&self) -> bool {
        let methods = self.token_endpoint_auth_methods_supported.as_ref();
        methods.is_some_and(|methods| {
            let has = |method: &str| methods.iter().any(|known| known == method);
            !has("client_secret_basic") && has("client_secret_post")
        })
    }
}

impl Oidc {
    pub(super) fn new(
        client: Client,
        issuer: &str,
        scopes: &[String],
        claims: Claims,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        Self {
            client,
            issuer: issuer.to_owned(),
            scope: scopes.join(" "),
            claims,
            clock: Arc::clone(clock),
            described: Mutex::default(),
            keys: Mutex::default(),
        }
    }

    fn trouble(&self, why: &str) -> Refusal {
        tracing::warn!(issuer = self.issuer, why, "a provider of identities cannot be used");
        Refusal::Trouble(told(&format!("the provider {} cannot be used at the moment: {why}", self.issuer)))
    }

    async fn look<T: for<'a> Deserialize<'a>>(&self, url: &str) -> Result<T, String> {
        let answered = ask::send(&self.client, ask::look(url, None)?).await;
        let answered = answered.map_err(|error| format!("{url}: {error}"))?;
        if let Some(fault) = answered.fault() {
            return Err(format!("{url}: {fault}"));
        }
        serde_json::from_value(answered.body).map_err(|error| format!("{url}: {error}"))
    }

    async fn described(&self) -> Result<Arc<Description>, Refusal> {
        let mut described = self.described.lock().await;
        let now_ms = self.clock.unix_ms();
        if let Some(kept) = described.as_ref().filter(|kept| kept.is_fresh(now_ms, KEPT.as_millis())) {
            return Ok(Arc::clone(&kept.value));
        }
        let url = format!("{}/.well-known/openid-configuration", self.issuer.trim_end_matches('/'));
        let found: Result<Description, String> = self.look(&url).await;
        let found = found.and_then(|found| found.check(&self.issuer).map(|()| found));
        let value = Arc::new(found.map_err(|why| self.trouble(&why))?);
        *described = Some(Kept { since_ms: now_ms, value: Arc::clone(&value) });
        Ok(value)
    }

    /// Its keys; those that are kept, if one of them may have signed by this algorithm.
    async fn keys(&self, url: &str, algorithm: &str, id: Option<&str>) -> Result<Arc<Keys>, Refusal> {
        let mut keys = self.keys.lock().await;
        let now_ms = self.clock.unix_ms();
        if let Some(kept) = keys.as_ref() {
            let for_ms = if kept.value.have(algorithm, id) { KEPT } else { KEYS_EVERY }.as_millis();
            if kept.is_fresh(now_ms, for_ms) {
                return Ok(Arc::clone(&kept.value));
            }
        }
        let value: Arc<Keys> = Arc::new(self.look(url).await.map_err(|why| self.trouble(&why))?);
        *keys = Some(Kept { since_ms: now_ms, value: Arc::clone(&value) });
        Ok(value)
    }

    /// Where somebody is sent.
    pub(super) async fn address(
        &self,
        client_id: &str,
        back: &str,
        attempt: &Attempt,
    ) -> Result<String, Refusal> {
        let described = self.described().await?;
        let query = fields(&[
            ("response_type", "code"),
            ("client_id", client_id),
            ("redirect_uri", back),
            ("scope", &self.scope),
            ("state", &attempt.state),
            ("nonce", &attempt.nonce),
            ("code_challenge", &attempt.challenge()),
            ("code_challenge_method", "S256"),
        ]);
        let endpoint = &described.authorization_endpoint;
        let joint = if endpoint.contains('?') { '&' } else { '?' };
        Ok(format!("{endpoint}{joint}{query}"))
    }

    /// Whether the answer is this issuer's and not another one's (RFC 9207).
    pub(super) async fn check_answer(&self, issuer: Option<&str>) -> Result<(), Refusal> {
        let expected = self.described().await?.authorization_response_iss_parameter_supported;
        match issuer {
            Some(issuer) if issuer == self.issuer => Ok(()),
            None if !expected => Ok(()),
            _ => Err(Refusal::Again("this is the answer of another provider".to_owned())),
        }
    }

    /// Who gave this code.
    pub(super) async fn person(&self, exchange: Exchange<'_>) -> Result<Person, Refusal> {
        let described = self.described().await?;
        let in_form = described.wants_secret_in_form();
        let mut pairs = vec![
            ("grant_type", "authorization_code"),
            ("code", exchange.code),
            ("redirect_uri", exchange.back),
            ("code_verifier", exchange.attempt.verifier.as_str()),
        ];
        let basic = exchange.secret.filter(|_| !in_form).map(|secret| (exchange.client_id, secret));
        if basic.is_none() {
            pairs.push(("client_id", exchange.client_id));
            pairs.extend(exchange.secret.map(|secret| ("client_secret", secret)));
        }
        let request = ask::form(&described.token_endpoint, &pairs, basic);
        let request = request.map_err(|why| self.trouble(&why))?;
        let answered = ask::send(&self.client, request).await.map_err(|why| self.trouble(&why))?;
        if answered.body.get("error").and_then(Json::as_str) == Some("invalid_grant") {
            return Err(Refusal::Again(CODE_USED.to_owned()));
        }
        if let Some(fault) = answered.fault() {
            return Err(self.trouble(&format!("it did not take the code: {fault}")));
        }
        let text = |name: &str| answered.body.get(name).and_then(Json::as_str);
        let token = text("id_token").ok_or_else(|| self.trouble("it gave no identity token"))?;
        let token = id_token::parse(token).map_err(|why| self.trouble(&why))?;
        let (alg, kid) = (&token.header.alg, token.header.kid.as_deref());
        let keys = self.keys(&described.jwks_uri, alg, kid).await?;
        let expected = Expected {
            issuer: &self.issuer,
            client_id: exchange.client_id,
            nonce: &exchange.attempt.nonce,
            now_s: self.clock.unix_ms() / 1_000,
        };
        let mut claims = token.verify(&keys, expected).map_err(|why| self.trouble(&why))?;
        let lacks = |claims: &Map<String, Json>, name: &String| !claims.contains_key(name);
        if (lacks(&claims, &self.claims.name) || lacks(&claims, &self.claims.groups))
            && let (Some(url), Some(token)) = (&described.userinfo_endpoint, text("access_token"))
        {
            let more = self.more(url, token).await.map_err(|why| self.trouble(&why))?;
            // An answer about somebody else is of no use (OpenID Connect Core, section 5.3.2).
            if more.get("sub") != claims.get("sub") || !claims.contains_key("sub") {
                return Err(self.trouble("it tells of another person than it signed in"));
            }
            for (name, value) in more {
                claims.entry(name).or_insert(value);
            }
        }
        person(&self.claims, &claims).map_err(|why| self.trouble(&why))
    }

    async fn more(&self, url: &str, token: &str) -> Result<Map<String, Json>, String> {
        let answered = ask::send(&self.client, ask::look(url, Some(token))?).await?;
        match (answered.fault(), answered.body) {
            (None, Json::Object(claims)) => Ok(claims),
            (fault, _) => Err(format!("{url}: {}", fault.unwrap_or_else(|| "no claims".to_owned()))),
        }
    }
}

impl<T> Kept<T> {
    fn is_fresh(&self, now_ms: u64, for_ms: u128) -> bool {
        u128::from(now_ms.saturating_sub(self.since_ms)) < for_ms
    }
}

/// Name and groups of somebody.
fn person(which: &Claims, claims: &Map<String, Json>) -> Result<Person, String> {
    let name = claims.get(&which.name).and_then(Json::as_str).map(str::trim).filter(|name| !name.is_empty());
    let name = name.ok_or_else(|| {
        format!("it does not say `{}`; ask for the scope that has it, or set `name_claim`", which.name)
    })?;
    // Anybody may give an address that is not theirs.
    if which.name == "email" && claims.get("email_verified") == Some(&Json::Bool(false)) {
        return Err("it has not verified that the address is theirs".to_owned());
    }
    let groups = match claims.get(&which.groups) {
        Some(Json::Array(groups)) => groups.iter().filter_map(Json::as_str).map(str::to_owned).collect(),
        Some(Json::String(group)) => vec![group.clone()],
        _ => Vec::new(),
    };
    Ok(Person { name: name.to_owned(), groups })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn people_have_a_name_and_groups() {
        let which = Claims { name: "email".into(), groups: "roles".into() };
        let of = |claims: Json| person(&which, claims.as_object().unwrap());
        let ada = of(json!({"email": " a@b ", "roles": ["x", 1, "y"]})).unwrap();
        assert_eq!(ada, Person { name: "a@b".into(), groups: vec!["x".into(), "y".into()] });
        assert_eq!(of(json!({"email": "a@b", "roles": "x"})).unwrap().groups, ["x"]);
        assert!(of(json!({"email": "a@b", "email_verified": true})).unwrap().groups.is_empty());
        assert!(of(json!({"email": "a@b", "email_verified": false})).unwrap_err().contains("not verified"));
        for nameless in [json!({}), json!({"email": " "}), json!({"email": 1})] {
            assert!(of(nameless).unwrap_err().contains("`email`"));
        }
    }

    #[test]
    fn a_description_is_the_issuers_own_and_encrypted() {
        let described = |issuer: &str, token: &str| {
            let json = json!({
                "issuer": issuer, "authorization_endpoint": "https://sso/a", "token_endpoint": token,
                "jwks_uri": "https://sso/k",
            });
            serde_json::from_value::<Description>(json).unwrap()
        };
        assert_eq!(described("https://sso", "https://sso/t").check("https://sso"), Ok(()));
        let other = described("https://sso/", "https://sso/t").check("https://sso").unwrap_err();
        assert!(other.contains("https://sso/;"), "{other}");
        let open = described("https://sso", "http://sso/t").check("https://sso").unwrap_err();
        assert!(open.contains("http://sso/t"), "{open}");
        let mut methods = described("https://sso", "https://sso/t");
        assert!(!methods.wants_secret_in_form());
        methods.token_endpoint_auth_methods_supported = Some(vec!["client_secret_post".into()]);
        assert!(methods.wants_secret_in_form());
    }
}
